import { z } from "zod";

/**
 * The declared rollout, as people write it in YAML or JSON. Everything but the first four fields has a default, so that
 * ten lines are a whole spec. Durations are strings such as `30s`, `15m`, `72h`, or whole milliseconds.
 */
const duration = z.union([z.int().min(0), z.string().regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, "must be a number with ms, s, m, h or d, for example 30s or 72h")]);
const percent = z.number().min(0).max(100);
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}$/, "must start with a letter or digit and hold only letters, digits and . _ @ : / -");

export const versionSpec = z.strictObject({
  upstream: name.describe("name of an upstream in the gateway's own configuration"),
  model: z.string().min(1).describe("model name sent upstream"),
  parameters: z.record(z.string(), z.json()).optional().describe("merged over the caller's request"),
  systemTemplate: z.string().optional().describe("system message put before the caller's messages"),
});

export const onBreach = z.enum(["freeze", "rollback", "contract"]);

export const signalSpec = z.strictObject({
  name: z.string().min(1).describe("a preset, a signal that a rubric names, or with source: outcome any name"),
  source: z.literal("outcome").optional().describe("measured by what becomes of calls later, told at POST /v1/outcomes, instead of by a check or judge"),
  maturity: duration
    .optional()
    .describe(
      "of an outcome: each served call is expected to have one by so long after its start; without it not every call has one, and the signal can stop a rollout but not let it advance",
    ),
  form: z.enum(["binary", "score"]).optional().describe("of a judged signal or an outcome: pass/fail or a score of 0..1"),
  gate: z.enum(["confidence", "cohort"]).optional(),
  tier: z.enum(["guardrail", "watch"]).optional().describe("watch: shown and reported, never acts"),
  margin: z
    .strictObject({
      limit: z.number().gt(0).max(10).optional().describe("harm from here on must never advance; fraction (0.05 = 5 points, or +5 % when relative)"),
      tolerated: z.number().min(0).max(10).optional().describe("harm up to here must never stop; default limit / 5"),
    })
    .optional(),
  floor: z
    .union([z.number().min(0).max(1), z.literal("strict"), z.strictObject({ min: z.number().min(0).max(1), strict: z.boolean() })])
    .optional()
    .describe("smallest acceptable rate of good, for example 0.995; `strict` (or {min, strict: true}): binds also while the baseline is below it"),
  judgeError: z
    .strictObject({ sensitivity: z.number().gt(0).max(1), specificity: z.number().gt(0).max(1) })
    .optional()
    .describe("of a calibrated judge: margins are multiplied by sensitivity + specificity - 1"),
  onBreach: onBreach.optional().describe("action when a breach is sustained"),
});

