import { z } from "zod";
import { atMs, count, days, defineTopic, int, maybe, openEnum, type ValueOf } from "./define.ts";
import { arm, exposure } from "./parts.ts";

export const phase = openEnum("pending", "shadow", "canary", "observing", "done", "rolled_back");
export const condition = openEnum("progressing", "paused", "frozen");
export const action = openEnum("started", "advanced", "held", "frozen", "thawed", "contracted", "rolled_back", "done", "undone", "drifted", "braked");
export const verdict = openEnum("breach", "safe", "inconclusive", "no_data", "baseline_below_floor");
export const gate = openEnum("confidence", "cohort", "none");

/**
 * What was known of one signal when the decision was made. `processes` holds the integer sums (nano-nats) from which
 * each bound of the event can be recomputed with the formulae of statistics.md.
 */
export const signalEvidence = z.object({
  signal: z.string(),
  slice: z.string(),
  gate,
  tier: openEnum("guardrail", "watch"),
  verdict,
  direction: openEnum("higher_is_worse", "lower_is_worse").describe("of the displayed value"),
  exposure,
  candidateN: count().describe("scored candidate records in this step"),
  baselineN: count(),
  candidateValue: maybe(z.number()).describe("as shown: rate of good, ms, USD; null without data"),
  baselineValue: maybe(z.number()),
  delta: maybe(z.number()).describe("candidate minus baseline as harm; fraction of the baseline for relative margins"),
  bound: maybe(z.number()).describe("bound on the harm of the displayed interval (statistics.md section 1.3), for people"),
  tolerated: z.number(),
  limit: z.number(),
  relative: z.boolean().describe("tolerated and limit are fractions of the baseline"),
  evaluatorVersion: z.string(),
  weight: z.number().describe("share of alpha of the whole signal, statistics.md section 2; of an earlier edition of the spec, its part"),
  edition: count().describe("0: the present margins; above: those of an earlier edition of the spec, oldest first"),
  sliceShare: z.number().describe("share of the signal's weight that this slice has; A is the sum of weight * sliceShare * e^logEFreeze over all rows"),
  alphaSpent: z.number().describe("min(1, alpha * weight * sliceShare * E)"),
  logEFreeze: int().describe("nano-nats: log of the mixed freeze evidence of this signal and slice"),
  logEFreezeMinus: int().describe("the same without the two most incriminating blocks"),
  logEAdvance: int().describe("nano-nats: log of the advance evidence of this step (the smallest, when there are several)"),
  intervalPrecision: z.number().describe("sum of the precisions of the blocks of this step, for `bound` (statistics.md section 1.3); 0: none"),
  intervalWeighted: z.number().describe("sum of precision times the block's difference in loss"),
  intervalScale: z.number().describe("loss that a relative margin is a fraction of: `bound` and the margins times it are differences in loss; 1 otherwise"),
  processes: z.array(
    z.object({
      name: z.string().describe("for example freeze:0, floor:1, runaway:0, advance, advance-floor"),
      weights: z.array(z.number()).describe("mixture weights of the components"),
      share: z.number().describe("weight of this process within the signal; 0 for those that advance"),
      q: z.array(int()).describe("log sums of the components, nano-nats, before the design effect"),
      setAside: z.array(int()).describe("per component the sum of its most incriminating blocks, nano-nats"),
      deff: z.number().describe("design effect that the log sums are divided by, at least 1; 0 in events of before it was measured, which stands for 1"),
    }),
  ),
});

/** One row of the ledger of attempts, as it stands with the event that starts or ends the attempt (statistics.md section 2). */
export const attemptRow = z.object({
  rollout: z.string(),
  attempt: count().describe("number within the rollout id"),
  baseline: z.string(),
  candidate: z.string(),
  number: count().describe("k: number of the attempt of this pair of versions on this route, from 1"),
  failedBefore: count().describe("earlier attempts of this pair that did not end in done, or were undone"),
  ancestors: z.array(z.string()).describe("other candidates that failed against the same baseline, oldest first"),
  alpha: z.number().describe("spent on stopping"),
  alphaAdvance: z.number().describe("spent on advancing; halved with each attempt of the pair and each edit"),
  edits: count().describe("edits of margins, weights or alpha while it ran"),
  specDigest: z.string(),
  marginsDigest: z.string(),
  evaluatorsDigest: z.string(),
  actor: z.string().describe("who started it"),
  why: z.string(),
  startedAtMs: atMs(),
  endedAtMs: maybe(atMs()),
  end: maybe(action),
  endReasons: z.array(z.string()),
  endedBy: z.string(),
  finalLogE: z.array(z.object({ signal: z.string(), logE: int() })).describe("evidence of harm of each guardrail at the end, nano-nats"),
});
export type AttemptRow = z.output<typeof attemptRow>;

/** A published decision: the only thing that moves traffic up. One CloudEvent per decision, hash-chained per route. */
export const gateEvents = defineTopic({
  name: "gate-events",
  about: "A decision with its evidence. CloudEvents 1.0 in Kafka binary mode (ce_ headers); hash-chained per route.",
  shape: z.object({
    id: z.string(),
    atMs: atMs(),
    route: z.string(),
    rollout: z.string(),
    attempt: count(),
    action,
    fromPhase: phase,
    fromStep: int(),
    fromSharePpm: count().describe("candidate's share of subjects before, parts per million"),
    toPhase: phase,
    toStep: int(),
    toSharePpm: count(),
    condition,
    reasons: z.array(z.string()),
    gates: z.array(z.object({ gate, verdict: openEnum("pass", "hold", "freeze", "roll_back"), reasons: z.array(z.string()) })),
    actor: z.string().describe("`headgate` or who asked"),
    baseline: z.string(),
    candidate: z.string(),
    arm: arm.describe("arm that the decision is about"),
    epoch: count().describe("epoch of the routing table that this decision publishes; the current one when it publishes none"),
    advanceWithoutProof: z.boolean(),
    alpha: z.number(),
    alphaAdvance: z.number(),
    logA: int().describe("nano-nats: log of the weighted mean of all freeze evidence"),
    logAMinus: int(),
    signals: z.array(signalEvidence),
    paneStartMs: atMs().describe("newest pane that the decision has seen"),
    watermarkMs: atMs(),
    evidenceSeq: count().describe("sequence in `evidence` of the input that led to this"),
    setAsidePanes: z.array(atMs()).describe("panes whose evidence stays set aside after a thaw"),
    message: z.string().describe("one sentence for people"),
    specDigest: z.string(),
    codeVersion: z.string(),
    previousHash: z.string().describe("SHA-256 of the route's previous gate event; empty for the first"),
    hash: z.string().describe("SHA-256 of this event in canonical JSON without this field"),
    ledger: maybe(attemptRow).describe("row of the attempt that this event starts or ends; null otherwise"),
    sampleRequestIds: maybe(z.array(z.string())),
  }),
  key: "route",
  partitions: "routes",
  retention: { cleanup: "delete", retentionMs: days(365) },
  writers: ["decider"],
  readers: ["control", "any system"],
});
export type GateEvent = ValueOf<typeof gateEvents>;
export type SignalEvidence = z.output<typeof signalEvidence>;
export type Phase = z.output<typeof phase>;
export type Condition = z.output<typeof condition>;
export type Verdict = z.output<typeof verdict>;
