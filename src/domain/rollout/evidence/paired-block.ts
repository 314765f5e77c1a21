import { histogramOf, mergeHistograms, total } from "../../stats/histogram.ts";
import { PAIRED_WEIGHTS, pairedBet } from "../../stats/paired.ts";
import type { PlannedSignal } from "../spec/plan.ts";
import { unscoredShareOf } from "./baseline.ts";
import { type FeedContext, originOf } from "./feed-context.ts";
import { unscoredRule } from "./missing.ts";
import type { Part, Side } from "./parts.ts";
import { testedMargin } from "./served-block.ts";
import type { PendingPairs, SignalState } from "./signal-state.ts";
import { addAdvanceBlock, addFreezeBlock, type BlockOrigin, type Clustered, SHADOW_STEP } from "./test-state.ts";

/** Pairs that a block should have. */
const LEAST_PAIRS = 5;

/** Only pass/fail and scores are compared pair by pair; latency in shadow is only shown (statistics.md section 1.5). */
export const isPaired = ({ kind }: PlannedSignal): boolean => kind === "binary" || kind === "score";

export const clusteredPairsOf = (signal: SignalState): Clustered => ({ clusters: signal.clusters, asked: { isBinary: false, unit: 100, arms: "one" } });

export function mergePairs(signal: SignalState, part: Part, pairs: Side, context: FeedContext): SignalState {
  const { planned } = context;
  if (!isPaired(planned)) return signal;
  const fits = signal.pendingPairs !== null && signal.pendingPairs.epoch === part.epoch && signal.pendingPairs.evaluatorVersion === part.evaluatorVersion;
  const closed = fits ? signal : closePairs(signal, context);
  const open = closed.pendingPairs ?? {
    ...originOf(part, context),
    unscoredShare: unscoredShareOf(closed, planned),
    differences: { values: [], counts: [] },
    unscored: 0,
  };
  const pendingPairs: PendingPairs = {
    ...open,
    toMs: context.paneEndMs,
    differences: mergeHistograms(open.differences, pairs.values),
    unscored: open.unscored + (planned.group === "judge" ? Math.max(0, pairs.sampled - pairs.scored) : 0),
  };
  const merged = { ...closed, pendingPairs };
  return total(pendingPairs.differences) >= LEAST_PAIRS ? closePairs(merged, context) : merged;
}

/**
 * A pair without a score counts as the worst, or, where many are missing, as failed on both sides: a difference of 0, under the composite's margin. Both
 * sides of a pair are judged or neither, so no direction can miss more.
 */
export function closePairs(signal: SignalState, context: FeedContext): SignalState {
  const { planned, plan, ceiling } = context;
  const block = signal.pendingPairs;
  if (block === null) return signal;
  const origin: BlockOrigin = { ...block, step: SHADOW_STEP };
  const clustered = clusteredPairsOf(signal);
  const margin = testedMargin(planned);
  const scored = histogramOf({ kind: "paired", ...block.differences });
  let relative = addFreezeBlock(signal.relative, pairedBet(scored, margin.tolerated, "freeze"), PAIRED_WEIGHTS, { origin, plan, clustered });
  const rule = planned.group === "judge" ? unscoredRule(margin.limit, block.unscoredShare) : { limit: margin.limit, as: "worst" as const };
  if (rule !== null && context.step === SHADOW_STEP) {
    const difference = rule.as === "worst" ? 1 : 0;
    const all = block.unscored === 0 ? scored : mergeHistograms(scored, { values: [difference], counts: [block.unscored] });
    relative = addAdvanceBlock(relative, pairedBet(all, rule.limit, "advance"), PAIRED_WEIGHTS, { origin, ceiling, clustered, isComposite: false });
  }
  return { ...signal, pendingPairs: null, relative };
}

/** Late pairs: a block of their own, for freezing only. */
export function feedLatePairs(signal: SignalState, part: Part, pairs: Side, context: FeedContext): SignalState {
  const { planned, plan } = context;
  if (!isPaired(planned)) return signal;
  const increments = pairedBet(histogramOf({ kind: "paired", ...pairs.values }), testedMargin(planned).tolerated, "freeze");
  const about = { origin: originOf(part, context), plan, clustered: clusteredPairsOf(signal) };
  return { ...signal, relative: addFreezeBlock(signal.relative, increments, PAIRED_WEIGHTS, about) };
}
