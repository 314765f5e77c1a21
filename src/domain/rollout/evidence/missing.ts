import { ADVANCE_WEIGHTS, balancedBet, deltas, type Margin, nullsOf, predictableMean } from "../../stats/bet.ts";
import { advanceLimit } from "../../stats/combine.ts";
import { binaryHistogram, type Histogram, mergeHistograms, withUnscored } from "../../stats/histogram.ts";
import type { FeedContext } from "./feed-context.ts";
import type { Part, Side } from "./parts.ts";
import type { ArmValues, SignalState } from "./signal-state.ts";
import { addAdvanceBlock, type BlockOrigin, type Clustered } from "./test-state.ts";

/** Limit of `missing_scores`, as far as advancing on a judged signal rests on it: one arm misses at most a point more than the other. */
const MISSING: Margin = { kind: "difference", tolerated: 0.002, limit: 0.01 };
const MISSING_REFERENCE = 0.01;
const unclustered: Clustered = { clusters: [], asked: { arms: "two", isBinary: true, unit: 1 } };

/**
 * Share of unscored records below which the worst is assumed of each of them. Above, that would cost more than the composite of statistics.md section 1.8,
 * which takes (1 - u) of the limit and a point more: 2u < u limit + 0.01 for u below half a point.
 */
const FEW_UNSCORED = 0.005;

/** How unscored records are counted to advance, decided by the share of earlier panes. */
export interface UnscoredRule {
  /** Limit that is tested. */
  readonly limit: number;
  /**
   * `worst`: failed for the candidate, good for the baseline, so that the difference is never below the true one, whoever misses what.
   * `composite`: failed in both arms, which holds only where both directions of missing scores are proven.
   */
  readonly as: "worst" | "composite";
}

/** @returns null when so much is unscored that nothing can be proven: no_data */
export function unscoredRule(limit: number, unscoredShare: number): UnscoredRule | null {
  if (unscoredShare < FEW_UNSCORED) return { limit, as: "worst" };
  const left = advanceLimit(limit, unscoredShare);
  return left === null ? null : { limit: left, as: "composite" };
}

/** The baseline's losses with its unscored records. */
export function baselineWithUnscored({ advance, unscored }: ArmValues, { as }: UnscoredRule): Histogram {
  if (as === "composite") return withUnscored(advance, unscored);
  return unscored === 0 ? advance : mergeHistograms(advance, { values: [0], counts: [unscored] });
}

/** Mean loss that the baseline is expected to have when counted so. */
export const meanWithUnscored = (mean: number, unscoredShare: number, { as }: UnscoredRule): number =>
  mean * (1 - unscoredShare) + (as === "composite" ? unscoredShare : 0);

const missed = ({ sampled, scored }: Side): Histogram => binaryHistogram(sampled, Math.max(0, sampled - scored));

/** Whether either arm of a judged signal misses more scores than the other: proof that the composite rests on. Of first rounds only: what comes later was missing. */
export function feedMissing(signal: SignalState, { candidate, baseline }: Part, origin: BlockOrigin, { step, ceiling }: FeedContext): SignalState {
  if (candidate === null || baseline === null || origin.step !== step || candidate.sampled === 0 || baseline.sampled === 0) return signal;
  const { sampled, unscored } = signal.drawn;
  const pref = predictableMean({ n: sampled, sum: unscored }, MISSING_REFERENCE);
  const bet = (one: Side, other: Side) => balancedBet(missed(one), missed(other), { pref, v: null }, nullsOf(MISSING).advance, deltas(MISSING, pref).advance);
  const about = { origin, ceiling, clustered: unclustered, isComposite: false };
  return {
    ...signal,
    missing: addAdvanceBlock(signal.missing, bet(candidate, baseline), ADVANCE_WEIGHTS, about),
    reverse: addAdvanceBlock(signal.reverse, bet(baseline, candidate), ADVANCE_WEIGHTS, about),
  };
}
