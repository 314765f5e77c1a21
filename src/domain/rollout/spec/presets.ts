import type { OnBreach } from "./plan.ts";

/** What is known of a signal by its name alone (DESIGN.md section 6, preset signals). Harm is in the units of the margin. */
export interface Preset {
  /** `call`: computed on every call; `judge`: a rubric scores it; `later`: nothing measures it in this version, unless a rubric does; `missing`: what was drawn and not scored. */
  readonly source: "call" | "judge" | "later" | "missing";
  readonly kind: "binary" | "percentile" | "mean";
  readonly direction: "higher_is_worse" | "lower_is_worse";
  readonly gate: "confidence" | "cohort";
  /** Harm from here on must never advance; a fraction (0.05 is 5 points, or +5 % when relative). */
  readonly limit: number;
  /** The same for a score of 0..1. */
  readonly scoreLimit?: number;
  readonly relative: boolean;
  /** Smallest acceptable rate of good, when there is one. */
  readonly floor?: number;
  readonly onBreach: OnBreach;
  /** Hard signals weigh twice (statistics.md section 2). */
  readonly hard: boolean;
  /** What the baseline's mean loss is taken for before anything was seen of it; never 0. */
  readonly reference: number;
}

const judged = { source: "judge", kind: "binary", gate: "confidence", relative: false, onBreach: "rollback", hard: false } as const;
const mean = { kind: "mean", direction: "higher_is_worse", gate: "cohort", relative: true, onBreach: "freeze", hard: false, reference: 0.05 } as const;
const percentile = { ...mean, source: "call", kind: "percentile", limit: 0.1 } as const;
const hard = { kind: "binary", relative: false, onBreach: "rollback", hard: true, limit: 0.01 } as const;

export const presets: Readonly<Record<string, Preset>> = {
  schema_validity: { ...hard, source: "call", direction: "lower_is_worse", gate: "confidence", floor: 0.995, reference: 0.002 },
  task_completion: { ...judged, direction: "lower_is_worse", limit: 0.05, scoreLimit: 0.03, reference: 0.15 },
  groundedness: { ...judged, direction: "lower_is_worse", limit: 0.05, scoreLimit: 0.03, reference: 0.1 },
  factuality: { ...judged, direction: "lower_is_worse", limit: 0.05, scoreLimit: 0.03, reference: 0.1 },
  refusal_rate: { ...judged, source: "later", direction: "higher_is_worse", limit: 0.05, reference: 0.03 },
  tool_call_validity: { ...hard, source: "later", direction: "lower_is_worse", gate: "confidence", reference: 0.005 },
  error_rate: { ...hard, source: "call", direction: "higher_is_worse", gate: "cohort", reference: 0.01 },
  latency_p95: percentile,
  ttft_p95: percentile,
  cost_per_request: { ...mean, source: "call", limit: 0.2 },
  cost_per_trace: { ...mean, source: "later", limit: 0.2 },
  output_tokens: { ...mean, source: "call", limit: 0.25 },
  calls_per_trace: { ...mean, source: "later", limit: 0.25 },
  missing_scores: { ...judged, source: "missing", direction: "higher_is_worse", limit: 0.01, onBreach: "freeze", reference: 0.01 },
  repeated_question: { ...judged, source: "later", direction: "higher_is_worse", limit: 0.02, reference: 0.05 },
};

/** A signal that only a rubric names. */
export const judgedPreset: Preset = { ...judged, direction: "lower_is_worse", limit: 0.05, scoreLimit: 0.03, reference: 0.1 };
