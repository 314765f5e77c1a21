import { emptyHistogram, type Histogram, total } from "./histogram.ts";
import { bucketMidpoint, logBucket, OVERFLOW_BUCKET } from "./log-bucket.ts";

/**
 * Percentiles by shifted exceedance (statistics.md section 1.4): when X_a <= r X_b stochastically,
 * P(X_a > r T) <= P(X_b > T) for every T. All values here are log buckets, so a ratio is a shift by whole buckets and
 * every count is exact. Timeouts are in the overflow bucket: an exceedance, never missing.
 *
 * @see Lindon, Sanden and Shirikian 2022, Rapid regression detection in software deployments through sequential testing, arXiv:2205.14762
 */

/** Baseline records that a threshold must rest on. */
export const RECORDS_FOR_THRESHOLD = 1000;

/** Records in this bucket or above. */
export function exceedances(buckets: Histogram, bucket: number): number {
  let n = 0;
  for (let i = buckets.values.length - 1; i >= 0 && (buckets.values[i] ?? 0) >= bucket; i--) n += buckets.counts[i] ?? 0;
  return n;
}

/**
 * The threshold T near a percentile of the baseline: the largest bucket with at least (1 - level) of the records in it
 * or above. Take it from panes that ended before the block it is used on.
 *
 * @param level for example 0.95
 * @param need fewest records
 * @param more further records of the baseline: asked for with every pane, so the two are walked side by side and never merged
 * @returns a bucket, or null below `need` records: no_data
 */
export function thresholdBucket(baseline: Histogram, level: number, need = RECORDS_FOR_THRESHOLD, more: Histogram = emptyHistogram): number | null {
  const n = total(baseline) + total(more);
  if (n < need || n === 0) return null;
  let above = 0;
  let i = baseline.values.length - 1;
  let j = more.values.length - 1;
  while (i >= 0 || j >= 0) {
    const bucket = Math.max(baseline.values[i] ?? Number.NEGATIVE_INFINITY, more.values[j] ?? Number.NEGATIVE_INFINITY);
    if (baseline.values[i] === bucket) above += baseline.counts[i--] ?? 0;
    if (more.values[j] === bucket) above += more.counts[j--] ?? 0;
    if (above >= (1 - level) * n) return bucket;
  }
  return null;
}

/** Binary counts of a block for the balanced bet. */
export interface ExceedanceCounts {
  readonly candidateN: number;
  readonly candidateAbove: number;
  readonly baselineN: number;
  readonly baselineAbove: number;
}

/**
 * Counts of one block: baseline records at or above T, candidate records at or above T shifted.
 *
 * @param shift whole buckets: `bucketShift(1 + tolerated)` to freeze, `bucketShift(1 + limit)` to advance
 */
export function shiftedExceedances(candidate: Histogram, baseline: Histogram, bucket: number, shift: number): ExceedanceCounts {
  return {
    candidateN: total(candidate),
    // A shift must not push T past what never ended: a timeout exceeds every threshold.
    candidateAbove: exceedances(candidate, Math.min(bucket + shift, OVERFLOW_BUCKET)),
    baselineN: total(baseline),
    baselineAbove: exceedances(baseline, bucket),
  };
}

/**
 * Cap of a mean (cost, tokens, calls): the baseline's P99.9, but at least 20 times its mean; fixed for the attempt
 * (statistics.md section 1.1). Buckets count with their geometric midpoint; overflow has no mean and is left out.
 *
 * @returns in the units of the buckets, or null when there is nothing to take it from
 */
export function valueCap(baseline: Histogram): number | null {
  let n = 0;
  let sum = 0;
  baseline.values.forEach((bucket, i) => {
    if (bucket >= OVERFLOW_BUCKET) return;
    n += baseline.counts[i] ?? 0;
    sum += (baseline.counts[i] ?? 0) * bucketMidpoint(bucket);
  });
  if (n === 0 || sum === 0) return null;
  const finite = baseline.values.map((bucket, i) => (bucket >= OVERFLOW_BUCKET ? 0 : (baseline.counts[i] ?? 0)));
  const highest = thresholdBucket({ values: baseline.values, counts: finite }, 0.999, 1);
  return Math.max(highest === null ? 0 : bucketMidpoint(highest), (20 * sum) / n);
}

/** Bucket of the runaway-loop test of a mean: two times the baseline's P99, from the same records as its cap. */
export function runawayBucket(baseline: Histogram, need = RECORDS_FOR_THRESHOLD): number | null {
  const p99 = thresholdBucket(baseline, 0.99, need);
  return p99 === null || p99 >= OVERFLOW_BUCKET ? p99 : logBucket(2 * bucketMidpoint(p99));
}
