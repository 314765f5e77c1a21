import assert from "node:assert/strict";
import recorded from "../../../fixtures/stats-vectors.json" with { type: "json" };

/** Counts as the specification writes them: [value, count] in rising order. */
export type Pairs = readonly (readonly [number, number])[];
type Q = readonly number[];

interface Bet {
  readonly pref: number;
  readonly d: number;
  readonly D: number;
  readonly c_a?: number;
  readonly t_a?: number;
  readonly c_b?: number;
  readonly t_b?: number;
  readonly log_e: number;
  readonly q: number;
}

interface SequenceBlock {
  readonly na: number;
  readonly ya: number;
  readonly nb: number;
  readonly yb: number;
  readonly pref: number;
  readonly block_q: Q;
  readonly evidence_of_harm: boolean;
  readonly q: Q;
  readonly top_q: readonly Q[];
  readonly log_e_q: number;
  readonly log_e_minus_q: number;
  readonly restarts_q: number;
  readonly tempered_1_7_q: number;
  readonly advance_block_q: Q;
  readonly advance_q: Q;
  readonly advance_log_e_q: number;
  readonly safe: boolean;
}

interface Vectors {
  readonly balanced_bet_binary: readonly (Bet & { readonly na: number; readonly ya: number; readonly nb: number; readonly yb: number })[];
  readonly balanced_bet_histogram: readonly (Bet & { readonly A: Pairs; readonly B: Pairs; readonly s: number; readonly v: number })[];
  readonly sequence: {
    readonly config: { readonly ref: number; readonly d0: number; readonly d1: number; readonly ceiling_q: number; readonly restart_at_block: number };
    readonly blocks: readonly SequenceBlock[];
  };
  readonly reflection_tempered: {
    readonly ceiling_q: number;
    readonly steps: readonly { readonly block_q: Q; readonly deff: number; readonly q: Q; readonly log_e_q: number; readonly safe: boolean }[];
  };
  readonly one_sample_grid: readonly { readonly counts: Pairs; readonly t: number; readonly p: number; readonly v: number | null; readonly q: number }[];
  readonly floor: {
    readonly p: Q;
    readonly p_advance: Q;
    readonly cases: readonly {
      readonly n: number;
      readonly y: number;
      readonly p0: number;
      readonly freeze_q: Q;
      readonly log_e_q: number;
      readonly advance_q: Q;
      readonly advance_log_e_q: number;
    }[];
  };
  readonly percentile: {
    readonly hist_a: Pairs;
    readonly hist_b: Pairs;
    readonly need: number;
    readonly t_bucket: number;
    readonly n_a: number;
    readonly n_b: number;
    readonly y_b: number;
    readonly y_a_freeze: number;
    readonly y_a_advance: number;
    readonly freeze_q: Q;
    readonly advance_q: Q;
    readonly bucket_of: Pairs;
  };
  readonly paired: {
    readonly cases: readonly { readonly counts: Pairs; readonly d: number; readonly sign: number; readonly q: Q; readonly log_e_q: number }[];
  };
  readonly e_detector: readonly { readonly q: number; readonly log_m_q: number }[];
  readonly reference_bound: readonly {
    readonly y: number;
    readonly n: number;
    readonly d0: number;
    readonly alpha: number;
    readonly cells: number;
    readonly bound: number;
  }[];
  readonly srm: { readonly cases: readonly { readonly first: number; readonly total: number; readonly p: number; readonly q: Q; readonly log_e_q: number }[] };
  readonly combine: { readonly parts: Pairs; readonly log_a_q: number; readonly thresholds_q: Readonly<Record<string, number>> };
  readonly slice_shares: readonly { readonly share: Q; readonly q: Q }[];
  readonly weights: readonly { readonly t: Q; readonly w: Q }[];
  readonly ni_margin: readonly { readonly d1: number; readonly u: number; readonly u1: number; readonly margin: number | null }[];
  readonly deff_arm: readonly { readonly n: Q; readonly s: Q; readonly v: number | null; readonly deff: number }[];
  readonly deff: readonly { readonly args: readonly [number, number, number, number, number, number]; readonly freeze: number; readonly advance: number }[];
  readonly hajek: readonly { readonly sums: readonly [number, number, number, number, number]; readonly mean: number | null; readonly var: number | null }[];
  readonly nano: readonly { readonly x: number; readonly q: number }[];
}

/** The numbers of statistics.md: a copy of `stats/vectors.json`. */
export const vectors = recorded as unknown as Vectors;

export const histogram = (pairs: Pairs) => ({ values: pairs.map(([value]) => value), counts: pairs.map(([, count]) => count) });

/** Integers of another ln: equal to +-2 nano-nats, as the vectors state. */
export function sameNano(got: number | readonly number[], want: number | readonly number[], about: string): void {
  const [g, w] = [[got].flat(), [want].flat()];
  assert.equal(g.length, w.length, about);
  g.forEach((x, i) => {
    assert.ok(Number.isSafeInteger(x), `${about}: ${x} is not an integer`);
    assert.ok(Math.abs(x - (w[i] ?? Number.NaN)) <= 2, `${about}[${i}]: ${x}, not ${w[i]}`);
  });
}

/** Relative tolerance 1e-6, absolute 1e-9 near 0, as the vectors state. */
export function near(got: number, want: number, about: string): void {
  assert.ok(Math.abs(got - want) <= Math.max(1e-9, 1e-6 * Math.abs(want)), `${about}: ${got}, not ${want}`);
}
