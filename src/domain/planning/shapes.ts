import type { PlannedSignal } from "../rollout/spec/plan.ts";
import type { Margin } from "../stats/bet.ts";
import { thresholdBucket, valueCap } from "../stats/exceedance.ts";
import { histogramOf } from "../stats/histogram.ts";
import { exp, ln } from "../stats/ln.ts";
import { GAMMA_LN, OVERFLOW_BUCKET } from "../stats/log-bucket.ts";
import { asProbabilities, type Distribution, passFail, quantityGrid, raised, scaled, scoreGrid, varianceOf } from "./distributions.ts";
import type { Compared } from "./growth.ts";
import { normalCdf, normalQuantile } from "./normal.ts";
import type { BaselineShape } from "./traffic.ts";

/** Level of every percentile signal. */
const LEVEL = 0.95;
/** What latencies and costs look like where nothing is known: statistics.md section 3. */
const LATENCY_SIGMA = 0.6;
const COST_SIGMA = 1;
/** A cap is at least this many times the mean (statistics.md section 1.1). */
const LEAST_CAP = 20;
const Z_999 = 3.090232306167813;

/** A signal's comparison for a candidate that is worse by `harm` (a fraction: of all records, or of the baseline's value). */
export interface Shape {
  readonly toFreeze: (harm: number) => Compared;
  /** `limit`: instead of the margin's, where unscored records shrink it. */
  readonly toAdvance: (harm: number, limit?: number) => Compared;
  readonly baseline: Distribution;
  readonly candidate: (harm: number) => Distribution;
}

/** Margin that is tested: a calibrated judge's errors shrink the gap that can be seen (statistics.md section 2, judge noise). */
export function testedMargin({ margin, judgeJ }: PlannedSignal): { readonly tolerated: number; readonly limit: number } {
  return { tolerated: margin.tolerated * judgeJ, limit: margin.limit * judgeJ };
}

export function shapeOf(signal: PlannedSignal, known: BaselineShape): Shape {
  switch (signal.kind) {
    case "percentile":
      return percentileShape(signal, known);
    case "mean":
      return meanShape(signal, known);
    default:
      return differenceShape(signal, known);
  }
}

function differenceShape(signal: PlannedSignal, known: BaselineShape): Shape {
  const { tolerated, limit } = testedMargin(signal);
  const isScore = signal.kind === "score";
  const loss = known.loss ?? signal.reference;
  const sd = known.sd ?? Math.sqrt(signal.referenceVariance);
  const counted = known.counts === undefined ? null : asProbabilities(histogramOf({ kind: isScore ? "grid" : "binary", ...known.counts }));
  const baseline = counted ?? (isScore ? scoreGrid(loss, sd) : passFail(loss));
  // A judge that errs shows only a part of a difference.
  const candidate = (harm: number): Distribution => {
    const seen = harm * signal.judgeJ;
    if (isScore) return counted === null ? scoreGrid(loss + seen, sd) : raised(counted, seen);
    return counted === null ? passFail(loss + seen) : passFail((counted.counts[counted.values.indexOf(1)] ?? 0) + seen);
  };
  const v = isScore ? (counted === null ? sd * sd : varianceOf(counted)) : null;
  const margin = (d1: number): Margin => ({ kind: "difference", tolerated, limit: d1 });
  return {
    baseline,
    candidate,
    toFreeze: (harm) => ({ margin: margin(limit), candidate: candidate(harm), baseline, v }),
    toAdvance: (harm, d1 = limit) => ({ margin: margin(d1), candidate: candidate(harm), baseline, v }),
  };
}

function meanShape(signal: PlannedSignal, known: BaselineShape): Shape {
  const margin: Margin = { kind: "ratio", tolerated: signal.margin.tolerated, limit: signal.margin.limit };
  const cap = known.counts === undefined ? null : valueCap(known.counts);
  let baseline: Distribution;
  let candidate: (harm: number) => Distribution;
  let v: number;
  if (known.counts !== undefined && cap !== null) {
    const counted = asProbabilities(histogramOf({ kind: "log", ...known.counts }, cap));
    baseline = counted;
    candidate = (harm) => scaled(counted, 1 + harm);
    v = varianceOf(counted);
  } else {
    const sigma = Math.max(known.sigma ?? COST_SIGMA, 0.05);
    // In units of the baseline's mean.
    const units = Math.max(LEAST_CAP, exp(Z_999 * sigma - (sigma * sigma) / 2));
    candidate = (harm) => quantityGrid(1 + harm, sigma, units);
    baseline = candidate(0);
    v = varianceOf(baseline);
  }
  const compared = (harm: number): Compared => ({ margin, candidate: candidate(harm), baseline, v });
  return { baseline, candidate, toFreeze: compared, toAdvance: compared };
}

/** Shifted exceedance: how often the candidate exceeds the baseline's P95 times what the margin allows. */
function percentileShape(signal: PlannedSignal, known: BaselineShape): Shape {
  const margin: Margin = { kind: "percentile", level: LEVEL };
  const shift = signal.shift ?? { tolerated: 0, limit: 0 };
  const threshold = known.counts === undefined ? null : thresholdBucket(known.counts, LEVEL, 1);
  let above: (buckets: number) => number;
  if (known.counts !== undefined && threshold !== null) {
    const { values, counts } = asProbabilities(known.counts);
    // Within a bucket records are spread evenly, so that a harm of less than a bucket counts in part.
    above = (buckets) =>
      values.reduce((sum, bucket, i) => {
        const part = bucket >= OVERFLOW_BUCKET ? 1 : Math.min(Math.max(bucket + 1 - (threshold + buckets), 0), 1);
        return sum + part * (counts[i] ?? 0);
      }, 0);
  } else {
    const sigma = Math.max(known.sigma ?? LATENCY_SIGMA, 0.05);
    const z = normalQuantile(LEVEL);
    above = (buckets) => 1 - normalCdf(z + (buckets * GAMMA_LN) / sigma);
  }
  const tail = (harm: number, by: number) => passFail(above(by - ln(1 + harm) / GAMMA_LN));
  const baseline = passFail(threshold === null ? 1 - LEVEL : above(0));
  return {
    baseline,
    candidate: (harm) => tail(harm, 0),
    toFreeze: (harm) => ({ margin, candidate: tail(harm, shift.tolerated), baseline, v: null }),
    toAdvance: (harm) => ({ margin, candidate: tail(harm, shift.limit), baseline, v: null }),
  };
}
