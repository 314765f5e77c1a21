import { type Histogram, type Moments, total } from "./histogram.ts";
import { exp, log1p } from "./ln.ts";
import { nano } from "./nano-nats.ts";

/**
 * The balanced bet: the one family that decides everything (statistics.md section 1.1). Per block and component
 * log e = sum_x A_x ln(1 + c_a(x - t_a)) + sum_x B_x ln(1 + c_b(x - t_b)), whose expectation is at most 1 for every
 * baseline, at every n, while the null holds: a one-step form of the RIPr e-value.
 *
 * @see Turner, Ly and Gruenwald 2021, Generic E-Variables for Exact Sequential k-Sample Tests, arXiv:2106.02693
 * @see Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting, doi:10.1093/jrsssb/qkad009
 */

/** Mixture over effect sizes to freeze, and the multiples of (limit - tolerated) that they stand for. */
export const FREEZE_WEIGHTS: readonly number[] = [0.15, 0.4, 0.25, 0.12, 0.08];
export const FREEZE_MULTIPLES: readonly number[] = [0.5, 1, 2, 4, 8];
/** Mixture to advance, and the multiples of the limit. */
export const ADVANCE_WEIGHTS: readonly number[] = [0.2, 0.2, 0.2, 0.2, 0.2];
const ADVANCE_MULTIPLES: readonly number[] = [0.4, 0.6, 0.8, 1.0, 1.2];
/** Largest share of a unit of capital that one record may lose. */
export const CAP = 0.9;
const TINY = 1e-6;

/** The null: mean_candidate <= s mean_baseline + d for a positive delta, >= for a negative one. */
export interface Null {
  /** 1 for differences and percentiles, 1 + r for ratios. */
  readonly s: number;
  /** Tolerated harm (to freeze) or limit (to advance); 0 for ratios and percentiles. */
  readonly d: number;
}

/** What is known before the block. Bad values cost power, never validity, as long as they come from earlier blocks. */
export interface Known {
  /** The baseline's mean loss, in [0, 1]. */
  readonly pref: number;
  /** Pooled variance of the losses; null for binary signals, where it follows from the mean. */
  readonly v: number | null;
}

export interface Coefficients {
  readonly ca: number;
  readonly ta: number;
  readonly cb: number;
  readonly tb: number;
}

/**
 * Stakes and reference points of one component of one block.
 *
 * @param na candidate's records, at least 1
 * @param nb baseline's records, at least 1
 * @param delta harm that the component bets on beyond the null: > 0 to freeze, < 0 to advance
 */
export function coefficients(na: number, nb: number, known: Known, nullHypothesis: Null, delta: number): Coefficients {
  const { s, d } = nullHypothesis;
  let tb = Math.min(Math.max(known.pref, TINY), 1 - TINY);
  let ta = s * tb + d;
  if (ta > 1 - TINY) {
    ta = 1 - TINY;
    tb = (ta - d) / s;
  }
  const va = Math.max(known.v ?? ta * (1 - ta), TINY);
  const vb = Math.max(known.v ?? tb * (1 - tb), TINY);
  const stake = delta / (va / na + (s * s * vb) / nb);
  let ca = stake / na;
  let cb = (-s * stake) / nb;
  const worst = Math.max(ca * ta, -ca * (1 - ta), cb * tb, -cb * (1 - tb));
  if (worst > CAP) {
    ca *= CAP / worst;
    cb *= CAP / worst;
  }
  return { ca, ta, cb, tb };
}

/** sum_x n_x ln(1 + c(x - t)), in the order of the values: the one-sample bet, and one half of the balanced one. In nats. */
export function bet(histogram: Histogram, c: number, t: number): number {
  const { values, counts } = histogram;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const count = counts[i] ?? 0;
    if (count > 0) sum += count * log1p(c * ((values[i] ?? Number.NaN) - t));
  }
  return sum;
}

