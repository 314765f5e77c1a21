import { decayAndAdd, FREEZE_WEIGHTS, predictableMean } from "../../stats/bet.ts";
import { exceedances, thresholdBucket } from "../../stats/exceedance.ts";
import { floorAlternatives, oneSample } from "../../stats/floor.ts";
import { addToFreeze, createFreeze, freezeLogE } from "../../stats/freeze-process.ts";
import { emptyHistogram, mergeHistograms, momentsOf, total } from "../../stats/histogram.ts";
import { threshold } from "../../stats/nano-nats.ts";
import type { PlannedSignal, RolloutPlan } from "../spec/plan.ts";
import type { Side } from "./parts.ts";
import type { BaselineHistograms, SignalState } from "./signal-state.ts";

/** Shortest and longest time that the panes of a threshold span (statistics.md section 1.4). */
const STRETCH_MS = 60 * 60_000;
const LONGEST_STRETCH_MS = 7 * 24 * 60 * 60_000;
export const PERCENTILE = 0.95;

/** The bucket that exceedances are counted from, by the panes so far; null: too few records. */
export function thresholdOf(signal: SignalState, plan: RolloutPlan): number | null {
  if (signal.histograms === null) return null;
  return thresholdBucket(mergeHistograms(signal.histograms.previous, signal.histograms.current), PERCENTILE, plan.percentileMinRecords);
}

/** What is known of the baseline before a block, and stays the block's however many panes it merges. */
export function knownBefore(signal: SignalState, planned: PlannedSignal, plan: RolloutPlan): { pref: number; unscoredShare: number; threshold: number | null } {
  const { sampled, unscored } = signal.drawn;
  return {
    pref: predictableMean(signal.prior, planned.kind === "percentile" ? 1 - PERCENTILE : planned.reference),
    unscoredShare: planned.group === "judge" && sampled > 0 ? unscored / sampled : 0,
    threshold: planned.kind === "percentile" ? thresholdOf(signal, plan) : null,
  };
}

/** Takes a baseline's part of a pane into what is known for later blocks. */
export function learnBaseline(
  signal: SignalState,
  side: Side,
  about: { readonly planned: PlannedSignal; readonly plan: RolloutPlan; readonly paneStartMs: number; readonly paneEndMs: number },
): SignalState {
  const { planned, plan, paneStartMs, paneEndMs } = about;
  const drawn = { sampled: signal.drawn.sampled + side.sampled, unscored: signal.drawn.unscored + Math.max(0, side.sampled - side.scored) };
  const elapsedMs = signal.priorAtMs === 0 ? 0 : paneEndMs - signal.priorAtMs;
  const learned = { ...signal, drawn, priorAtMs: Math.max(signal.priorAtMs, paneEndMs) };
  if (planned.kind === "binary") return { ...learned, prior: decayAndAdd(signal.prior, elapsedMs, momentsOf(side.values)) };
  if (planned.kind !== "percentile") return learned;
  const bucket = thresholdOf(signal, plan);
  const n = total(side.values);
  const above = bucket === null ? 0 : exceedances(side.values, bucket);
  return {
    ...learned,
    prior: bucket === null ? signal.prior : decayAndAdd(signal.prior, elapsedMs, { n, sum: above, sumSquares: above }),
    histograms: addPane(signal.histograms, side, { paneStartMs, paneEndMs, need: plan.percentileMinRecords }),
  };
}

function addPane(
  histograms: BaselineHistograms | null,
  side: Side,
  about: { readonly paneStartMs: number; readonly paneEndMs: number; readonly need: number },
): BaselineHistograms {
  const old = histograms ?? { current: emptyHistogram, currentFromMs: about.paneStartMs, previous: emptyHistogram };
  const current = mergeHistograms(old.current, side.values);
  const spanMs = about.paneEndMs - old.currentFromMs;
  const isFull = (spanMs >= STRETCH_MS && total(current) >= about.need) || spanMs >= LONGEST_STRETCH_MS;
  return isFull ? { current: emptyHistogram, currentFromMs: about.paneEndMs, previous: current } : { ...old, current };
}

/** The baseline's own test against the floor: once it is proven below, the floor no longer binds the candidate. */
export function testBaselineFloor(signal: SignalState, side: Side, planned: PlannedSignal, plan: RolloutPlan): SignalState {
  if (planned.floor === null || signal.baselineFloor.isBelow) return signal;
  const t = 1 - planned.floor;
  const before = signal.baselineFloor.process ?? createFreeze(FREEZE_WEIGHTS, 0);
  const process = addToFreeze(before, oneSample(side.values, t, floorAlternatives(t).freeze));
  return { ...signal, baselineFloor: { process, isBelow: freezeLogE(process) >= threshold(plan.alpha) } };
}
