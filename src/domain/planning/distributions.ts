import type { Histogram } from "../stats/histogram.ts";
import { exp, ln } from "../stats/ln.ts";
import { GAMMA_LN } from "../stats/log-bucket.ts";
import { normalCdf } from "./normal.ts";

/** A distribution of losses as the bets take them: `counts[i]` is the probability of `values[i]`; they sum to 1, values ascend. */
export type Distribution = Histogram;

/** Pass or fail: loss 1 with probability p. */
export function passFail(p: number): Distribution {
  const bad = Math.min(Math.max(p, 0), 1);
  return { values: [0, 1], counts: [1 - bad, bad] };
}

/** Counts as probabilities; as they are when there is nothing to share out. */
export function asProbabilities({ values, counts }: Histogram): Distribution {
  let sum = 0;
  for (const count of counts) sum += count;
  return sum === 0 ? { values, counts } : { values, counts: counts.map((count) => count / sum) };
}

export function meanOf({ values, counts }: Distribution): number {
  return values.reduce((sum, x, i) => sum + x * (counts[i] ?? 0), 0);
}

export function varianceOf(distribution: Distribution): number {
  const mean = meanOf(distribution);
  return distribution.values.reduce((sum, x, i) => sum + (x - mean) * (x - mean) * (distribution.counts[i] ?? 0), 0);
}

/** What two distributions make together: `share` of the second. Used for unscored records, which count as loss 1 when advancing. */
export function withFailures(distribution: Distribution, share: number): Distribution {
  if (share === 0) return distribution;
  const counts = distribution.counts.map((p) => p * (1 - share));
  return { values: [...distribution.values, 1], counts: [...counts, share] };
}

/**
 * A judge's scores as losses in steps of 0.01: a Beta shape of a given mean and spread (the shape that statistics.md section 3 simulates).
 *
 * @param mean of the loss, in (0, 1)
 * @param sd its standard deviation; at most what a pass/fail score of this mean would have
 */
export function scoreGrid(mean: number, sd: number): Distribution {
  const steps = 100;
  const m = Math.min(Math.max(mean, 0.001), 0.999);
  const size = Math.max((m * (1 - m)) / (sd * sd) - 1, 0.02);
  const [a, b] = [m * size, (1 - m) * size];
  const values = Array.from({ length: steps + 1 }, (_, i) => i / steps);
  const heights = values.map((_, i) => exp((a - 1) * ln(Math.max(i, 0.25) / steps) + (b - 1) * ln(1 - Math.min(i, steps - 0.25) / steps)));
  return asProbabilities({ values, counts: heights });
}

/**
 * A positive quantity (cost, tokens) with a lognormal shape in log buckets, capped and divided by its cap.
 *
 * @param mean in the units of the cap
 * @param sigma standard deviation of its logarithm
 */
export function quantityGrid(mean: number, sigma: number, cap: number): Distribution {
  const middle = ln(mean) - (sigma * sigma) / 2;
  const below = (bucket: number) => normalCdf((bucket * GAMMA_LN - middle) / sigma);
  const top = Math.trunc(ln(cap) / GAMMA_LN);
  const values: number[] = [];
  const counts: number[] = [];
  for (let bucket = -Math.trunc((6 * sigma) / GAMMA_LN); bucket <= top; bucket++) {
    const value = Math.min(exp((bucket + 0.5) * GAMMA_LN), cap) / cap;
    const p = below(bucket + 1) - below(bucket);
    if (value === values.at(-1)) counts[counts.length - 1] = (counts.at(-1) ?? 0) + p;
    else {
      values.push(value);
      counts.push(p);
    }
  }
  if (values.at(-1) === 1) counts[counts.length - 1] = (counts.at(-1) ?? 0) + 1 - below(top + 1);
  else {
    values.push(1);
    counts.push(1 - below(top + 1));
  }
  return { values, counts };
}

/** Every loss times a ratio, at most 1. */
export function scaled({ values, counts }: Distribution, ratio: number): Distribution {
  return { values: values.map((x) => Math.min(x * ratio, 1)), counts };
}

/** Every loss raised by the same amount, at most to 1, so that the mean rises by `harm` (or as far as it can). */
export function raised(distribution: Distribution, harm: number): Distribution {
  const raise = (by: number): Distribution => ({ ...distribution, values: distribution.values.map((x) => Math.min(x + by, 1)) });
  const wanted = meanOf(distribution) + harm;
  let low = harm;
  let high = 1;
  if (harm <= 0 || meanOf(raise(low)) >= wanted) return raise(Math.max(harm, 0));
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (meanOf(raise(middle)) < wanted) low = middle;
    else high = middle;
  }
  return raise(high);
}

/**
 * Differences candidate minus baseline of pairs, in steps of 0.01, when the two answers to a prompt fail independently: careful, since
 * answers to one prompt usually fail together, which leaves fewer pairs that differ.
 */
export function differences(candidate: Distribution, baseline: Distribution): Distribution {
  const found = new Map<number, number>();
  candidate.values.forEach((x, i) => {
    const p = candidate.counts[i] ?? 0;
    if (p === 0) return;
    baseline.values.forEach((y, j) => {
      const difference = Math.round((x - y) * 100);
      found.set(difference, (found.get(difference) ?? 0) + p * (baseline.counts[j] ?? 0));
    });
  });
  const ordered = [...found].sort(([one], [other]) => one - other);
  return { values: ordered.map(([difference]) => difference / 100), counts: ordered.map(([, p]) => p) };
}
