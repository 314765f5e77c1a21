import { KnownError } from "../../errors/known-error.ts";
import { exp, ln } from "./ln.ts";

/**
 * Evidence is kept in whole nano-nats, 1e-9 of a natural logarithm: sums of integers do not depend on their order, and
 * comparing integers decides the same everywhere (statistics.md section 5). Exact to 9e6 nats.
 */
export const NANO = 1e9;

/** What a log e is clamped at from below, so that sums stay exact: e to the power -1,000,000. */
export const NANO_MIN = -1e15;

/**
 * Rounds a log e-value to nano-nats, half up, never below NANO_MIN.
 *
 * @param logE in nats
 * @throws {KnownError} EVALUATION_ERROR when it is not finite: a bug, never "no evidence", as NaN would silently open a gate
 */
export function nano(logE: number): number {
  if (!Number.isFinite(logE)) {
    throw new KnownError("EVALUATION_ERROR", `a log e-value is ${logE}`, { fix: "the rollout is held; report this with the route's `evidence`" });
  }
  return Math.max(Math.floor(NANO * logE + 0.5), NANO_MIN);
}

/**
 * log of sum_k w_k e^(q_k): the log of a mixture of e-values. For arrays of numbers that live on; see `mixture` for scratch.
 *
 * @param q log e-values in nano-nats
 * @param weights one per q, not negative; a component of weight 0 has no influence, however large it is
 * @returns nano-nats
 * @throws {KnownError} EVALUATION_ERROR when no component has weight, or one is not finite
 */
export function mix(q: readonly number[], weights: readonly number[]): number {
  const n = q.length;
  if (flatQ.length < n) {
    flatQ = new Float64Array(n);
    flatWeights = new Float64Array(n);
  }
  for (let k = 0; k < n; k++) {
    flatQ[k] = q[k] ?? Number.NaN;
    flatWeights[k] = weights[k] ?? 0;
  }
  return mixture(flatQ, flatWeights, n);
}

/** Loops are several times as fast on these as on arrays that may hold anything. */
let flatQ = new Float64Array(64);
let flatWeights = new Float64Array(64);

/** `mix` without an allocation. @param n components: `q` and `weights` may be longer */
export function mixture(q: Float64Array, weights: Float64Array, n: number = weights.length): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < n; k++) {
    const x = q[k] ?? Number.NaN;
    if ((weights[k] ?? 0) > 0 && !(x <= top)) top = x;
  }
  let sum = 0;
  for (let k = 0; k < n; k++) {
    const weight = weights[k] ?? 0;
    if (weight > 0) sum += weight * exp(((q[k] ?? Number.NaN) - top) / NANO);
  }
  return nano(top / NANO + ln(sum));
}

/** Divides log sums by a design effect, each rounded again to nano-nats (statistics.md section 2, clusters: temper, then mix). */
export function temper(q: readonly number[], deff: number): readonly number[] {
  return deff === 1 ? q : q.map((x) => nano(x / deff / NANO));
}

/**
 * What a log e-value must reach: ln(1/alpha), in nano-nats. threshold(0.05) is 2,995,732,274.
 *
 * @param alpha in (0, 1)
 * @param halvings how often alpha is halved: attempt k of one version advances at alpha / 2^(k-1), so k - 1
 */
export function threshold(alpha: number, halvings = 0): number {
  return nano(ln(1 / alpha) + halvings * ln(2));
}
