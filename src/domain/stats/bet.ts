import { armBet, componentLogE, componentNano, gather, mine, other, prepare, stakes } from "./arms.ts";
import type { Histogram, Moments } from "./histogram.ts";
import { exp } from "./ln.ts";

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
const TINY = 1e-6;
/** Stands for a variance that follows from the mean. */
const OF_BINARY = -1;

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
  prepare(na, nb, known.pref, known.v ?? OF_BINARY, nullHypothesis.s, nullHypothesis.d, delta);
  const [ca = 0, ta = 0, cb = 0, tb = 0] = stakes;
  return { ca, ta, cb, tb };
}

/** sum_x n_x ln(1 + c(x - t)), in the order of the values: the one-sample bet, and one half of the balanced one. In nats. */
export function bet(histogram: Histogram, c: number, t: number): number {
  gather(mine, histogram.values, histogram.counts);
  return armBet(mine, c, t);
}

function gatherBoth(candidate: Histogram, baseline: Histogram): void {
  gather(mine, candidate.values, candidate.counts);
  gather(other, baseline.values, baseline.counts);
}

/** log e of one component of one block, in nats; 0 when an arm is empty: no evidence. */
export function balancedLogE(candidate: Histogram, baseline: Histogram, known: Known, nullHypothesis: Null, delta: number): number {
  gatherBoth(candidate, baseline);
  return componentLogE(known.pref, known.v ?? OF_BINARY, nullHypothesis.s, nullHypothesis.d, delta);
}

/**
 * Evidence of one block in every component.
 *
 * @param deltas from `deltas`
 * @returns nano-nats, one per delta: what a freeze or advance process adds
 * @throws {KnownError} EVALUATION_ERROR when a result is not finite
 */
export function balancedBet(candidate: Histogram, baseline: Histogram, known: Known, nullHypothesis: Null, deltas: readonly number[]): number[] {
  gatherBoth(candidate, baseline);
  const { s, d } = nullHypothesis;
  return deltas.map((delta) => componentNano(known.pref, known.v ?? OF_BINARY, s, d, delta));
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

/** What a margin asks of the balanced bet in one direction: the null, and the effect sizes of its components. Worked out once per signal. */
export interface BetSizes {
  readonly s: number;
  readonly d: number;
  /** Effect sizes are `unit * multiples[k]`, for ratios times the predictable mean. */
  readonly unit: number;
  readonly isRatio: boolean;
  readonly multiples: Float64Array;
}

/** Sizes of a margin: those of `deltas`, to the last bit. */
export function betSizes(margin: Margin, use: "freeze" | "advance"): BetSizes {
  const { s, d } = nullsOf(margin)[use];
  if (margin.kind !== "ratio") return { s, d, unit: 1, isRatio: false, multiples: Float64Array.from(deltas(margin, 1)[use]) };
  // Towards safety they are negative, as the effect is.
  const multiples = Float64Array.from(deltas({ kind: "difference", tolerated: 0, limit: 1 }, 1)[use]);
  return { s, d, unit: use === "freeze" ? margin.limit - margin.tolerated : margin.limit, isRatio: true, multiples };
}

/** `balancedBet` with sizes that were worked out before. @returns nano-nats, one per component */
export function betOfSizes(candidate: Histogram, baseline: Histogram, { pref, v }: Known, { s, d, unit, isRatio, multiples }: BetSizes): number[] {
  gatherBoth(candidate, baseline);
  const scale = isRatio ? unit * pref : unit;
  const increments: number[] = [];
  for (let k = 0; k < multiples.length; k++) increments.push(componentNano(pref, v ?? OF_BINARY, s, d, scale * (multiples[k] ?? Number.NaN)));
  return increments;
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
  const kept = keptAfter(elapsedMs);
  return {
    n: earlier.n * kept + block.n,
    sum: earlier.sum * kept + block.sum,
    sumSquares: earlier.sumSquares * kept + block.sumSquares,
  };
}

/** Panes are of one length, so that nearly all of them ask for the same. */
const newest = { elapsedMs: 0, kept: 1 };

function keptAfter(elapsedMs: number): number {
  if (!(elapsedMs > 0)) return 1;
  if (newest.elapsedMs !== elapsedMs) {
    newest.elapsedMs = elapsedMs;
    newest.kept = exp((-elapsedMs / HALF_LIFE_MS) * Math.LN2);
  }
  return newest.kept;
}
