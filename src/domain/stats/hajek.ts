/** Weighted sums of a sample with inclusion probabilities, w = 1 / probability. */
export interface WeightedSums {
  readonly w: number;
  readonly w2: number;
  readonly wy: number;
  readonly w2y: number;
  readonly w2y2: number;
}

/**
 * Hájek estimate of a mean from an unequal-probability sample, with its variance; display only.
 *
 * @returns null when nothing was sampled
 * @see Hájek 1971, in Foundations of Statistical Inference (Godambe and Sprott), p. 236; linearised variance as in Särndal, Swensson and Wretman 1992, 5.7
 */
export function hajek(sums: WeightedSums): { readonly mean: number; readonly variance: number } | null {
  if (sums.w === 0) return null;
  const mean = sums.wy / sums.w;
  const variance = Math.max(sums.w2y2 - 2 * mean * sums.w2y + mean * mean * sums.w2, 0) / (sums.w * sums.w);
  return { mean, variance };
}
