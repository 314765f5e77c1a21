import { decayAndAdd, FREEZE_WEIGHTS, predictableMean, predictableVariance } from "../../stats/bet.ts";
import { runawayBucket, thresholdBucket, valueCap } from "../../stats/exceedance.ts";
import { floorAlternatives, oneSample } from "../../stats/floor.ts";
import { addToFreeze, createFreeze, freezeLogE } from "../../stats/freeze-process.ts";
import { addMoments, emptyHistogram, type Histogram, histogramOf, type Moments, mergeHistograms, momentsOf, noMoments, total } from "../../stats/histogram.ts";
import { threshold } from "../../stats/nano-nats.ts";
import { canBeUnscored, type PlannedSignal, type RolloutPlan } from "../spec/plan.ts";
import type { Part, Side } from "./parts.ts";
import type { BaselineHistograms, KnownBefore, SignalState, SliceState } from "./signal-state.ts";
import { isComparable, momentsOfSide } from "./values.ts";

/** Shortest and longest time that the panes of a threshold span (statistics.md section 1.4). */
const STRETCH_MS = 60 * 60_000;
const LONGEST_STRETCH_MS = 7 * 24 * 60 * 60_000;
export const PERCENTILE = 0.95;

const seenOf = ({ previous, current }: BaselineHistograms): Histogram => mergeHistograms(previous, current);

/** The bucket that exceedances are counted from, by the panes so far; null: too few records. */
export const thresholdOf = ({ histograms }: SignalState): number | null => histograms?.threshold ?? null;

/** Mean loss that a baseline is taken to have before it was seen. */
function referenceOf(planned: PlannedSignal): number {
  return planned.kind === "percentile" ? 1 - PERCENTILE : planned.reference;
}

/** Kinds whose variance does not follow from their mean. */
const isSpread = ({ kind }: PlannedSignal) => kind === "score" || kind === "mean";

/** Share of the baseline's drawn records without a score, by earlier panes; 0 for what cannot be unscored. */
export function unscoredShareOf({ drawn }: Pick<SignalState, "drawn">, { group }: Pick<PlannedSignal, "group">): number {
  return canBeUnscored({ group }) && drawn.sampled > 0 ? drawn.unscored / drawn.sampled : 0;
}

/** Adds what was drawn in a pane. What six hours old counts half, so that a judge's outage does not withhold proof for the rest of an attempt. */
export function learnDrawn(
  { drawn }: Pick<SignalState, "drawn">,
  { sampled, scored }: Pick<Side, "sampled" | "scored">,
  paneEndMs: number,
): SignalState["drawn"] {
  const elapsedMs = drawn.atMs === 0 ? 0 : paneEndMs - drawn.atMs;
  const unscored = Math.max(0, sampled - scored);
  const { n, sum } = decayAndAdd({ n: drawn.sampled, sum: drawn.unscored, sumSquares: 0 }, elapsedMs, { n: sampled, sum: unscored, sumSquares: 0 });
  return { sampled: n, unscored: sum, atMs: Math.max(drawn.atMs, paneEndMs) };
}

/**
 * What is known of the baseline before a block, and stays the block's however many panes it merges.
 *
 * @param slice null: all traffic; a slice starts from what all traffic shows
 */
export function knownBefore(signal: SignalState, slice: SliceState | null, planned: PlannedSignal): KnownBefore {
  const ofAll = predictableMean(signal.prior, referenceOf(planned));
  const spreadOfAll = isSpread(planned) ? predictableVariance(signal.spread, planned.referenceVariance) : null;
  return {
    pref: slice === null ? ofAll : predictableMean(slice.prior, ofAll),
    v: spreadOfAll === null || slice === null ? spreadOfAll : predictableVariance(slice.spread, spreadOfAll),
    unscoredShare: unscoredShareOf(signal, planned),
    threshold: planned.kind === "percentile" ? thresholdOf(signal) : null,
    cap: planned.kind === "mean" ? signal.cap : null,
  };
}

export interface LearnContext {
  readonly planned: PlannedSignal;
  readonly plan: RolloutPlan;
  readonly paneStartMs: number;
  readonly paneEndMs: number;
}

