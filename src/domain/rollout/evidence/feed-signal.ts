import { ADVANCE_WEIGHTS, balancedBet, deltas, FREEZE_WEIGHTS, type Margin, nullsOf } from "../../stats/bet.ts";
import { advanceLimit } from "../../stats/combine.ts";
import { exceedances } from "../../stats/exceedance.ts";
import { FLOOR_ADVANCE_WEIGHTS, floorAlternatives, oneSample } from "../../stats/floor.ts";
import { binaryHistogram, histogramOf, mergeHistograms, total, withUnscored } from "../../stats/histogram.ts";
import { addToInterval } from "../../stats/interval.ts";
import { OVERFLOW_BUCKET } from "../../stats/log-bucket.ts";
import { PAIRED_WEIGHTS, pairedBet } from "../../stats/paired.ts";
import type { PlannedSignal, RolloutPlan } from "../spec/plan.ts";
import { knownBefore, learnBaseline, PERCENTILE, testBaselineFloor } from "./baseline.ts";
import type { Part, Side } from "./parts.ts";
import { show } from "./shown.ts";
import type { ArmCounts, PendingBlock, PendingPairs, SignalState } from "./signal-state.ts";
import { addAdvanceBlock, addFreezeBlock, type BlockOrigin, SHADOW_STEP } from "./test-state.ts";

/** Records that each arm of a block should have (statistics.md section 0). */
const LEAST_RECORDS = 5;

/** What a pane is fed with. */
export interface FeedContext {
  readonly plan: RolloutPlan;
  readonly planned: PlannedSignal;
  readonly paneStartMs: number;
  readonly paneEndMs: number;
  readonly round: number;
  /** Step that the rollout is in: only its blocks advance it. */
  readonly step: number;
  /** ln(1/alpha_adv) of the attempt, nano-nats. */
  readonly ceiling: number;
  /** False for panes that overlap a pause: they are no evidence. */
  readonly isEvidence: boolean;
}

/**
 * Feeds what a closed pane holds of one signal to its processes. What is known of the baseline is taken from earlier panes
 * only; late rounds feed freezing only.
 */
export function feedSignal(signal: SignalState, parts: readonly Part[], context: FeedContext): SignalState {
  let next = context.round === 0 ? closeOverdue(signal, context) : signal;
  for (const part of parts) {
    if (context.isEvidence) next = context.round === 0 ? feedPart(next, part, context) : feedLate(next, part, context);
    if (context.round === 0) next = learn(next, part, context);
  }
  return next;
}

function learn(signal: SignalState, part: Part, context: FeedContext): SignalState {
  let next = signal;
  if (part.evaluatorVersion !== "") next = { ...next, evaluatorVersion: part.evaluatorVersion };
  if (part.baseline !== null) next = learnBaseline(next, part.baseline, context);
  if (part.pairs !== null && context.planned.group === "judge") {
    const { sampled, scored } = part.pairs;
    next = { ...next, drawn: { sampled: next.drawn.sampled + sampled, unscored: next.drawn.unscored + Math.max(0, sampled - scored) } };
  }
  return next;
}

function feedPart(signal: SignalState, part: Part, context: FeedContext): SignalState {
  const { planned, plan } = context;
  let next = part.step === context.step ? show(signal, part, planned) : signal;
  if (planned.weight === 0) return next;
  if (part.baseline !== null) next = testBaselineFloor(next, part.baseline, planned, plan);
  if (part.step >= 0 && (part.candidate !== null || part.baseline !== null)) next = mergeServed(next, part, context);
  if (part.step === SHADOW_STEP && part.pairs !== null) next = mergePairs(next, part, part.pairs, context);
  const own = part.step === SHADOW_STEP ? part.shadow : part.candidate;
  return own === null ? next : feedFloor(next, own, originOf(part, context), context);
}

/** Records of a late round: a block of their own, against the baseline's late records. */
function feedLate(signal: SignalState, part: Part, context: FeedContext): SignalState {
  const { planned, plan } = context;
  if (planned.weight === 0) return signal;
  const origin = originOf(part, context);
  let next = signal;
  const known = knownBefore(signal, planned, plan);
  if (part.step >= 0 && part.candidate !== null && part.baseline !== null && hasThreshold(planned, known.threshold)) {
    const block = {
      ...origin,
      ...known,
      candidate: countsOf(part.candidate, planned, known.threshold, planned.shift),
      baseline: countsOf(part.baseline, planned, known.threshold),
    };
    next = { ...next, relative: addFreezeBlock(next.relative, freezeIncrements(block, planned), FREEZE_WEIGHTS, { origin, plan }) };
  }
  if (part.step === SHADOW_STEP && part.pairs !== null && planned.kind === "binary") {
    const increments = pairedBet(histogramOf({ kind: "paired", ...part.pairs.values }), planned.margin.tolerated, "freeze");
    next = { ...next, relative: addFreezeBlock(next.relative, increments, PAIRED_WEIGHTS, { origin, plan }) };
  }
  const own = part.step === SHADOW_STEP ? part.shadow : part.candidate;
  return own === null ? next : feedFloor(next, own, origin, context);
}

