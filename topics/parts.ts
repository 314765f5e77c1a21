import { z } from "zod";
import { atMs, count, int, maybe, openEnum, ppm } from "./define.ts";

export const arm = openEnum("baseline", "candidate", "holdback", "none");
export const exposure = openEnum("served", "shadow");
/** How the values of a signal are counted: see `values` below. */
export const statisticKind = openEnum("binary", "grid", "log", "paired");

/**
 * Who and what a record is about. Every record that is derived from a call carries these fields, so that nothing
 * downstream needs a join. `rollout` is empty and `arm` is `none` while no rollout runs on the route.
 */
export const attribution = {
  requestId: z.string().describe("UUIDv7 of the call"),
  route: z.string().describe("the AI feature that the caller asked for as `model`"),
  rollout: z.string().describe("id of the rollout, empty when none runs"),
  attempt: count().describe("numbered try of the rollout, from 1; 0 when none runs"),
  step: int().describe("rung of the ladder, from 0; -1 in shadow or when none runs"),
  epoch: count().describe("version of the routing table that assigned the call; 0 for the static baseline"),
  arm: arm.describe("arm of the subject"),
  version: z.string().describe("name of the version that served"),
  exposure: exposure.describe("whether the user saw the answer"),
  subject: z.string().describe("keyed hash of who is kept on one arm"),
  traceId: z.string(),
  slices: z.array(z.string()).describe("named subsets of traffic that the call belongs to, beside `all`"),
  endedAtMs: atMs().describe("event time: when the call completed, epoch ms"),
  paneMs: count().describe("length of this route's panes in ms, as of the epoch"),
  samplePpm: ppm().describe("probability that the call is drawn for judging, in parts per million, as of the epoch"),
};

/** Identity of one time series (DESIGN.md section 3); blocks and windows are keyed by it. */
export const series = {
  route: z.string(),
  rollout: z.string(),
  attempt: count(),
  step: int(),
  epoch: count(),
  version: z.string(),
  arm,
  exposure,
  slice: z.string().describe("`all` or the name of a slice"),
  signal: z.string(),
  evaluatorVersion: z.string().describe("hash of rubric, judge model and parameters; empty for checks and calls; `outcome` for outcomes"),
  samplePpm: ppm().describe("sampling class: the inclusion probability of the records counted here"),
};

/**
 * The additive integer statistics of one series and pane. `values[i]` was seen `counts[i]` times, values ascending:
 * kind `binary`: 0 good, 1 bad. `grid`: loss in hundredths, 0 to 100. `log`: bucket floor(ln x / ln 1.1^(1/5)) of
 * milliseconds, micro-dollars or tokens, overflow bucket 99999 for calls that never answered. `paired`: candidate's
 * loss minus baseline's on the same prompt, in hundredths, -100 to 100.
 */
export const statistics = {
  kind: statisticKind,
  records: count().describe("records in scope"),
  sampled: count().describe("drawn for this evaluator; equal to records for checks and calls"),
  scored: count().describe("records that have a value; equals the sum of `counts`"),
  abstained: count(),
  failed: count().describe("the evaluator failed on them: never a low score"),
  values: z.array(int()),
  counts: z.array(count()),
  subjectCounts: z.array(count()).describe("records in each of 32 subject-hash buckets, or empty"),
  subjectSums: z
    .array(int())
    .describe("sum in the same buckets, or empty: of the values; of kind `log` of min(quantity, cap), with the attempt's cap (`valueCaps` of `routing`)"),
  newSubjects: maybe(count()).describe(
    "subjects at their first served call in the attempt; only in `latency_p95`, slice `all`, which every call has; null: not known, which adds nothing",
  ),
};

/** What the served version answered to a prompt that was mirrored. */
export const twin = maybe(
  z.object({
    version: z.string(),
    status: openEnum("ok", "error", "timeout", "cancelled"),
    firstErrorType: z.string().describe("as in the served record: its first attempt failed so, although a later one may not have; else empty"),
    responseBody: maybe(z.string()),
    finishReason: z.string(),
    latencyMs: z.number(),
    ttftMs: maybe(z.number()),
    outputTokens: maybe(count()),
    costUsd: maybe(z.number()),
  }),
);

/** What the deterministic checks said of a whole answer; null: it was not answered, or nobody could read it whole. */
const wholeCheck = maybe(
  z.object({
    schemaValid: maybe(z.boolean()).describe("null: no form was asked for, or it could not be checked"),
    empty: maybe(z.boolean()),
    formBroken: z.boolean().describe("the form that was asked for is not a schema or pattern"),
    timedOut: z.boolean().describe("the check took too long: nothing is known about the form"),
  }),
);
export const wholeChecks = maybe(z.object({ answer: wholeCheck, twin: wholeCheck }));