/** What is known for later blocks, with both arms' losses of a pane. */
export function learned(
  slice: SliceState,
  signal: SignalState,
  part: Part,
  { planned, paneEndMs }: LearnContext,
): Pick<SliceState, "prior" | "spread" | "priorAtMs"> {
  const known = { threshold: planned.kind === "percentile" ? thresholdOf(signal) : null, cap: planned.kind === "mean" ? signal.cap : null };
  const { prior, spread, priorAtMs } = slice;
  if (!isComparable(planned, known)) return { prior, spread, priorAtMs };
  const elapsedMs = priorAtMs === 0 ? 0 : paneEndMs - priorAtMs;
  const momentsIn = (side: Side | null): Moments => (side === null ? noMoments : momentsOfSide(side, planned, known));
  const baseline = momentsIn(part.baseline);
  return {
    prior: decayAndAdd(prior, elapsedMs, baseline),
    spread: isSpread(planned) ? decayAndAdd(spread, elapsedMs, addMoments(baseline, momentsIn(part.candidate))) : spread,
    priorAtMs: Math.max(priorAtMs, paneEndMs),
  };
}

/** What only all traffic together shows: unscored records, the threshold of a percentile, the cap of a quantity. */
export function learnSignal(signal: SignalState, side: Side, context: LearnContext): SignalState {
  const { planned, plan, paneStartMs, paneEndMs } = context;
  const drawn = learnDrawn(signal, side, paneEndMs);
  if (planned.kind === "percentile") {
    const panes = addPane(signal.histograms, side, { paneStartMs, paneEndMs, need: plan.percentileMinRecords });
    const histograms = { ...panes, threshold: thresholdBucket(panes.current, PERCENTILE, plan.percentileMinRecords, panes.previous) };
    return withCap({ ...signal, drawn, histograms }, planned, plan);
  }
  if (planned.kind !== "mean" || signal.cap !== null) return { ...signal, drawn };
  const histograms = addPane(signal.histograms, side, { paneStartMs, paneEndMs, need: Number.POSITIVE_INFINITY });
  return withCap({ ...signal, drawn, histograms }, planned, plan);
}

/**
 * Fixes the cap of a quantity once the baseline has shown enough records: for the attempt, since the capped mean is what is compared
 * (statistics.md section 1.1). The records that it rests on are earlier than every block that it is used in, so they also say what mean to expect.
 */
function withCap(signal: SignalState, planned: PlannedSignal, plan: RolloutPlan): SignalState {
  if (signal.cap !== null) return signal;
  if (signal.histograms === null) return signal;
  const seen = seenOf(signal.histograms);
  if (total(seen) < plan.percentileMinRecords) return signal;
  const exact = valueCap(seen);
  if (exact === null) return signal;
  // Whole units, as gateways and sampler are told it.
  const cap = Math.max(1, Math.ceil(exact));
  if (planned.kind !== "mean") return { ...signal, cap };
  const moments = momentsOf(histogramOf({ kind: "log", ...seen }, cap));
  return { ...signal, cap, runawayBucket: runawayBucket(seen, plan.percentileMinRecords), histograms: null, prior: moments, spread: moments };
}

function addPane(
  histograms: BaselineHistograms | null,
  side: Side,
  about: { readonly paneStartMs: number; readonly paneEndMs: number; readonly need: number },
): BaselineHistograms {
  const old = histograms ?? { current: emptyHistogram, currentFromMs: about.paneStartMs, previous: emptyHistogram, threshold: null };
  const current = mergeHistograms(old.current, side.values);
  const spanMs = about.paneEndMs - old.currentFromMs;
  const isFull = (spanMs >= STRETCH_MS && total(current) >= about.need) || spanMs >= LONGEST_STRETCH_MS;
  return isFull ? { ...old, current: emptyHistogram, currentFromMs: about.paneEndMs, previous: current } : { ...old, current };
}

/** The baseline's own test against the floor: once it is proven below, the floor no longer binds the candidate, unless it is strict. */
export function testBaselineFloor(signal: SignalState, side: Side, planned: PlannedSignal, plan: RolloutPlan): SignalState {
  if (planned.floor === null || planned.isFloorStrict || signal.baselineFloor.isBelow) return signal;
  const t = 1 - planned.floor;
  const before = signal.baselineFloor.process ?? createFreeze(FREEZE_WEIGHTS, 0);
  const process = addToFreeze(before, oneSample(side.values, t, floorAlternatives(t).freeze));
  return { ...signal, baselineFloor: { process, isBelow: freezeLogE(process) >= threshold(plan.alpha) } };
}