function originOf(part: Part, context: FeedContext): BlockOrigin {
  const { step, epoch, evaluatorVersion } = part;
  return { step, epoch, evaluatorVersion, fromMs: context.paneStartMs, toMs: context.paneEndMs };
}

const hasThreshold = (planned: PlannedSignal, threshold: number | null) => planned.kind !== "percentile" || threshold !== null;

const nobody: ArmCounts = { n: 0, bad: 0, badToAdvance: 0, unscored: 0 };

/** @param threshold bucket of a percentile; the candidate's is shifted, so that both counts are exact */
function countsOf(side: Side | null, planned: PlannedSignal, threshold: number | null, shift: PlannedSignal["shift"] = null): ArmCounts {
  if (side === null) return nobody;
  const n = total(side.values);
  if (planned.kind !== "percentile") {
    const bad = exceedances(side.values, 1);
    return { n, bad, badToAdvance: bad, unscored: planned.group === "judge" ? Math.max(0, side.sampled - side.scored) : 0 };
  }
  const above = (by: number) => exceedances(side.values, Math.min((threshold ?? OVERFLOW_BUCKET) + by, OVERFLOW_BUCKET));
  return { n, bad: above(shift?.tolerated ?? 0), badToAdvance: above(shift?.limit ?? 0), unscored: 0 };
}

function sum(a: ArmCounts, b: ArmCounts): ArmCounts {
  return { n: a.n + b.n, bad: a.bad + b.bad, badToAdvance: a.badToAdvance + b.badToAdvance, unscored: a.unscored + b.unscored };
}

/** Merges panes until both arms have five records; never across an epoch or an evaluator version. */
function mergeServed(signal: SignalState, part: Part, context: FeedContext): SignalState {
  const { planned, plan } = context;
  const origin = originOf(part, context);
  const fits = signal.pending !== null && signal.pending.epoch === part.epoch && signal.pending.evaluatorVersion === part.evaluatorVersion;
  const closed = fits ? signal : closeServed(signal, context);
  const open = closed.pending ?? { ...origin, ...knownBefore(closed, planned, plan), candidate: nobody, baseline: nobody };
  if (!hasThreshold(planned, open.threshold)) return closed;
  const pending: PendingBlock = {
    ...open,
    toMs: context.paneEndMs,
    candidate: sum(open.candidate, countsOf(part.candidate, planned, open.threshold, planned.shift)),
    baseline: sum(open.baseline, countsOf(part.baseline, planned, open.threshold)),
  };
  const merged = { ...closed, pending };
  return pending.candidate.n >= LEAST_RECORDS && pending.baseline.n >= LEAST_RECORDS ? closeServed(merged, context) : merged;
}

/** Blocks that have waited for the longest time are taken as they are: they are exact at every n. */
function closeOverdue(signal: SignalState, context: FeedContext): SignalState {
  const isOverdue = (fromMs: number) => context.paneEndMs - fromMs > context.plan.sustain.windowMs;
  let next = signal;
  if (next.pending !== null && isOverdue(next.pending.fromMs)) next = closeServed(next, context);
  if (next.pendingPairs !== null && isOverdue(next.pendingPairs.fromMs)) next = closePairs(next, context);
  return next;
}

function marginOf(planned: PlannedSignal): Margin {
  if (planned.kind === "percentile") return { kind: "percentile", level: PERCENTILE };
  return { kind: "difference", tolerated: planned.margin.tolerated, limit: planned.margin.limit };
}

type BlockCounts = Pick<PendingBlock, "pref" | "candidate" | "baseline">;

function freezeIncrements(block: BlockCounts, planned: PlannedSignal): number[] {
  const margin = marginOf(planned);
  const { candidate, baseline, pref } = block;
  return balancedBet(
    binaryHistogram(candidate.n, candidate.bad),
    binaryHistogram(baseline.n, baseline.bad),
    { pref, v: null },
    nullsOf(margin).freeze,
    deltas(margin, pref).freeze,
  );
}

