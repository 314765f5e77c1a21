/** z of a two-sided confidence of 98 %, the level that Kayenta's judge asks for. */
export const KAYENTA_Z = 2.3263478740408408;

/**
 * Standard normal score of the Mann-Whitney statistic of x - shift against y: large when x is larger. Normal approximation
 * with the correction for ties and for continuity; 0 when all values are the same.
 *
 * @see Mann and Whitney 1947, doi:10.1214/aoms/1177730491; Lehmann 1975, Nonparametrics, section 1.4 (ties)
 */
export function mannWhitneyZ(x: readonly number[], y: readonly number[], shift = 0): number {
  const [m, n] = [x.length, y.length];
  const all = [...x.map((value) => ({ value: value - shift, isX: true })), ...y.map((value) => ({ value, isX: false }))];
  all.sort((a, b) => a.value - b.value);
  let ranks = 0;
  let ties = 0;
  for (let i = 0; i < all.length; ) {
    let j = i;
    let ofX = 0;
    for (; j < all.length && all[j]?.value === all[i]?.value; j++) if (all[j]?.isX === true) ofX++;
    const size = j - i;
    ranks += (ofX * (i + 1 + j)) / 2;
    ties += size * size * size - size;
    i = j;
  }
  const total = m + n;
  const variance = ((m * n) / 12) * (total + 1 - ties / (total * (total - 1)));
  if (!(variance > 0)) return 0;
  const distance = ranks - (m * (m + 1)) / 2 - (m * n) / 2;
  return (distance - 0.5 * Math.sign(distance)) / Math.sqrt(variance);
}

/** Hodges-Lehmann estimate of how much larger x is: the median of all differences. */
export function hodgesLehmann(x: readonly number[], y: readonly number[]): number {
  const differences = Float64Array.from(x.flatMap((a) => y.map((b) => a - b))).sort();
  const middle = differences.length / 2;
  return ((differences[Math.ceil(middle) - 1] ?? 0) + (differences[Math.floor(middle)] ?? 0)) / 2;
}

/**
 * Whether the lower confidence bound of the shift from y to x is above a share of its estimate: how Kayenta calls a metric
 * `High`. The bound is above t just when the test of x - t against y is significant.
 *
 * @param tolerance share of the Hodges-Lehmann estimate, 0.25 in Kayenta
 */
export function isClearlyLarger(x: readonly number[], y: readonly number[], tolerance: number, z = KAYENTA_Z): boolean {
  if (mannWhitneyZ(x, y) <= z) return false;
  const estimate = hodgesLehmann(x, y);
  return mannWhitneyZ(x, y, tolerance * Math.abs(estimate)) > z;
}
