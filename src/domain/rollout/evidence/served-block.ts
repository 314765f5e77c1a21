import { ADVANCE_WEIGHTS, type BetSizes, betOfSizes, betSizes, FREEZE_WEIGHTS, type Margin } from "../../stats/bet.ts";
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
const runawaySizes = betSizes({ kind: "percentile", level: RUNAWAY_LEVEL }, "freeze");

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

/** Sizes of a signal's bets, which follow from its margin alone: a plan lives as long as its attempt. */
const sizes = new WeakMap<PlannedSignal, { readonly freeze: BetSizes; readonly advance: BetSizes }>();

function sizesOf(planned: PlannedSignal): { readonly freeze: BetSizes; readonly advance: BetSizes } {
  let found = sizes.get(planned);
  if (found === undefined) {
    const margin = marginOf(planned);
    found = { freeze: betSizes(margin, "freeze"), advance: betSizes(margin, "advance") };
    sizes.set(planned, found);
  }
  return found;
}

/** Advancing at a limit of 1: other limits scale it. */
const unitAdvance = betSizes({ kind: "difference", tolerated: 0, limit: 1 }, "advance");

const freezeIncrements = (block: BlockValues, planned: PlannedSignal): number[] =>
  betOfSizes(block.candidate.freeze, block.baseline.freeze, block, sizesOf(planned).freeze);

/** Evidence for advancing, with what was drawn and not scored (missing.ts); null: too much of it. */
function advanceIncrements(block: PendingBlock, planned: PlannedSignal): { readonly increments: number[]; readonly isComposite: boolean } | null {
  const { candidate, baseline, unscoredShare: u, v } = block;
  if (planned.source !== "judge" && planned.source !== "outcome") {
    return { increments: betOfSizes(candidate.advance, baseline.advance, block, sizesOf(planned).advance), isComposite: false };
  }
  const isDifference = planned.kind !== "percentile" && planned.kind !== "mean";
  const rule = isDifference ? unscoredRule(testedMargin(planned).limit, u) : null;
  if (rule === null) return null;
  const mine = withUnscored(candidate.advance, candidate.unscored);
  const known = { pref: meanWithUnscored(block.pref, u, rule), v };
  const increments = betOfSizes(mine, baselineWithUnscored(baseline, rule), known, { ...unitAdvance, d: rule.limit, unit: rule.limit });
  return { increments, isComposite: rule.as === "composite" };
}

/** A block's evidence into the freeze processes of a comparison. */
function withBlock(relative: TestState, block: PendingBlock, signal: SignalState, { plan, planned }: FeedContext): TestState {
  return addFreezeBlock(relative, freezeIncrements(block, planned), FREEZE_WEIGHTS, { origin: block, plan, clustered: clusteredOf(signal, planned, "two") });
}

/** What a part makes of a pending block: the block that it closes because it does not fit it, the one that is open now, and whether that is full. */
interface Merged {
  readonly displaced: PendingBlock | null;
  readonly open: PendingBlock | null;
  readonly isFull: boolean;
}

/** Merges a part into a pending block until both arms have five records; never across an epoch or an evaluator version. */
function merge(slice: SliceState, signal: SignalState, part: Part, { context, isAll }: { readonly context: FeedContext; readonly isAll: boolean }): Merged {
  const { planned } = context;
  const { pending } = slice;
  const fits = pending !== null && pending.epoch === part.epoch && pending.evaluatorVersion === part.evaluatorVersion;
  const open = fits ? pending : null;
  const displaced = fits ? null : pending;
  const known = open ?? knownBefore(signal, isAll ? null : slice, planned);
  if (!isComparable(planned, known)) return { displaced, open, isFull: false };
  const mine = part.candidate === null ? noValues : valuesOf(part.candidate, planned, known, planned.shift);
  const theirs = part.baseline === null ? noValues : valuesOf(part.baseline, planned, known, null);
  const { pref, v, unscoredShare, threshold, cap } = known;
  const merged: PendingBlock = {
    step: open === null ? part.step : open.step,
    epoch: part.epoch,
    evaluatorVersion: part.evaluatorVersion,
    fromMs: open === null ? context.paneStartMs : open.fromMs,
    toMs: context.paneEndMs,
    pref,
    v,
    unscoredShare,
    threshold,
    cap,
    candidate: open === null ? mine : addValues(open.candidate, mine),
    baseline: open === null ? theirs : addValues(open.baseline, theirs),
  };
  return { displaced, open: merged, isFull: total(merged.candidate.freeze) >= LEAST_RECORDS && total(merged.baseline.freeze) >= LEAST_RECORDS };
}

