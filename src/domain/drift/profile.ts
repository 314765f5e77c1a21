import type { Block } from "../rollout/input.ts";
import { armDesignEffect } from "../stats/design-effect.ts";
import { referenceBound, referenceBoundOfScores, referenceCells } from "../stats/drift.ts";
import { thresholdBucket } from "../stats/exceedance.ts";
import { addMoments, emptyHistogram, type Histogram, type Moments, mergeHistograms, momentsOf, noMoments, total } from "../stats/histogram.ts";
import { DAY_CELLS, dayCellOf } from "./day-cells.ts";
import { EXCEEDING, isCountable, lossesOf, type WatchedSignal } from "./watched.ts";

/**
 * The reference profile of a version: how its calls were while it was known to be good. Taken once, then frozen; whatever
 * comes later is compared with it, its own error included (statistics.md section 1.6).
 */
export interface Profile {
  readonly version: string;
  /** Start of its first pane and end of its newest one, epoch ms; 0: none yet. */
  readonly fromMs: number;
  readonly toMs: number;
  /** null: still being taken. */
  readonly takenAtMs: number | null;
  readonly signals: readonly ProfileSignal[];
}

/** Counts of a signal while the profile is taken; afterwards its bounds. */
export interface ProfileSignal {
  readonly signal: WatchedSignal;
  /** Of exceedances: the records that the threshold is taken from; they are not counted, so that the threshold is fixed before what it counts. */
  readonly seen: Histogram;
  /** Log bucket of the reference's P95; 0 for other forms; null: not fixed yet. */
  readonly threshold: number | null;
  /** Losses per 6-hour cell of the day, on weekdays and at weekends. */
  readonly cells: readonly Moments[];
  readonly subjectCounts: readonly number[];
  readonly subjectSums: readonly number[];
  /** null while it is taken, and afterwards where there were too few records: shown, never acts. */
  readonly bounds: Bounds | null;
}

/** What later records are tested against. */
export interface Bounds {
  /** Bound on the mean loss per cell of the day: 4, or 8 with weekends of their own. */
  readonly byCell: readonly number[];
  readonly n: number;
  readonly mean: number;
  /** Variance of a score; null for the others, where it follows from the bound. */
  readonly variance: number | null;
  /** Design effect of subjects, measured in the reference: it widens the bound and tempers the evidence. */
  readonly deff: number;
}

/** Chance of any false alarm that pays for the reference's error: statistics.md section 1.6, 72 h. */
export const REFERENCE_ALPHA = 0.01;

export function newProfile(version: string, signals: readonly WatchedSignal[]): Profile {
  const empty = { seen: emptyHistogram, cells: Array.from({ length: 2 * DAY_CELLS }, () => noMoments), subjectCounts: [], subjectSums: [], bounds: null };
  return {
    version,
    fromMs: 0,
    toMs: 0,
    takenAtMs: null,
    signals: signals.map((signal) => ({ ...empty, signal, threshold: signal.form === "exceedance" ? null : 0 })),
  };
}

const added = (one: readonly number[], other: readonly number[]): readonly number[] => (one.length === 0 ? other : one.map((x, i) => x + (other[i] ?? 0)));

/**
 * Takes the version's blocks of a closed pane into a profile that is being taken.
 *
 * @param need fewest records that a threshold rests on
 */
export function addPane(
  profile: Profile,
  blocks: readonly Block[],
  pane: { readonly startMs: number; readonly endMs: number; readonly need: number },
): Profile {
  let isAdded = false;
  const signals = profile.signals.map((one) => {
    const mine = blocks.filter((block) => block.signal === one.signal.name && isCountable(block, one.signal));
    if (mine.length > 0) isAdded = true;
    return mine.reduce((sum, block) => addBlock(sum, block, pane), one);
  });
  if (!isAdded) return profile;
  return { ...profile, signals, fromMs: profile.fromMs === 0 ? pane.startMs : profile.fromMs, toMs: Math.max(profile.toMs, pane.endMs) };
}

