import { ADVANCE_WEIGHTS, balancedBet, deltas, FREEZE_WEIGHTS, type Margin, nullsOf } from "../../stats/bet.ts";
import { exceedances } from "../../stats/exceedance.ts";
import { binaryHistogram, type Histogram, momentsOf, total, withUnscored } from "../../stats/histogram.ts";
import { addToInterval } from "../../stats/interval.ts";
import type { PlannedSignal } from "../spec/plan.ts";
import { knownBefore, PERCENTILE } from "./baseline.ts";
import { type FeedContext, originOf } from "./feed-context.ts";
import { baselineWithUnscored, meanWithUnscored, unscoredRule } from "./missing.ts";
import type { Part } from "./parts.ts";
import type { PendingBlock, SignalState, SliceState, TestState } from "./signal-state.ts";
import { addAdvanceBlock, addFreezeBlock, type BlockOrigin, type Clustered } from "./test-state.ts";
import { addValues, askedOf, isComparable, noValues, valuesOf } from "./values.ts";

/** Records that each arm of a block should have (statistics.md section 0). */
const LEAST_RECORDS = 5;
/** A runaway is looked for beyond twice the baseline's P99: rarer than one record in 200. */
const RUNAWAY_LEVEL = 0.995;

/** Margin that is tested: a calibrated judge's errors shrink the gap that can be seen (statistics.md section 2, judge noise). */
function marginOf(planned: PlannedSignal): Margin {
  if (planned.kind === "percentile") return { kind: "percentile", level: PERCENTILE };
  const { tolerated, limit } = testedMargin(planned);
  return { kind: planned.kind === "mean" ? "ratio" : "difference", tolerated, limit };
}

export function testedMargin({ margin, judgeJ }: PlannedSignal): { readonly tolerated: number; readonly limit: number } {
  return { tolerated: margin.tolerated * judgeJ, limit: margin.limit * judgeJ };
}

export function clusteredOf(signal: SignalState, planned: PlannedSignal, arms: "two" | "one"): Clustered {
  return { clusters: signal.clusters, asked: { ...askedOf(planned, signal.cap), arms } };
}

type BlockValues = Pick<PendingBlock, "pref" | "v" | "candidate" | "baseline">;

function freezeIncrements(block: BlockValues, planned: PlannedSignal): number[] {
  const margin = marginOf(planned);
  const { candidate, baseline, pref, v } = block;
  return balancedBet(candidate.freeze, baseline.freeze, { pref, v }, nullsOf(margin).freeze, deltas(margin, pref).freeze);
}

/** Evidence for advancing, with what was drawn and not scored (missing.ts); null: too much of it. */
function advanceIncrements(block: PendingBlock, planned: PlannedSignal): { readonly increments: number[]; readonly isComposite: boolean } | null {
  const { candidate, baseline, unscoredShare: u, v } = block;
  const margin = marginOf(planned);
  const isScored = planned.source === "judge" || planned.source === "outcome";
  const rule = isScored && margin.kind === "difference" ? unscoredRule(margin.limit, u) : null;
  if (rule === null) {
    if (isScored) return null;
    const known = { pref: block.pref, v };
    return {
      increments: balancedBet(candidate.advance, baseline.advance, known, nullsOf(margin).advance, deltas(margin, block.pref).advance),
      isComposite: false,
    };
  }
  const tested: Margin = { kind: "difference", tolerated: 0, limit: rule.limit };
  const known = { pref: meanWithUnscored(block.pref, u, rule), v };
  const mine = withUnscored(candidate.advance, candidate.unscored);
  const increments = balancedBet(mine, baselineWithUnscored(baseline, rule), known, nullsOf(tested).advance, deltas(tested, known.pref).advance);
  return { increments, isComposite: rule.as === "composite" };
}

/** Closes the pending block of a slice into its freeze processes. */
function closeFreeze<S extends SliceState>(slice: S, signal: SignalState, context: FeedContext): S {
  const block = slice.pending;
  if (block === null) return slice;
  const about = { origin: block, plan: context.plan, clustered: clusteredOf(signal, context.planned, "two") };
  return { ...slice, pending: null, relative: addFreezeBlock(slice.relative, freezeIncrements(block, context.planned), FREEZE_WEIGHTS, about) };
}

/** Merges a part into a slice's pending block until both arms have five records; never across an epoch or an evaluator version. */
function merge<S extends SliceState>(
  slice: S,
  signal: SignalState,
  part: Part,
  { context, isAll, close }: { readonly context: FeedContext; readonly isAll: boolean; readonly close: (slice: S) => S },
): S {
  const { planned } = context;
  const { pending } = slice;
  const fits = pending !== null && pending.epoch === part.epoch && pending.evaluatorVersion === part.evaluatorVersion;
  const closed = fits ? slice : close(slice);
  const open: PendingBlock = closed.pending ?? {
    ...originOf(part, context),
    ...knownBefore(signal, isAll ? null : closed, planned),
    candidate: noValues,
    baseline: noValues,
  };
  if (!isComparable(planned, open)) return closed;
  const merged: PendingBlock = {
    ...open,
    toMs: context.paneEndMs,
    candidate: part.candidate === null ? open.candidate : addValues(open.candidate, valuesOf(part.candidate, planned, open, planned.shift)),
    baseline: part.baseline === null ? open.baseline : addValues(open.baseline, valuesOf(part.baseline, planned, open, null)),
  };
  const isFull = total(merged.candidate.freeze) >= LEAST_RECORDS && total(merged.baseline.freeze) >= LEAST_RECORDS;
  return isFull ? close({ ...closed, pending: merged }) : { ...closed, pending: merged };
}

