import { KnownError } from "../../errors/known-error.ts";
import { exp, ln } from "./ln.ts";

/** ln of the bucket ratio, 1.1^(1/5) = 1.019245: ten percent is exactly five buckets (statistics.md section 1.4). */
export const GAMMA_LN = ln(1.1) / 5;

/** Bucket of what is zero or negative, or too small for any bucket of its own (below 6e-9). */
export const ZERO_BUCKET = -1000;

/** Bucket of what never ended: timeouts and cancelled calls. Above every bucket of a number. */
export const OVERFLOW_BUCKET = 99999;

/**
 * Log bucket of a positive quantity (milliseconds, micro-dollars, tokens): floor(ln x / GAMMA_LN), so that bucket i
 * holds [e^(i GAMMA_LN), e^((i+1) GAMMA_LN)).
 *
 * @param x any number; zero and below go to ZERO_BUCKET, Infinity to OVERFLOW_BUCKET
 * @throws {KnownError} EVALUATION_ERROR for NaN, which is a bug of whoever measured
 */
export function logBucket(x: number): number {
  if (Number.isNaN(x)) throw new KnownError("EVALUATION_ERROR", "a quantity to count is not a number", { fix: "report this: the measurement is broken" });
  if (x <= 0) return ZERO_BUCKET;
  if (x === Number.POSITIVE_INFINITY) return OVERFLOW_BUCKET;
  return Math.max(Math.floor(ln(x) / GAMMA_LN), ZERO_BUCKET);
}

/** Smallest value of a bucket: 0 for ZERO_BUCKET, Infinity for OVERFLOW_BUCKET. */
export function bucketFloor(bucket: number): number {
  if (bucket <= ZERO_BUCKET) return 0;
  return bucket >= OVERFLOW_BUCKET ? Number.POSITIVE_INFINITY : exp(bucket * GAMMA_LN);
}

/** Midpoints of the buckets up to e^(MOST_TABLED GAMMA_LN) = 5e16, worked out when first asked for: every pane asks for hundreds. */
const MOST_TABLED = 2000;
const midpoints = new Float64Array(MOST_TABLED - ZERO_BUCKET).fill(Number.NaN);

/** Geometric midpoint of a bucket, within 0.96 % of every value in it: 0 for ZERO_BUCKET, Infinity for OVERFLOW_BUCKET. */
export function bucketMidpoint(bucket: number): number {
  const known = midpoints[bucket - ZERO_BUCKET];
  if (known !== undefined && !Number.isNaN(known)) return known;
  if (bucket <= ZERO_BUCKET) return 0;
  if (bucket >= OVERFLOW_BUCKET) return Number.POSITIVE_INFINITY;
  const midpoint = exp((bucket + 0.5) * GAMMA_LN);
  if (bucket < MOST_TABLED && Number.isInteger(bucket)) midpoints[bucket - ZERO_BUCKET] = midpoint;
  return midpoint;
}

/** Whole buckets that a ratio shifts a value by: round(ln r / GAMMA_LN). 1.1 is 5, 1.02 is 1. */
export function bucketShift(ratio: number): number {
  return Math.round(ln(ratio) / GAMMA_LN);
}