/** A slice's comparison and its open block after a part of a pane: for freezing only. */
export function mergeSlice(slice: SliceState, signal: SignalState, part: Part, context: FeedContext): Pick<SliceState, "relative" | "pending"> {
  const { displaced, open, isFull } = merge(slice, signal, part, { context, isAll: false });
  let { relative } = slice;
  if (displaced !== null) relative = withBlock(relative, displaced, signal, context);
  if (!isFull || open === null) return { relative, pending: open };
  return { relative: withBlock(relative, open, signal, context), pending: null };
}

/** Closes the pending block of a slice as it is. */
export function closeSlice(slice: SliceState, signal: SignalState, context: FeedContext): SliceState {
  return slice.pending === null ? slice : { ...slice, pending: null, relative: withBlock(slice.relative, slice.pending, signal, context) };
}

/** All traffic: the only one that advances. */
export function mergeServed(signal: SignalState, part: Part, context: FeedContext): SignalState {
  const { displaced, open, isFull } = merge(signal, signal, part, { context, isAll: true });
  const closed = displaced === null ? signal : closeServed(signal, context);
  const merged = open === closed.pending ? closed : { ...closed, pending: open };
  return isFull ? closeServed(merged, context) : merged;
}

export function closeServed(signal: SignalState, context: FeedContext): SignalState {
  const { planned, ceiling } = context;
  const block = signal.pending;
  if (block === null) return signal;
  let relative = withBlock(signal.relative, block, signal, context);
  if (block.step !== context.step) return { ...signal, pending: null, relative };
  const clustered = clusteredOf(signal, planned, "two");
  const advance = advanceIncrements(block, planned);
  if (advance !== null) {
    relative = addAdvanceBlock(relative, advance.increments, ADVANCE_WEIGHTS, { origin: block, ceiling, clustered, isComposite: advance.isComposite });
  }
  const reverse = planned.source === "missing" ? addReverse(signal.reverse, block, { planned, ceiling, clustered }) : signal.reverse;
  const interval =
    planned.kind === "percentile" ? signal.interval : addToInterval(signal.interval, meanOf(block.candidate.freeze), meanOf(block.baseline.freeze));
  return { ...signal, pending: null, relative, reverse, interval };
}

/** That the baseline does not miss more than the candidate either: the same bet with the arms exchanged. */
function addReverse(
  reverse: TestState,
  block: PendingBlock,
  { planned, ceiling, clustered }: { readonly planned: PlannedSignal; readonly ceiling: number; readonly clustered: Clustered },
): TestState {
  const increments = betOfSizes(block.baseline.advance, block.candidate.advance, { pref: block.pref, v: null }, sizesOf(planned).advance);
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
  const increments = betOfSizes(
    binaryHistogram(candidate.scored, exceedances(candidate.values, bucket)),
    binaryHistogram(baseline.scored, exceedances(baseline.values, bucket)),
    { pref: 1 - RUNAWAY_LEVEL, v: null },
    runawaySizes,
  );
  const about = { origin, plan: context.plan, clustered: clusteredOf(signal, context.planned, "two") };
  return { ...signal, runaway: addFreezeBlock(signal.runaway, increments, FREEZE_WEIGHTS, about) };
}
