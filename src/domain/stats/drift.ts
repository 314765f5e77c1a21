import { ln, log1p } from "./ln.ts";
import { mix, NANO_MIN } from "./nano-nats.ts";

/**
 * Watching for drift (statistics.md section 1.6): an e-detector, which restarts at every block, against the holdback or
 * against a frozen reference whose own error is in the bound.
 *
 * @see Shin, Ramdas and Rinaldo 2023, E-detectors: a nonparametric framework for sequential change detection, arXiv:2203.03532
 */

/** log M of one component in nano-nats; null stands for M = 0, the start. */
export type Detector = number | null;

/** M <- (M + 1) e. */
export function detect(m: Detector, logE: number): number {
  return m === null ? logE : Math.max(mix([m, 0], [1, 1]) + logE, NANO_MIN);
}

/** log of sum_k w_k M_k; null while every M is 0. Alarm when it reaches ln c: `detectionBound`. */
export function detectorLogM(ms: readonly Detector[], weights: readonly number[]): Detector {
  const started = ms.flatMap((m, k) => (m === null ? [] : [[m, weights[k] ?? 0] as const]));
  if (started.every(([, weight]) => weight === 0)) return null;
  return mix(
    started.map(([m]) => m),
    started.map(([, weight]) => weight),
  );
}

/**
 * c for a chance of a false alarm of at most alpha within so many blocks: blocks / alpha. Also the mean number of blocks
 * between false alarms, at least.
 */
export function detectionBound(blocks: number, alpha: number): number {
  return blocks / alpha;
}

/** Share of alpha that pays for the reference's own error; the detector runs with the rest. */
export const REFERENCE_SHARE = 0.2;

/**
 * Bound of a frozen reference: max(p + d0, its Clopper-Pearson upper limit at 0.2 alpha / cells).
 *
 * @param bad reference records with loss 1, of `n`
 * @param d0 tolerated
 * @param cells cells of the day that share alpha
 * @returns in (0, 1]; 1, which nothing exceeds, without records or when all are bad
 * @see Clopper and Pearson 1934, Biometrika 26(4), doi:10.1093/biomet/26.4.404; solved by bisection, so without a gamma function
 */
export function referenceBound(bad: number, n: number, d0: number, alpha: number, cells: number): number {
  if (n === 0 || bad === n) return 1;
  const goal = ln((REFERENCE_SHARE * alpha) / cells);
  let choose = 0;
  for (let i = 0; i < bad; i++) choose += ln((n - i) / (i + 1));
  let low = bad / n;
  let high = 1;
  for (let round = 0; round < 60; round++) {
    const p = (low + high) / 2;
    if (choose + bad * ln(p) + (n - bad) * log1p(-p) + ln(tail(bad, n, p)) > goal) low = p;
    else high = p;
  }
  return Math.max(bad / n + d0, high);
}

/**
 * The same for losses anywhere in [0, 1]: max(mean + d0, U), where U is the largest mean that the Chernoff-Hoeffding bound does not
 * exclude, n KL(sum / n, U) <= ln(cells / (0.2 alpha)). Exact for any distribution, and wider than Clopper and Pearson's limit, which holds for
 * pass and fail only.
 *
 * @param sum of the losses of `n` records
 * @see Hoeffding 1963, Probability inequalities for sums of bounded random variables, doi:10.1080/01621459.1963.10500830, theorem 1
 */
export function referenceBoundOfScores(sum: number, n: number, d0: number, alpha: number, cells: number): number {
  if (n === 0 || sum >= n) return 1;
  const mean = Math.max(0, sum / n);
  const most = ln(cells / (REFERENCE_SHARE * alpha)) / n;
  const apart = (u: number) => (mean === 0 ? 0 : mean * ln(mean / u)) + (1 - mean) * (ln(1 - mean) - log1p(-u));
  let low = mean;
  let high = 1;
  for (let round = 0; round < 60; round++) {
    const u = (low + high) / 2;
    if (apart(u) <= most) low = u;
    else high = u;
  }
  return Math.min(1, Math.max(mean + d0, high));
}

/** P(Y <= bad) / P(Y = bad) for Y binomial(n, p), summed downwards until terms vanish. */
function tail(bad: number, n: number, p: number): number {
  let term = 1;
  let sum = 1;
  for (let i = bad; i > 0; i--) {
    term *= ((i / (n - i + 1)) * (1 - p)) / p;
    sum += term;
    if (term < 1e-17 * sum) break;
  }
  return sum;
}

/** One stretch of the day of a reference: 6 hours, or several that were merged. */
export interface ReferenceCell {
  /** Indices of the cells of the day, from 0, that it covers. */
  readonly cells: readonly number[];
  readonly n: number;
  readonly bad: number;
}

/** Fewest records of a reference; a cell of its own needs CELL_FACTOR times as many. */
export const RECORDS_OF_REFERENCE = 1000;
const CELL_FACTOR = 2;

/**
 * Cells of a frozen reference: one with fewer than 2,000 records is merged with the next (the last with the first).
 *
 * @param need fewest records in all; a cell needs twice as many
 * @returns null below 1,000 records in all: the reference is only watched
 */
export function referenceCells(
  day: readonly { readonly n: number; readonly bad: number }[],
  need: number = RECORDS_OF_REFERENCE,
): readonly ReferenceCell[] | null {
  const merged: ReferenceCell[] = [];
  let open: ReferenceCell = { cells: [], n: 0, bad: 0 };
  day.forEach((cell, i) => {
    open = { cells: [...open.cells, i], n: open.n + cell.n, bad: open.bad + cell.bad };
    if (open.n < CELL_FACTOR * need) return;
    merged.push(open);
    open = { cells: [], n: 0, bad: 0 };
  });
  if (open.cells.length > 0) {
    const first = merged.shift() ?? { cells: [], n: 0, bad: 0 };
    merged.push({ cells: [...open.cells, ...first.cells], n: open.n + first.n, bad: open.bad + first.bad });
  }
  let n = 0;
  for (const cell of merged) n += cell.n;
  return n < need ? null : merged;
}
