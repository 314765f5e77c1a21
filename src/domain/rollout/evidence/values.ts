import { exceedances } from "../../stats/exceedance.ts";
import { binaryHistogram, emptyHistogram, type Histogram, histogramOf, type Moments, mergeHistograms, momentsOf, total } from "../../stats/histogram.ts";
import { OVERFLOW_BUCKET } from "../../stats/log-bucket.ts";
import { canBeUnscored, type PlannedSignal } from "../spec/plan.ts";
import { type ArmBuckets, type Asked, bucketsOf } from "./clusters.ts";
import type { Side } from "./parts.ts";
import type { ArmValues, KnownBefore } from "./signal-state.ts";

export const noValues: ArmValues = { freeze: emptyHistogram, advance: emptyHistogram, unscored: 0 };

/** Whether enough is known of the baseline to compare at all: a threshold for percentiles, a cap for means. */
export function isComparable(planned: PlannedSignal, { threshold, cap }: Pick<KnownBefore, "threshold" | "cap">): boolean {
  return planned.kind === "percentile" ? threshold !== null : planned.kind !== "mean" || cap !== null;
}

/**
 * Losses of an arm as the bets take them: pass/fail as 0 and 1, scores in steps of 0.01, capped quantities, exceedances.
 *
 * @param known `isComparable`
 * @param shift of a percentile's candidate, whole buckets, so that both counts are exact
 */
export function valuesOf(side: Side, planned: PlannedSignal, known: Pick<KnownBefore, "threshold" | "cap">, shift: PlannedSignal["shift"]): ArmValues {
  return measured(side, planned, known, shift).values;
}

/** n, sum and sum of squares of the losses that freezing counts, without any shift of a percentile. */
export function momentsOfSide(side: Side, planned: PlannedSignal, known: Pick<KnownBefore, "threshold" | "cap">): Moments {
  const found = measured(side, planned, known, null);
  found.moments ??= momentsOf(found.values.freeze);
  return found.moments;
}

/** A side's losses, with what they were worked out from. */
export interface Measured extends Pick<KnownBefore, "threshold" | "cap">, Pick<PlannedSignal, "shift"> {
  readonly planned: PlannedSignal;
  readonly values: ArmValues;
  moments: Moments | null;
}

function measured(side: Side, planned: PlannedSignal, { threshold, cap }: Pick<KnownBefore, "threshold" | "cap">, shift: PlannedSignal["shift"]): Measured {
  const before = side.memo;
  if (before !== null && before.planned === planned && before.threshold === threshold && before.cap === cap && before.shift === shift) return before;
  const found: Measured = { planned, threshold, cap, shift, values: computeValues(side, planned, { threshold, cap }, shift), moments: null };
  side.memo = found;
  return found;
}

function computeValues(side: Side, planned: PlannedSignal, known: Pick<KnownBefore, "threshold" | "cap">, shift: PlannedSignal["shift"]): ArmValues {
  const unscored = canBeUnscored(planned) ? Math.max(0, side.sampled - side.scored) : 0;
  if (planned.kind === "percentile") {
    const n = side.scored;
    const above = (by: number) => binaryHistogram(n, exceedances(side.values, Math.min((known.threshold ?? OVERFLOW_BUCKET) + by, OVERFLOW_BUCKET)));
    return { freeze: above(shift?.tolerated ?? 0), advance: above(shift?.limit ?? 0), unscored: 0 };
  }
  const losses = lossesOf(side.values, planned, known.cap);
  return { freeze: losses, advance: losses, unscored };
}

function lossesOf(values: Histogram, planned: PlannedSignal, cap: number | null): Histogram {
  switch (planned.kind) {
    case "score":
      return histogramOf({ kind: "grid", ...values });
    case "mean":
      return cap === null ? emptyHistogram : histogramOf({ kind: "log", ...values }, cap);
    default:
      return binaryHistogram(total(values), exceedances(values, 1));
  }
}

export function addValues(one: ArmValues, other: ArmValues): ArmValues {
  const freeze = mergeHistograms(one.freeze, other.freeze);
  const isOne = one.freeze === one.advance && other.freeze === other.advance;
  return { freeze, advance: isOne ? freeze : mergeHistograms(one.advance, other.advance), unscored: one.unscored + other.unscored };
}

/** Subject buckets of an arm, for the design effect. A percentile borrows that of its capped quantity (statistics.md section 7). */
export function clusteredSide(side: Side | null, planned: PlannedSignal, cap: number | null): ArmBuckets | null {
  if (side === null || side.subjectCounts.length === 0) return null;
  const isQuantity = planned.kind === "percentile" || planned.kind === "mean";
  if (isQuantity && cap === null) return null;
  const moments =
    planned.kind === "percentile"
      ? momentsOf(histogramOf({ kind: "log", ...side.values }, cap ?? 1))
      : momentsOfSide(side, planned, { threshold: null, cap: planned.kind === "mean" ? cap : null });
  return bucketsOf(side.subjectCounts, side.subjectSums, moments);
}

/** Subject buckets of differences in hundredths. */
export function clusteredPairs(side: Side): ArmBuckets | null {
  if (side.subjectCounts.length === 0) return null;
  return bucketsOf(side.subjectCounts, side.subjectSums, momentsOf(histogramOf({ kind: "paired", ...side.values })));
}

/** How the design effect of a signal's comparison of served calls is asked for. */
export function askedOf(planned: PlannedSignal, cap: number | null): Omit<Asked, "use" | "arms"> {
  if (planned.kind === "binary") return { isBinary: true, unit: 1 };
  return { isBinary: false, unit: planned.kind === "score" ? 100 : (cap ?? 1) };
}
