import type { RoutingTable, SchemaCheck, ServedVersion } from "../../../../topics/index.ts";
import type { DriftPlan } from "../../drift/watch-state.ts";

export type OnBreach = "freeze" | "rollback" | "contract";
export type WantedRubrics = RoutingTable["rubrics"];

/** A signal of a rollout with everything resolved. */
export interface PlannedSignal {
  readonly name: string;
  /** Which close of a pane it waits for. */
  readonly group: "calls" | "judge" | "outcome";
  /** `call`: counted on every call; `judge`: a rubric scores it; `outcome`: other systems tell later what became of the call; `missing`: what was drawn for the first judged guardrail and came back without a score. */
  readonly source: "call" | "judge" | "outcome" | "missing";
  /** Of outcomes: each served call is expected to have one by so long after its start, ms. null or absent: not every call has one, so that it can stop but proves nothing. */
  readonly maturityMs?: number | null;
  /** `binary`: pass or fail. `percentile`: shifted exceedance. `score`: loss of 0..1 on a grid of 0.01. `mean`: a quantity, capped, compared as a ratio. */
  readonly kind: "binary" | "percentile" | "score" | "mean";
  readonly direction: "higher_is_worse" | "lower_is_worse";
  readonly gate: "confidence" | "cohort";
  readonly tier: "guardrail" | "watch";
  /** As a fraction: 0.05 is 5 points, or +5 % when relative. For percentiles the effective ratio after rounding to buckets, minus 1. */
  readonly margin: { readonly tolerated: number; readonly limit: number; readonly relative: boolean };
  /** Whole log buckets that `tolerated` and `limit` shift a percentile by; null for other kinds. */
  readonly shift: { readonly tolerated: number; readonly limit: number } | null;
  /** Youden's J of a calibrated judge, in (0, 1]: what is tested is margin x J (statistics.md section 2, judge noise). 1: not calibrated, or no judge. */
  readonly judgeJ: number;
  /** Smallest acceptable rate of good; null: none. */
  readonly floor: number | null;
  /** The floor binds also while the baseline is proven below it. */
  readonly isFloorStrict: boolean;
  readonly onBreach: OnBreach;
  readonly hard: boolean;
  /** Share of alpha; the guardrails' sum to 1, `watch` has 0. */
  readonly weight: number;
  /** Mean loss that the baseline is taken to have before it was seen. */
  readonly reference: number;
  /** Variance of a loss in [0, 1] that is taken before one was seen; of scores and (capped) means. */
  readonly referenceVariance: number;
}

/** A named subset of traffic with verdicts of its own. */
export interface PlannedSlice {
  readonly name: string;
  /** Declared share of the baseline's traffic, for a route that was never watched; null: equal shares. */
  readonly share: number | null;
}

export interface PlannedStep {
  /** Candidate's share of subjects, percent. */
  readonly percent: number;
  /** The same in buckets of 10,000. */
  readonly buckets: number;
}

/** A spec with every default filled in. Times in ms. JSON-serialisable: it is part of the decider's state. */
export interface RolloutPlan {
  readonly route: string;
  readonly rollout: string;
  readonly baseline: string;
  readonly candidate: string;
  readonly candidateVersion: ServedVersion;
  /** null: the spec leaves it out, and the version that serves the route is meant. */
  readonly baselineVersion: ServedVersion | null;
  readonly signals: readonly PlannedSignal[];
  readonly slices: readonly PlannedSlice[];
  readonly rubrics: WantedRubrics;
  readonly schemaCheck: SchemaCheck;
  /** Judgements per minute; null: no limit. */
  readonly judgePerMinute: number | null;
  readonly shadow: { readonly ppm: number; readonly minDwellMs: number; readonly maxDwellMs: number } | null;
  readonly ladder: readonly PlannedStep[];
  readonly holdback: PlannedStep;
  /** `undecidedMs`: how long beyond the longest dwell a person is asked before it steps down once. */
  readonly dwell: { readonly minMs: number; readonly minLateMs: number; readonly maxMs: number; readonly undecidedMs: number };
  readonly observationMs: number;
  /** How long after `done` the version that served before stays warm, one `undo` away. */
  readonly fallbackMs: number;
  readonly alpha: number;
  readonly alphaAdvance: number;
  readonly minSamples: number;
  readonly sustain: { readonly panes: number; readonly windowMs: number };
  readonly advanceOn: "safe" | "not_breached";
  readonly approvals: readonly number[];
  readonly freezeWindows: readonly { readonly fromMs: number; readonly toMs: number; readonly reason: string }[];
  readonly paneMs: number;
  readonly windowMs: number;
  readonly callsGraceMs: number;
  readonly judgeGraceMs: number;
  /** In shadow and canary; ten times as long while observing. 0: gateways never fall back. */
  readonly staleAfterMs: number;
  readonly percentileMinRecords: number;
  readonly drift: DriftPlan;
}

/** Whether values of a signal come after its calls and may stay away: those of a judge, and outcomes. */
export const canBeUnscored = ({ group }: Pick<PlannedSignal, "group">): boolean => group !== "calls";

/** Whether a step may rest on a signal: not on outcomes that need not come, because who tells them is no fair sample of the calls. */
export const canProve = ({ source, maturityMs }: Pick<PlannedSignal, "source" | "maturityMs">): boolean =>
  source !== "outcome" || typeof maturityMs === "number";

/** Longest maturity of a plan's outcomes, ms; 0: there is none. */
export const longestMaturityMs = ({ signals }: Pick<RolloutPlan, "signals">): number => Math.max(0, ...signals.map(({ maturityMs }) => maturityMs ?? 0));

/** Whether a signal must be safe before shadow is left: of mirrored calls only differences of quality on the same prompts are proof. */
export function isRequiredInShadow({ tier, kind, gate, name, source }: PlannedSignal): boolean {
  // Nobody saw a mirrored answer: nothing came of it.
  if (tier !== "guardrail" || source === "missing" || source === "outcome") return false;
  return (kind === "binary" && (gate === "confidence" || name === "error_rate")) || kind === "score";
}

/** Share from which on a step dwells for `minLateMs`. */
export const LATE_PERCENT = 25;
/** Largest share that may be left without proof of safety, percent. */
export const WITHOUT_PROOF_PERCENT = 5;
/** Candidate requests (in shadow: mirrored calls) that a step must have seen to be left without proof. */
export const WITHOUT_PROOF_REQUESTS = 200;
