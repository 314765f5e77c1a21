import { FREEZE_WEIGHTS } from "../../stats/bet.ts";
import { FLOOR_ADVANCE_WEIGHTS, floorAlternatives, oneSample } from "../../stats/floor.ts";
import { withUnscored } from "../../stats/histogram.ts";
import { canBeUnscored, type PlannedSignal } from "../spec/plan.ts";
import { learnDrawn, learned, learnSignal, testBaselineFloor } from "./baseline.ts";
import { addToClusters } from "./clusters.ts";
import { type FeedContext, originOf } from "./feed-context.ts";
import { feedMissing } from "./missing.ts";
import { closePairs, clusteredPairsOf, feedLatePairs, isPaired, mergePairs } from "./paired-block.ts";
import { type BlocksBySeries, type Part, partsOf, type Side } from "./parts.ts";
import { closeServed, closeSlice, clusteredOf, feedLateServed, feedRunaway, mergeServed, mergeSlice } from "./served-block.ts";
import { show } from "./shown.ts";
import { initialSlice, type SignalState, type SliceState } from "./signal-state.ts";
import { addAdvanceBlock, addFreezeBlock, type BlockOrigin, SHADOW_STEP, withoutHarm } from "./test-state.ts";
import { clusteredPairs, clusteredSide } from "./values.ts";

/**
 * Feeds what a closed pane holds of one signal to its processes. What is known of the baseline is taken from earlier panes
 * only; late rounds feed freezing only.
 *
 * @param parts of slice `all`
 * @param pane all blocks of the pane, for the plan's slices
 */
export function feedSignal(signal: SignalState, parts: readonly Part[], pane: BlocksBySeries, context: FeedContext): SignalState {
  const isFirst = context.round === 0;
  const open = isFirst ? closeOverdue(signal, context) : signal;
  const counted = context.isEvidence ? parts.reduce((known, part) => withClusters(known, part, context), open) : open;
  let next = feedSlices(counted, pane, context);
  for (const part of parts) {
    if (context.isEvidence) next = isFirst ? feedPart(next, part, context) : feedLate(next, part, context);
    if (isFirst) next = learn(next, part, context);
  }
  return next;
}

function learn(signal: SignalState, part: Part, context: FeedContext): SignalState {
  let next = signal;
  if (part.evaluatorVersion !== "") next = { ...next, evaluatorVersion: part.evaluatorVersion };
  if (part.baseline !== null) next = learnSignal({ ...next, ...learned(next, next, part, context) }, part.baseline, context);
  if (part.pairs !== null && context.planned.group === "judge") {
    next = { ...next, drawn: learnDrawn(next, part.pairs, context.paneEndMs) };
  }
  return next;
}

/** Subject buckets, counted before the pane's evidence is: the design effect is of all that a process has taken. */
function withClusters(signal: SignalState, given: Part, { planned }: FeedContext): SignalState {
  const part = comparedPart(given, planned);
  const isShadow = part.step === SHADOW_STEP;
  const pairs = part.pairs === null || !isPaired(planned) ? null : clusteredPairs(part.pairs);
  const clusters =
    isShadow && planned.kind !== "mean"
      ? addToClusters(signal.clusters, part, pairs, null)
      : addToClusters(signal.clusters, part, clusteredSide(part.candidate, planned, signal.cap), clusteredSide(part.baseline, planned, signal.cap));
  return clusters === signal.clusters ? signal : { ...signal, clusters };
}

/** What a mirrored call costs is compared with what served calls cost: pairs are alike, which only makes the comparison more careful (statistics.md section 1.5). */
function comparedPart(part: Part, { kind }: PlannedSignal): Part {
  return kind === "mean" && part.step === SHADOW_STEP ? { ...part, candidate: part.shadow } : part;
}

function feedPart(signal: SignalState, given: Part, context: FeedContext): SignalState {
  const { planned, plan } = context;
  const part = comparedPart(given, planned);
  const isServed = part.step >= 0 || planned.kind === "mean";
  let next = part.step === context.step ? { ...signal, shown: show(signal.shown, part, planned, "all") } : signal;
  if (planned.weight === 0) return next;
  if (part.baseline !== null) next = testBaselineFloor(next, part.baseline, planned, plan);
  if (isServed && (part.candidate !== null || part.baseline !== null)) {
    next = mergeServed(next, part, context);
    if (planned.source === "judge" || planned.source === "outcome") next = feedMissing(next, part, originOf(part, context), context);
    if (planned.kind === "mean") next = feedRunaway(next, part, originOf(part, context), context);
  }
  if (part.step === SHADOW_STEP && part.pairs !== null) next = mergePairs(next, part, part.pairs, context);
  const own = part.step === SHADOW_STEP ? part.shadow : part.candidate;
  return own === null ? next : feedFloor(next, own, originOf(part, context), context);
}

