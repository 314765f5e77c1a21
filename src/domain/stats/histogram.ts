import { bucketMidpoint } from "./log-bucket.ts";

/** Exact counts per value: values ascending, `counts[i]` records had `values[i]`. Losses lie in [0, 1], differences of pairs in [-1, 1]. */
export interface Histogram {
  readonly values: readonly number[];
  readonly counts: readonly number[];
}

/** The counts of a block, as `statistics` in topics/parts.ts describes them. */
export interface CountedValues extends Histogram {
  readonly kind: "binary" | "grid" | "log" | "paired" | "other";
}

/** n, sum of x and sum of x squared. */
export interface Moments {
  readonly n: number;
  readonly sum: number;
  readonly sumSquares: number;
}

export const emptyHistogram: Histogram = { values: [], counts: [] };
export const noMoments: Moments = { n: 0, sum: 0, sumSquares: 0 };

export function addMoments(one: Moments, other: Moments): Moments {
  return { n: one.n + other.n, sum: one.sum + other.sum, sumSquares: one.sumSquares + other.sumSquares };
}

/** Number of records. */
export function total(histogram: Histogram): number {
  const { counts } = histogram;
  let n = 0;
  for (let i = 0; i < counts.length; i++) n += counts[i] ?? 0;
  return n;
}

/** A binary signal: `bad` of `n` records have loss 1, the others 0. */
export function binaryHistogram(n: number, bad: number): Histogram {
  return { values: [0, 1], counts: [n - bad, bad] };
}

/**
 * The values of a block on the scale of the bets: losses in [0, 1], differences in [-1, 1].
 *
 * @param cap only for kind `log`, required there: values are the geometric midpoints of their buckets, capped at it and
 *   divided by it; in the units of the buckets, > 0, fixed for the attempt (see `valueCap`)
 * @throws {RangeError} for kind `log` without a cap, and for an unknown kind
 */
export function histogramOf(block: CountedValues, cap?: number): Histogram {
  switch (block.kind) {
    case "binary":
      return block;
    case "grid":
    case "paired":
      return { values: block.values.map((hundredths) => hundredths / 100), counts: block.counts };
    case "log":
      if (!(cap !== undefined && cap > 0)) throw new RangeError("a histogram of log buckets needs a cap above 0");
      return { values: block.values.map((bucket) => Math.min(bucketMidpoint(bucket), cap) / cap), counts: block.counts };
    default:
      throw new RangeError(`values of kind ${block.kind} have no scale`);
  }
}

/** Adds records that were drawn but have no value: they count as loss 1, for advancing only (statistics.md section 1.8). */
export function withUnscored(losses: Histogram, unscored: number): Histogram {
  if (unscored === 0) return losses;
  return mergeHistograms(losses, { values: [1], counts: [unscored] });
}

/** Sum of two histograms on the same grid. */
export function mergeHistograms(one: Histogram, other: Histogram): Histogram {
  if (one.values.length === 0) return other;
  if (other.values.length === 0) return one;
  return addWhereSeen(one, other) ?? mergeAll(one, other);
}

/** A sum that grows has seen every value before long: then only its counts change. Null: `other` holds a value that `one` has not. */
function addWhereSeen(one: Histogram, other: Histogram): Histogram | null {
  const { values } = one;
  if (other.values.length > values.length) return null;
  const counts = one.counts.slice();
  let i = 0;
  for (let j = 0; j < other.values.length; j++) {
    const x = other.values[j] ?? Number.NaN;
    while (i < values.length && (values[i] ?? Number.NaN) < x) i++;
    if (values[i] !== x) return null;
    counts[i] = (counts[i] ?? 0) + (other.counts[j] ?? 0);
  }
  return { values, counts };
}

function mergeAll(one: Histogram, other: Histogram): Histogram {
  const values: number[] = [];
  const counts: number[] = [];
  let i = 0;
  let j = 0;
  while (i < one.values.length || j < other.values.length) {
    const a = one.values[i] ?? Number.POSITIVE_INFINITY;
    const b = other.values[j] ?? Number.POSITIVE_INFINITY;
    values.push(Math.min(a, b));
    counts.push((a <= b ? (one.counts[i++] ?? 0) : 0) + (b <= a ? (other.counts[j++] ?? 0) : 0));
  }
  return { values, counts };
}

/** Moments of a histogram, summed in the order of its values. */
export function momentsOf(histogram: Histogram): Moments {
  let n = 0;
  let sum = 0;
  let sumSquares = 0;
  const { values, counts } = histogram;
  for (let i = 0; i < values.length; i++) {
    const x = values[i] ?? Number.NaN;
    const count = counts[i] ?? 0;
    n += count;
    sum += count * x;
    sumSquares += count * x * x;
  }
  return { n, sum, sumSquares };
}
