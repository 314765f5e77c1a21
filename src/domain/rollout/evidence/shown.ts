import { mergeHistograms, total } from "../../stats/histogram.ts";
import { bucketMidpoint, OVERFLOW_BUCKET } from "../../stats/log-bucket.ts";
import type { PlannedSignal } from "../spec/plan.ts";
import { PERCENTILE } from "./baseline.ts";
import type { Part, Side } from "./parts.ts";
import type { ArmShown, Shown } from "./signal-state.ts";

/** Micro-dollars per dollar: costs are counted in the former and shown in the latter. */
const MICRO = 1e6;

/**
 * Adds a pane of this step to what people see. In shadow the candidate's own side is shown, or the differences where only pairs are known.
 *
 * @param of a slice counts the records of a percentile, but keeps no histogram of it: its rolling window shows the percentile
 */
export function show(shown: Shown, part: Part, planned: PlannedSignal, of: "all" | "slice"): Shown {
  const candidate = part.step >= 0 ? part.candidate : (part.shadow ?? part.pairs);
  const isPairsOnly = part.step < 0 && part.shadow === null;
  return {
    candidate: candidate === null ? shown.candidate : addShown(shown.candidate, candidate, planned, { isPairs: isPairsOnly, of }),
    baseline: part.baseline === null ? shown.baseline : addShown(shown.baseline, part.baseline, planned, { isPairs: false, of }),
  };
}

function addShown(shown: ArmShown, side: Side, planned: PlannedSignal, about: { readonly isPairs: boolean; readonly of: "all" | "slice" }): ArmShown {
  const n = shown.n + total(side.values);
  if (about.isPairs) return { ...shown, n, sum: shown.sum + differencesOf(side), isPaired: true };
  if (planned.kind === "percentile" && about.of === "slice") return { ...shown, n };
  if (planned.kind === "percentile") return { ...shown, n, buckets: mergeHistograms(shown.buckets, side.values) };
  return { ...shown, n, sum: shown.sum + sumOf(side, planned) };
}

/** Sum of the differences in loss; they are counted in hundredths. */
function differencesOf({ values: { values, counts } }: Side): number {
  return values.reduce((sum, value, i) => sum + (value * (counts[i] ?? 0)) / 100, 0);
}

function sumOf({ values: { values, counts } }: Side, planned: PlannedSignal): number {
  const scale = planned.kind === "score" ? 0.01 : 1;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    if (planned.kind === "mean" && value >= OVERFLOW_BUCKET) continue;
    sum += (counts[i] ?? 0) * (planned.kind === "mean" ? bucketMidpoint(value) : value * scale);
  }
  return sum;
}

/** The value of an arm as shown: a rate or mean score (of bad where higher is worse), ms, USD, tokens; null without data, and where only pairs are known. */
export function shownValue({ n, sum, isPaired, buckets }: ArmShown, planned: PlannedSignal): number | null {
  if (n === 0 || isPaired) return null;
  switch (planned.kind) {
    case "percentile":
      return percentileOf(buckets.values, buckets.counts);
    case "mean":
      return planned.name.startsWith("cost") ? sum / n / MICRO : sum / n;
    default:
      return planned.direction === "higher_is_worse" ? sum / n : 1 - sum / n;
  }
}

function percentileOf(values: readonly number[], counts: readonly number[]): number | null {
  const n = counts.reduce((all, count) => all + count, 0);
  let below = 0;
  for (let i = 0; i < values.length; i++) {
    below += counts[i] ?? 0;
    // What never ended has no number of its own.
    if (below >= PERCENTILE * n) return (values[i] ?? 0) >= OVERFLOW_BUCKET ? null : bucketMidpoint(values[i] ?? 0);
  }
  return null;
}

/** Candidate minus baseline as harm, a fraction of the baseline where the margin is relative; null without data. */
export function shownDelta(shown: Shown, planned: PlannedSignal): number | null {
  const { n, sum, isPaired } = shown.candidate;
  if (isPaired) return n === 0 ? null : sum / n;
  const [candidate, baseline] = [shownValue(shown.candidate, planned), shownValue(shown.baseline, planned)];
  if (candidate === null || baseline === null) return null;
  if (planned.margin.relative || planned.kind === "mean") return baseline === 0 ? null : candidate / baseline - 1;
  return planned.direction === "higher_is_worse" ? candidate - baseline : baseline - candidate;
}