/** log e of one component of one block, in nats; 0 when an arm is empty: no evidence. */
export function balancedLogE(candidate: Histogram, baseline: Histogram, known: Known, nullHypothesis: Null, delta: number): number {
  const na = total(candidate);
  const nb = total(baseline);
  if (na === 0 || nb === 0) return 0;
  const { ca, ta, cb, tb } = coefficients(na, nb, known, nullHypothesis, delta);
  return bet(candidate, ca, ta) + bet(baseline, cb, tb);
}

/**
 * Evidence of one block in every component.
 *
 * @param deltas from `deltas`
 * @returns nano-nats, one per delta: what a freeze or advance process adds
 * @throws {KnownError} EVALUATION_ERROR when a result is not finite
 */
export function balancedBet(candidate: Histogram, baseline: Histogram, known: Known, nullHypothesis: Null, deltas: readonly number[]): number[] {
  return deltas.map((delta) => nano(balancedLogE(candidate, baseline, known, nullHypothesis, delta)));
}

/** The margin of a signal, as its kind measures harm. */
export type Margin =
  | { readonly kind: "difference"; readonly tolerated: number; readonly limit: number }
  | { readonly kind: "ratio"; readonly tolerated: number; readonly limit: number }
  | { readonly kind: "percentile"; readonly level: number };

/** Null hypotheses of a margin: to freeze and to advance. The shift of a percentile is in the counts, so its nulls are equal. */
export function nullsOf(margin: Margin): { readonly freeze: Null; readonly advance: Null } {
  switch (margin.kind) {
    case "difference":
      return { freeze: { s: 1, d: margin.tolerated }, advance: { s: 1, d: margin.limit } };
    case "ratio":
      return { freeze: { s: 1 + margin.tolerated, d: 0 }, advance: { s: 1 + margin.limit, d: 0 } };
    default:
      return { freeze: { s: 1, d: 0 }, advance: { s: 1, d: 0 } };
  }
}

/**
 * Effect sizes of the five components, to freeze (> 0) and to advance (< 0).
 *
 * @param pref predictable baseline mean; only ratios need it
 */
export function deltas(margin: Margin, pref: number): { readonly freeze: readonly number[]; readonly advance: readonly number[] } {
  if (margin.kind === "percentile") {
    const tail = 1 - margin.level;
    return { freeze: FREEZE_MULTIPLES.map((m) => 0.5 * tail * m), advance: [1, 2, 3, 4, 5].map((m) => -0.1 * tail * m) };
  }
  const scale = margin.kind === "ratio" ? pref : 1;
  const gap = (margin.limit - margin.tolerated) * scale;
  return { freeze: FREEZE_MULTIPLES.map((m) => gap * m), advance: ADVANCE_MULTIPLES.map((m) => -margin.limit * scale * m) };
}

/** Records that the reference value counts for. */
export const PRIOR_RECORDS = 50;

/** Predictable mean: (sum + 50 ref) / (n + 50), from the baseline's earlier blocks. */
export function predictableMean(earlier: Pick<Moments, "n" | "sum">, reference: number, prior = PRIOR_RECORDS): number {
  return (earlier.sum + prior * reference) / (earlier.n + prior);
}

/** Predictable variance: (pooled sum of squares + 50 v_ref) / (n + 50), from both arms' earlier blocks; at least 1e-6. */
export function predictableVariance(earlier: Moments, reference: number, prior = PRIOR_RECORDS): number {
  const spread = Math.max(earlier.sumSquares - (earlier.sum * earlier.sum) / Math.max(earlier.n, 1), 0);
  return Math.max((spread + prior * reference) / (earlier.n + prior), TINY);
}

/** Age in ms at which earlier blocks count half. */
export const HALF_LIFE_MS = 6 * 60 * 60 * 1000;

/** Earlier moments after more time has passed, and a block added to them. Elapsed time below 0 counts as 0. */
export function decayAndAdd(earlier: Moments, elapsedMs: number, block: Moments): Moments {
  const kept = elapsedMs > 0 ? exp((-elapsedMs / HALF_LIFE_MS) * Math.LN2) : 1;
  return {
    n: earlier.n * kept + block.n,
    sum: earlier.sum * kept + block.sum,
    sumSquares: earlier.sumSquares * kept + block.sumSquares,
  };
}