export const rolloutSpec = z.strictObject({
  route: name,
  baseline: name,
  candidate: name,
  versions: z.record(z.string(), versionSpec).describe("how to serve the candidate, and the baseline when the route is new"),
  id: name.optional().describe("rollout id; default derived from route and candidate"),
  signals: z
    .array(z.union([z.string().min(1), signalSpec]))
    .min(1)
    .describe("names of presets, or objects that override them"),
  judge: z
    .strictObject({
      rubric: z
        .union([z.string(), z.array(z.string()).min(1)])
        .describe("name@version, or several; the texts are given beside the spec or are already in the catalog"),
      budget: z
        .string()
        .regex(/^\d+\/(s|min|h)$/, "must be like 120/min")
        .optional(),
    })
    .optional(),
  schema: z
    .strictObject({
      source: z.enum(["response_format", "json", "pattern", "off"]),
      pattern: z.string().optional(),
      jsonSchema: z.record(z.string(), z.json()).optional(),
      fence: z.enum(["forbidden", "allowed", "required"]).optional(),
    })
    .optional()
    .describe("what schema_validity checks; default response_format"),
  slices: z
    .array(z.union([z.string().min(1), z.strictObject({ name: z.string().min(1), share: z.number().gt(0).max(1).optional() })]))
    .max(16)
    .optional()
    .describe("named subsets of traffic that get verdicts of their own; share: of the baseline's traffic, when it was never seen before"),
  shadow: z
    .strictObject({
      share: percent.optional().describe("percent of served requests mirrored to the candidate; default 100, 0: no shadow phase"),
      minDwell: duration.optional(),
      maxDwell: duration.optional(),
    })
    .optional(),
  ladder: z.array(percent.gt(0)).min(1).optional().describe("candidate's share per step in percent; default 1, 5, 10, 25, 50, 100"),
  dwell: z
    .strictObject({
      min: duration.optional(),
      minLate: duration.optional().describe("from 25 % on"),
      max: duration.optional(),
      undecided: duration.optional().describe("this long after max it steps down once; default 24h"),
    })
    .optional(),
  observation: duration.optional().describe("time at 100 % before done; default 72h"),
  fallback: duration.optional().describe("how long after done what served before stays warm, one undo away; default 30d"),
  holdback: percent.max(50).optional().describe("percent of subjects kept on the baseline at 100; 0 is allowed"),
  alpha: z.number().gt(0).max(0.2).optional().describe("chance of ever stopping a candidate within every tolerated margin; default 0.05"),
  minSamples: z.int().min(1).optional().describe("scores per arm in a step before it can be left; default 100"),
  sustain: z.strictObject({ panes: z.int().min(2).max(10).optional(), window: duration.optional() }).optional(),
  advanceOn: z.enum(["safe", "not_breached"]).optional().describe("not_breached: only steps up to 5 % exposure"),
  approvals: z.array(z.int().min(0)).optional().describe("steps (from 0) that a person must approve before they are left"),
  freezeWindows: z
    .array(z.strictObject({ from: z.iso.datetime({ offset: true }), to: z.iso.datetime({ offset: true }), reason: z.string().optional() }))
    .optional(),
  pane: duration.optional().describe("default 60s"),
  window: duration.optional().describe("rolling window for people; default 15m"),
  grace: z.strictObject({ calls: duration.optional(), judge: duration.optional() }).optional(),
  staleAfter: duration.optional(),
  drift: z
    .union([
      z.literal("off"),
      z.strictObject({
        block: duration.optional().describe("length of a drift block; default 10m"),
        reference: duration.optional().describe("how long the reference of a version is taken; default 24h"),
        budget: z
          .string()
          .regex(/^\d+\/(s|min|h)$/, "must be like 120/min")
          .optional()
          .describe("judgements while no rollout runs; default judge.budget, or 60/min"),
      }),
    ])
    .optional()
    .describe("watching what serves against its own past, also while no rollout runs; on by default, `off` switches it off"),
  golden: z
    .strictObject({
      every: duration.optional().describe("how often the prompts are sent; default 1h"),
      prompts: z
        .array(
          z.strictObject({
            prompt: z.string().min(1),
            system: z.string().optional(),
            expect: z
              .strictObject({
                exact: z.string().optional(),
                contains: z.string().optional(),
                pattern: z.string().optional().describe("regular expression that the answer must match somewhere"),
                jsonSchema: z.record(z.string(), z.json()).optional(),
              })
              .describe("what a right answer is: all that is given must hold"),
          }),
        )
        .min(1)
        .max(100),
    })
    .optional()
    .describe("pinned prompts with known answers: they tell a provider's change from a change of traffic (headgate prober sends them)"),
  confidence: z.literal("none").optional().describe("written by who accepts a rollout without a quality guardrail"),
  advanced: z
    .strictObject({
      driftMinRecords: z.int().min(20).optional().describe("records that a drift reference rests on, per signal; default 1000"),
      percentileMinRecords: z.int().min(20).optional().describe("baseline records that the threshold of a percentile rests on; default 1000"),
    })
    .optional()
    .describe("settings that are knobs only for small volumes and demonstrations"),
  onRunning: z
    .enum(["reject", "queue", "replace", "edit"])
    .optional()
    .describe(
      "what this spec does while a rollout runs on the route; default reject. queue: starts when that one is over; replace: rolls it back and starts; edit: the same rollout goes on under new margins or alpha",
    ),
});
export type RolloutSpec = z.output<typeof rolloutSpec>;
export type SignalSpec = z.output<typeof signalSpec>;
