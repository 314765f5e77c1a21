import { CAP } from "./arms.ts";
import { bet } from "./bet.ts";
import type { Histogram } from "./histogram.ts";
import { nano } from "./nano-nats.ts";

/**
 * One-sample tests: floors, ceilings, the frozen reference (statistics.md section 1.2). The null is mean loss <= t for an
 * alternative p > t, and >= t for p < t; a binary component is exactly the likelihood ratio p : t.
 */

const FREEZE_MULTIPLES: readonly number[] = [2, 4, 10, 30, 100];
const ADVANCE_MULTIPLES: readonly number[] = [0.1, 0.2, 0.4, 0.6];
/** Weights of the components of `floorAlternatives(t).advance`; those to freeze have FREEZE_WEIGHTS. */
export const FLOOR_ADVANCE_WEIGHTS: readonly number[] = [0.25, 0.25, 0.25, 0.25];
const TINY = 1e-6;

/**
 * Alternatives of a floor: for the schema floor (t = 0.005) failure rates of 1, 2, 5, 15 and 50 % to freeze, 0.05, 0.1,
 * 0.2 and 0.3 % to advance; for others the same multiples, at most 0.5, or half way to 1 for a bound of 0.5 and more.
 *
 * @param t largest acceptable mean loss: 1 - floor
 */
export function floorAlternatives(t: number): { readonly freeze: readonly number[]; readonly advance: readonly number[] } {
  const bound = clipped(t);
  const most = bound < 0.5 ? 0.5 : (1 + bound) / 2;
  return { freeze: FREEZE_MULTIPLES.map((m) => Math.min(m * bound, most)), advance: ADVANCE_MULTIPLES.map((m) => m * bound) };
}

/** A bound of exactly 0 or 1 could never be tested: one failure would be infinite evidence. */
function clipped(t: number): number {
  return Math.min(Math.max(t, TINY), 1 - TINY);
}

/**
 * log e of one component, in nats.
 *
 * @param t bound on the mean loss, clipped to [1e-6, 1 - 1e-6]
 * @param p alternative: above t to prove harm, below t to prove safety
 * @param v predictable variance of a score; null for binary signals
 */
export function oneSampleLogE(losses: Histogram, t: number, p: number, v: number | null = null): number {
  const bound = clipped(t);
  const c = (p - bound) / (v === null ? bound * (1 - bound) : Math.max(v, TINY));
  const worst = Math.max(c * bound, -c * (1 - bound));
  return bet(losses, worst > CAP ? (c * CAP) / worst : c, bound);
}

/** Evidence of one block in every component, in nano-nats. */
export function oneSample(losses: Histogram, t: number, alternatives: readonly number[], v: number | null = null): number[] {
  return alternatives.map((p) => nano(oneSampleLogE(losses, t, p, v)));
}
