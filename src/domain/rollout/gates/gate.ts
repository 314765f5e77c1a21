import type { Verdict } from "../../../../topics/index.ts";
import type { Assessment, SliceAssessment } from "../evidence/assess.ts";
import type { Crossing } from "../evidence/crossing.ts";
import type { SilenceVerdict } from "../evidence/silence.ts";
import type { Reason } from "../reasons.ts";
import type { Attempt } from "../state.ts";

/** What a gate says; the worse verdict of two gates wins. */
export type GateVerdict = "pass" | "hold" | "freeze" | "roll_back";

/** How a step may be left: with proof, without it (small steps, when declared), or by the clock of observation. */
export type Mode = "safe" | "without_proof" | "observe";

/** What a gate is shown: only its own signals. */
export interface GateInput {
  readonly attempt: Attempt;
  readonly assessments: readonly Assessment[];
  readonly crossing: Crossing;
  readonly mode: Mode;
  readonly silence: { readonly calls: SilenceVerdict; readonly judge: SilenceVerdict };
  /** Whether a pane of this step closed lately. */
  readonly isFresh: { readonly calls: boolean; readonly judge: boolean; readonly outcome: boolean };
}

export interface GateOutcome {
  readonly gate: "confidence" | "cohort";
  readonly verdict: GateVerdict;
  /** A sustained breach whose action is to step down. */
  readonly wantsContraction: boolean;
  readonly reasons: readonly Reason[];
  /** Signals (or arms) that the verdict rests on. */
  readonly about: readonly string[];
  /** What it waits for, one clause for people; empty when it passes. */
  readonly message: string;
}

/** One of the two gates: a pure function of what it is shown. */
export interface Gate {
  readonly gate: "confidence" | "cohort";
  judge(input: GateInput): GateOutcome;
}

/** The four values of a signal's verdict, and the fifth of floors. */
export function verdictOf(assessment: Assessment, crossing: Crossing): Verdict {
  const { planned, state, weight } = assessment;
  if (weight > 0 && crossing.breaches.includes(planned.name)) return "breach";
  if (planned.floor !== null && !planned.isFloorStrict && state.baselineFloor.isBelow) return "baseline_below_floor";
  if (assessment.hasNoData) return "no_data";
  return weight > 0 && assessment.isSafe ? "safe" : "inconclusive";
}

/** A slice can only stop: it is never asked for proof of safety. */
export function sliceVerdict({ planned }: Assessment, slice: SliceAssessment, crossing: Crossing): Verdict {
  if (crossing.slices[planned.name]?.includes(slice.name) === true) return "breach";
  return slice.shown.candidate.n === 0 || slice.shown.baseline.n === 0 ? "no_data" : "inconclusive";
}
