import { z } from "zod";
import { phase } from "./7-gate-events.ts";
import { atMs, count, defineTopic, int, maybe, openEnum, ppm, type ValueOf } from "./define.ts";
import { arm } from "./parts.ts";

/** One way to serve a route. Never a secret, never an address: `upstream` names an entry of the gateway's own configuration. */
export const servedVersion = z.object({
  name: z.string(),
  upstream: z.string(),
  model: z.string(),
  parameters: z.string().describe("JSON object merged over the caller's request; `{}` for none"),
  systemTemplate: maybe(z.string()).describe("system message put before the caller's messages"),
});

/** How schema validity is checked on this route. */
export const schemaCheck = z.object({
  source: z.string().describe("`response_format`: what the caller asked for; `json`: `jsonSchema`, `pattern`: a regular expression; `off`"),
  pattern: maybe(z.string()),
  jsonSchema: maybe(z.string()).describe("JSON Schema of the answer, as JSON"),
  fence: z.string().describe("`forbidden`, `allowed` or `required`: whether the whole answer may stand in one markdown code fence"),
});

export const wantedRubric = z.object({
  name: z.string(),
  digest: z.string().describe("of the text in `catalog`"),
  signals: z.array(z.object({ name: z.string(), form: openEnum("binary", "grid") })),
});

/** A route's routing table. Compacted; the newest epoch wins; gateways obey it within milliseconds. */
export const routing = defineTopic({
  name: "routing",
  about: "A route's table: versions, arm ranges over 10,000 buckets, shadow fraction and sampling rates. The epoch only grows.",
  shape: z.object({
    route: z.string(),
    epoch: count(),
    rollout: z.string(),
    attempt: count(),
    step: int(),
    phase,
    baseline: z.string().describe("version that serves whoever is in no range"),
    candidate: z.string(),
    versions: z.array(servedVersion),
    salt: z.string(),
    ranges: z
      .array(z.object({ arm, version: z.string(), from: count(), to: count() }))
      .describe("half-open ranges of buckets 0..9999, disjoint, covering all of them"),
    shadowPpm: ppm().describe("share of served baseline requests that is mirrored to the candidate"),
    samplePpm: z
      .object({ baseline: ppm(), candidate: ppm(), holdback: ppm(), shadow: ppm() })
      .describe("probability that a call of the arm is drawn for judging"),
    paneMs: count(),
    windowMs: count(),
    callsGraceMs: count(),
    judgeGraceMs: count(),
    staleAfterMs: count().describe("a gateway without a successful fetch of `routing` for so long serves the baseline; 0: never"),
    schemaCheck,
    rubrics: z.array(wantedRubric),
    outcomes: z
      .array(
        z.object({
          signal: z.string(),
          form: openEnum("binary", "grid").describe("pass/fail, or a score of 0..1"),
          maturityMs: maybe(count()).describe("each served call is expected to have an outcome by so long after its start; null: not every call has one"),
        }),
      )
      .describe("signals that downstream outcomes are counted for; outcomes of other signals are dropped"),
    slices: z.array(z.string()).describe("slices that get statistics of their own in this attempt; others are not counted apart"),
    valueCaps: z
      .array(z.object({ signal: z.string(), cap: count().describe("ms, micro-dollars or tokens") }))
      .describe("largest quantity that counts in a mean, per signal, fixed for the attempt; a signal is absent until its cap is known"),
    attemptStartedAtMs: atMs().describe("decision time of the attempt's start: every epoch of it is larger; 0 when none runs or it is not known"),
    reason: z.string(),
    gateEventId: z.string(),
    atMs: atMs(),
  }),
  key: "route",
  partitions: "routes",
  retention: { cleanup: "compact" },
  writers: ["decider"],
  readers: ["gateway", "sampler", "aggregator", "control", "prober"],
});
export type RoutingTable = ValueOf<typeof routing>;
export type ServedVersion = z.output<typeof servedVersion>;
export type SchemaCheck = z.output<typeof schemaCheck>;
