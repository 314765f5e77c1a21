/** Subject-hash buckets per arm. */
export const SUBJECT_BUCKETS = 32;
const TINY = 1e-6;

/**
 * Design effect of one arm: how much more its mean varies than that of independent records, because the records of one
 * subject are alike. From counts cumulated since the process began.
 *
 * @param counts records in each subject bucket
 * @param sums sum of losses in [0, 1] in the same buckets
 * @param v variance of a loss; null for binary signals, where it follows from the mean
 * @returns at least 1; 1 for an empty arm or a single bucket
 * @see Kish 1965, Survey Sampling; random groups as in Wolter 2007, Introduction to Variance Estimation, chapter 2
 */
export function armDesignEffect(counts: readonly number[], sums: readonly number[], v: number | null = null): number {
  const groups = counts.length;
  let n = 0;
  let sum = 0;
  for (const count of counts) n += count;
  for (const s of sums) sum += s;
  if (n === 0 || groups < 2) return 1;
  const mean = (sum + 0.5) / (n + 1);
  const variance = Math.max(v ?? mean * (1 - mean), TINY);
  let between = 0;
  for (let g = 0; g < groups; g++) {
    const off = (sums[g] ?? 0) - mean * (counts[g] ?? 0);
    between += off * off;
  }
  return Math.max(1, ((groups / (groups - 1)) * between) / (n * variance));
}

export interface ArmSpread {
  readonly deff: number;
  /** Variance of one record's loss. */
  readonly v: number;
  readonly n: number;
}

/**
 * Design effect of a difference between two arms.
 *
 * @param use to advance it is widened by 1.25 when above 1, since it is estimated and too small a one would be unsafe
 */
export function designEffect(candidate: ArmSpread, baseline: ArmSpread, use: "freeze" | "advance"): number {
  if (candidate.n === 0 || baseline.n === 0) return 1;
  const a = candidate.v / candidate.n;
  const b = baseline.v / baseline.n;
  const deff = (candidate.deff * a + baseline.deff * b) / (a + b);
  return use === "advance" ? widened(deff) : deff;
}

/** Design effect for advancing with one sample or with pairs: the candidate's alone, × 1.25 when above 1. */
export function widened(deff: number): number {
  return deff > 1 ? deff * 1.25 : deff;
}
