import { ln } from "./ln.ts";

/**
 * Interval for the harm as people read it, valid at every look; display only, never a decision (statistics.md section
 * 1.3). A two-sided normal mixture on the differences of blocks.
 *
 * @see Robbins 1970, Statistical methods related to the law of the iterated logarithm, doi:10.1214/aoms/1177696786
 */
export interface IntervalSums {
  /** Sum of precisions h of the blocks. */
  readonly precision: number;
  /** Sum of h times the block's difference. */
  readonly weighted: number;
}

export const emptyInterval: IntervalSums = { precision: 0, weighted: 0 };

export interface ArmMean {
  readonly n: number;
  readonly mean: number;
  /** Variance of one record. */
  readonly v: number;
}

/** Adds a block; one with an empty arm or no spread at all adds nothing. `s` as in the null: 1, or 1 + r for ratios. */
export function addToInterval(sums: IntervalSums, candidate: ArmMean, baseline: ArmMean, s = 1): IntervalSums {
  if (candidate.n === 0 || baseline.n === 0) return sums;
  const variance = candidate.v / candidate.n + (s * s * baseline.v) / baseline.n;
  if (!(variance > 0)) return sums;
  return { precision: sums.precision + 1 / variance, weighted: sums.weighted + (candidate.mean - s * baseline.mean) / variance };
}

export interface Interval {
  readonly centre: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The interval for mean_candidate - s mean_baseline.
 *
 * @param gap limit - tolerated, in the units of the differences: where the interval is to be tightest
 * @param alpha chance that it is ever wrong, in (0, 1)
 * @returns null while there is nothing to say
 */
export function interval(sums: IntervalSums, gap: number, alpha: number): Interval | null {
  if (!(sums.precision > 0) || !(gap > 0)) return null;
  const rho = 1 / (gap * gap);
  const total = sums.precision + rho;
  const half = Math.sqrt(total * (2 * ln(1 / alpha) + ln(total / rho))) / sums.precision;
  const centre = sums.weighted / sums.precision;
  return { centre, low: centre - half, high: centre + half };
}