export const mergeSlice = (slice: SliceState, signal: SignalState, part: Part, context: FeedContext): SliceState =>
  merge(slice, signal, part, { context, isAll: false, close: (open) => closeFreeze(open, signal, context) });

export const closeSlice = closeFreeze<SliceState>;

/** All traffic: the only one that advances. */
export function mergeServed(signal: SignalState, part: Part, context: FeedContext): SignalState {
  return merge(signal, signal, part, { context, isAll: true, close: (open) => closeServed(open, context) });
}

export function closeServed(signal: SignalState, context: FeedContext): SignalState {
  const { planned, ceiling } = context;
  const block = signal.pending;
  if (block === null) return signal;
  let next = closeFreeze(signal, signal, context);
  if (block.step !== context.step) return next;
  const clustered = clusteredOf(next, planned, "two");
  const advance = advanceIncrements(block, planned);
  if (advance !== null) {
    const about = { origin: block, ceiling, clustered, isComposite: advance.isComposite };
    next = { ...next, relative: addAdvanceBlock(next.relative, advance.increments, ADVANCE_WEIGHTS, about) };
  }
  if (planned.source === "missing") next = { ...next, reverse: addReverse(next.reverse, block, { planned, ceiling, clustered }) };
  if (planned.kind === "percentile") return next;
  return { ...next, interval: addToInterval(next.interval, meanOf(block.candidate.freeze), meanOf(block.baseline.freeze)) };
}

/** That the baseline does not miss more than the candidate either: the same bet with the arms exchanged. */
function addReverse(
  reverse: TestState,
  block: PendingBlock,
  { planned, ceiling, clustered }: { readonly planned: PlannedSignal; readonly ceiling: number; readonly clustered: Clustered },
): TestState {
  const margin = marginOf(planned);
  const increments = balancedBet(
    block.baseline.advance,
    block.candidate.advance,
    { pref: block.pref, v: null },
    nullsOf(margin).advance,
    deltas(margin, block.pref).advance,
  );
  return addAdvanceBlock(reverse, increments, ADVANCE_WEIGHTS, { origin: block, ceiling, clustered, isComposite: false });
}

function meanOf(losses: Histogram): { readonly n: number; readonly mean: number; readonly v: number } {
  const { n, sum, sumSquares } = momentsOf(losses);
  if (n === 0) return { n, mean: 0, v: 0 };
  // Half a record of each kind keeps a block without a loss from having no spread at all.
  const smoothed = (sum + 0.5) / (n + 1);
  return { n, mean: sum / n, v: Math.max(smoothed * (1 - smoothed) - Math.max(0, (sum - sumSquares) / n), 1e-6) };
}

/** Records of a late round: a block of their own, against the baseline's late records; for freezing only. */
export function feedLateServed<S extends SliceState>(slice: S, signal: SignalState, part: Part, context: FeedContext, isAll: boolean): S {
  const { planned, plan } = context;
  const known = knownBefore(signal, isAll ? null : slice, planned);
  if (part.candidate === null || part.baseline === null || !isComparable(planned, known)) return slice;
  const block = { ...known, candidate: valuesOf(part.candidate, planned, known, planned.shift), baseline: valuesOf(part.baseline, planned, known, null) };
  const about = { origin: originOf(part, context), plan, clustered: clusteredOf(signal, planned, "two") };
  return { ...slice, relative: addFreezeBlock(slice.relative, freezeIncrements(block, planned), FREEZE_WEIGHTS, about) };
}

/** A runaway loop is caught by its rare huge values, which a capped mean hides (statistics.md section 1.1). */
export function feedRunaway(signal: SignalState, part: Part, origin: BlockOrigin, context: FeedContext): SignalState {
  const { candidate, baseline } = part;
  const { runawayBucket: bucket } = signal;
  if (bucket === null || candidate === null || baseline === null) return signal;
  const margin: Margin = { kind: "percentile", level: RUNAWAY_LEVEL };
  const increments = balancedBet(
    binaryHistogram(total(candidate.values), exceedances(candidate.values, bucket)),
    binaryHistogram(total(baseline.values), exceedances(baseline.values, bucket)),
    { pref: 1 - RUNAWAY_LEVEL, v: null },
    nullsOf(margin).freeze,
    deltas(margin, 0).freeze,
  );
  const about = { origin, plan: context.plan, clustered: clusteredOf(signal, context.planned, "two") };
  return { ...signal, runaway: addFreezeBlock(signal.runaway, increments, FREEZE_WEIGHTS, about) };
}