/** Records of a late round: a block of their own, against the baseline's late records. */
function feedLate(signal: SignalState, part: Part, context: FeedContext): SignalState {
  if (context.planned.weight === 0) return signal;
  let next = part.step >= 0 ? feedLateServed(signal, signal, part, context, true) : signal;
  if (part.step === SHADOW_STEP && part.pairs !== null) next = feedLatePairs(next, part, part.pairs, context);
  const own = part.step === SHADOW_STEP ? part.shadow : part.candidate;
  return own === null ? next : feedFloor(next, own, originOf(part, context), context);
}

/** The plan's slices: of served calls, for freezing. What a pane says nothing of stays the object that it was. */
function feedSlices(signal: SignalState, pane: BlocksBySeries, context: FeedContext): SignalState {
  const { plan, planned } = context;
  if (plan.slices.length === 0) return signal;
  const slices: Record<string, SliceState> = {};
  for (const { name } of plan.slices) {
    let slice = signal.slices[name] ?? initialSlice;
    for (const part of partsOf(pane, planned, signal.evaluatorVersion, name)) if (part.step >= 0) slice = feedSlice(slice, signal, part, context);
    slices[name] = slice;
  }
  return { ...signal, slices };
}

function feedSlice(slice: SliceState, signal: SignalState, part: Part, context: FeedContext): SliceState {
  const { planned, isEvidence, round, step } = context;
  if (round > 0) return isEvidence && planned.weight > 0 ? feedLateServed(slice, signal, part, context, false) : slice;
  const { relative, pending } = isEvidence && planned.weight > 0 ? mergeSlice(slice, signal, part, context) : slice;
  const { prior, spread, priorAtMs } = learned(slice, signal, part, context);
  const shown = isEvidence && part.step === step ? show(slice.shown, part, planned, "slice") : slice.shown;
  return { relative, prior, priorAtMs, spread, pending, shown };
}

/** Blocks that have waited for the longest time are taken as they are: they are exact at every n. */
function closeOverdue(signal: SignalState, context: FeedContext): SignalState {
  if (signal.pending === null && signal.pendingPairs === null && !hasOpenSlice(signal)) return signal;
  const isOverdue = (block: { readonly fromMs: number } | null) => block !== null && context.paneEndMs - block.fromMs > context.plan.sustain.windowMs;
  let next = signal;
  if (isOverdue(next.pending)) next = closeServed(next, context);
  if (isOverdue(next.pendingPairs)) next = closePairs(next, context);
  const overdue = Object.entries(next.slices).filter(([, { pending }]) => isOverdue(pending));
  for (const [name, slice] of overdue) next = { ...next, slices: { ...next.slices, [name]: closeSlice(slice, next, context) } };
  return next;
}

function hasOpenSlice({ slices }: SignalState): boolean {
  for (const name in slices) if (slices[name]?.pending !== null) return true;
  return false;
}

function feedFloor(signal: SignalState, own: Side, origin: BlockOrigin, context: FeedContext): SignalState {
  const { planned, plan, ceiling, round } = context;
  if (planned.floor === null || own.scored === 0) return signal;
  const t = 1 - planned.floor;
  const alternatives = floorAlternatives(t);
  // In shadow the buckets hold differences of pairs, which are no less alike than the candidate's own losses.
  const isShadow = origin.step === SHADOW_STEP;
  const clustered = isShadow ? clusteredPairsOf(signal) : clusteredOf(signal, planned, "one");
  let floor = addFreezeBlock(signal.floor, oneSample(own.values, t, alternatives.freeze), FREEZE_WEIGHTS, { origin, plan, clustered });
  if (round === 0 && origin.step === context.step) {
    const unscored = canBeUnscored(planned) ? Math.max(0, own.sampled - own.scored) : 0;
    const increments = oneSample(withUnscored(own.values, unscored), t, alternatives.advance);
    floor = addAdvanceBlock(floor, increments, FLOOR_ADVANCE_WEIGHTS, { origin, ceiling, clustered, isComposite: false });
  }
  return { ...signal, floor };
}

/** What a person took the responsibility for: evidence of harm so far no longer counts. */
export function forgetHarm(signal: SignalState): SignalState {
  const slices = Object.fromEntries(Object.entries(signal.slices).map(([name, slice]) => [name, { ...slice, relative: withoutHarm(slice.relative) }]));
  return { ...signal, relative: withoutHarm(signal.relative), floor: withoutHarm(signal.floor), runaway: withoutHarm(signal.runaway), slices };
}