function addBlock(one: ProfileSignal, block: Block, { startMs, need }: { readonly startMs: number; readonly need: number }): ProfileSignal {
  if (one.threshold === null) {
    const seen = mergeHistograms(one.seen, { values: block.values, counts: block.counts });
    const threshold = thresholdBucket(seen, 1 - EXCEEDING, need);
    return threshold === null ? { ...one, seen } : { ...one, seen: emptyHistogram, threshold };
  }
  // The reference counts at its threshold, what is compared with it at the shifted one (statistics.md section 1.4).
  const losses = momentsOf(lossesOf(block, one.signal, one.threshold, 0));
  const cell = dayCellOf(startMs, 2 * DAY_CELLS);
  const cells = one.cells.map((sum, i) => (i === cell ? addMoments(sum, losses) : sum));
  if (one.signal.form === "exceedance" || block.subjectCounts.length === 0) return { ...one, cells };
  return { ...one, cells, subjectCounts: added(one.subjectCounts, block.subjectCounts), subjectSums: added(one.subjectSums, block.subjectSums) };
}

const totalOf = (cells: readonly Moments[]): Moments => cells.reduce(addMoments, noMoments);

/** Whether every signal that was seen at all has enough records, a threshold included. */
export function isEnough({ signals }: Profile, need: number): boolean {
  const started = signals.filter(({ cells, seen }) => totalOf(cells).n + total(seen) > 0);
  return started.length > 0 && started.every(({ cells }) => totalOf(cells).n >= need);
}

/** Whether at least one signal has enough records for bounds. */
export function isAnyEnough({ signals }: Profile, need: number): boolean {
  return signals.some(({ cells }) => totalOf(cells).n >= need);
}

/** Days from which on weekends have cells of their own. */
const WEEKEND_FROM_MS = 14 * 24 * 60 * 60_000;

/**
 * Freezes a profile. Signals with fewer than `need` records get no bounds: they are only watched.
 *
 * @param need fewest records of a signal; 1,000 unless a spec says otherwise
 */
export function takeProfile(profile: Profile, atMs: number, need: number): Profile {
  const isLong = profile.toMs - profile.fromMs >= WEEKEND_FROM_MS;
  const deffs = profile.signals.map(deffOf);
  const signals = profile.signals.map((one, i): ProfileSignal => {
    // Exceedances borrow from what is counted on the same calls: their own subjects are not counted.
    const ofGroup = deffs.filter((_, k) => profile.signals[k]?.signal.group === one.signal.group);
    const deff = one.signal.form === "exceedance" ? Math.max(1, ...ofGroup) : (deffs[i] ?? 1);
    const cells = isLong ? one.cells : one.cells.slice(0, DAY_CELLS).map((sum, k) => addMoments(sum, one.cells[k + DAY_CELLS] ?? noMoments));
    return {
      ...one,
      seen: emptyHistogram,
      cells: [],
      subjectCounts: [],
      subjectSums: [],
      bounds: boundsOf(one.signal, cells, { deff, need, alpha: REFERENCE_ALPHA / profile.signals.length }),
    };
  });
  return { ...profile, takenAtMs: atMs, signals };
}

function deffOf({ signal, cells, subjectCounts, subjectSums }: ProfileSignal): number {
  if (signal.form === "exceedance" || subjectCounts.length === 0) return 1;
  const unit = signal.form === "score" ? 100 : 1;
  return armDesignEffect(
    subjectCounts,
    subjectSums.map((sum) => sum / unit),
    signal.form === "score" ? varianceOf(totalOf(cells)) : null,
  );
}

function varianceOf({ n, sum, sumSquares }: Moments): number {
  return n === 0 ? 0 : Math.max(0, sumSquares / n - (sum / n) * (sum / n));
}

function boundsOf(
  signal: WatchedSignal,
  cells: readonly Moments[],
  about: { readonly deff: number; readonly need: number; readonly alpha: number },
): Bounds | null {
  const merged = referenceCells(
    cells.map(({ n, sum }) => ({ n, bad: sum })),
    about.need,
  );
  if (merged === null) return null;
  const byCell = new Array<number>(cells.length).fill(1);
  for (const { cells: covered, n, bad } of merged) {
    // Records of one subject are alike: the reference knows as much as so many independent ones would.
    const [nOwn, badOwn] = [Math.max(1, Math.floor(n / about.deff)), bad / about.deff];
    const bound =
      signal.form === "score"
        ? referenceBoundOfScores(Math.min(badOwn, nOwn), nOwn, signal.tolerated, about.alpha, merged.length)
        : referenceBound(Math.min(Math.ceil(badOwn), nOwn), nOwn, signal.tolerated, about.alpha, merged.length);
    for (const cell of covered) byCell[cell] = Math.min(1, bound);
  }
  const all = totalOf(cells);
  return { byCell, n: all.n, mean: all.sum / all.n, variance: signal.form === "score" ? varianceOf(all) : null, deff: about.deff };
}