/** To advance, what was drawn and not scored counts as failed in both arms, under the margin of that composite (section 1.8). */
function advanceIncrements(block: PendingBlock, planned: PlannedSignal): number[] | null {
  const limit = planned.group === "judge" ? advanceLimit(planned.margin.limit, block.unscoredShare) : planned.margin.limit;
  if (limit === null) return null;
  const margin: Margin = planned.kind === "percentile" ? marginOf(planned) : { kind: "difference", tolerated: 0, limit };
  const { candidate, baseline, unscoredShare: u } = block;
  const pref = block.pref * (1 - u) + u;
  return balancedBet(
    withUnscored(binaryHistogram(candidate.n, candidate.badToAdvance), candidate.unscored),
    withUnscored(binaryHistogram(baseline.n, baseline.badToAdvance), baseline.unscored),
    { pref, v: null },
    nullsOf(margin).advance,
    deltas(margin, pref).advance,
  );
}

function closeServed(signal: SignalState, context: FeedContext): SignalState {
  const { planned, plan, ceiling } = context;
  const block = signal.pending;
  if (block === null) return signal;
  let relative = addFreezeBlock(signal.relative, freezeIncrements(block, planned), FREEZE_WEIGHTS, { origin: block, plan });
  const advance = block.step === context.step ? advanceIncrements(block, planned) : null;
  if (advance !== null) relative = addAdvanceBlock(relative, advance, ADVANCE_WEIGHTS, { origin: block, ceiling });
  const spread = ({ n, bad }: ArmCounts) => {
    const mean = (bad + 0.5) / (n + 1);
    return { n, mean: n === 0 ? 0 : bad / n, v: mean * (1 - mean) };
  };
  const interval =
    planned.kind === "binary" && block.step === context.step
      ? addToInterval(signal.interval, spread(block.candidate), spread(block.baseline))
      : signal.interval;
  return { ...signal, pending: null, relative, interval };
}

function mergePairs(signal: SignalState, part: Part, pairs: Side, context: FeedContext): SignalState {
  const { planned, plan } = context;
  if (planned.kind !== "binary") return signal;
  const fits = signal.pendingPairs !== null && signal.pendingPairs.epoch === part.epoch && signal.pendingPairs.evaluatorVersion === part.evaluatorVersion;
  const closed = fits ? signal : closePairs(signal, context);
  const open = closed.pendingPairs ?? {
    ...originOf(part, context),
    unscoredShare: knownBefore(closed, planned, plan).unscoredShare,
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
  return total(pendingPairs.differences) >= LEAST_RECORDS ? closePairs(merged, context) : merged;
}

/** A pair without a score counts as failed on both sides: a difference of 0, under the composite's margin. */
function closePairs(signal: SignalState, context: FeedContext): SignalState {
  const { planned, plan, ceiling } = context;
  const block = signal.pendingPairs;
  if (block === null) return signal;
  const origin: BlockOrigin = { ...block, step: SHADOW_STEP };
  const scored = histogramOf({ kind: "paired", ...block.differences });
  let relative = addFreezeBlock(signal.relative, pairedBet(scored, planned.margin.tolerated, "freeze"), PAIRED_WEIGHTS, { origin, plan });
  const limit = planned.group === "judge" ? advanceLimit(planned.margin.limit, block.unscoredShare) : planned.margin.limit;
  if (limit !== null && context.step === SHADOW_STEP) {
    const all = block.unscored === 0 ? scored : mergeHistograms(scored, { values: [0], counts: [block.unscored] });
    relative = addAdvanceBlock(relative, pairedBet(all, limit, "advance"), PAIRED_WEIGHTS, { origin, ceiling });
  }
  return { ...signal, pendingPairs: null, relative };
}

function feedFloor(signal: SignalState, own: Side, origin: BlockOrigin, context: FeedContext): SignalState {
  const { planned, plan, ceiling, round } = context;
  if (planned.floor === null || total(own.values) === 0) return signal;
  const t = 1 - planned.floor;
  const alternatives = floorAlternatives(t);
  let floor = addFreezeBlock(signal.floor, oneSample(own.values, t, alternatives.freeze), FREEZE_WEIGHTS, { origin, plan });
  if (round === 0 && origin.step === context.step) {
    const unscored = planned.group === "judge" ? Math.max(0, own.sampled - own.scored) : 0;
    floor = addAdvanceBlock(floor, oneSample(withUnscored(own.values, unscored), t, alternatives.advance), FLOOR_ADVANCE_WEIGHTS, { origin, ceiling });
  }
  return { ...signal, floor };
}
