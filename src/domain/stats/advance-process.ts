import { ADVANCE_WEIGHTS } from "./bet.ts";
import { mix, NANO_MIN, temper } from "./nano-nats.ts";

/**
 * The non-inferiority process of one signal in one step: starts at 1 with the step, is cut back at its ceiling
 * (reflection), so that old good news is worth nothing, and stays `safe` until it falls below 1. Plain numbers; all in
 * nano-nats, untempered.
 */
export interface AdvanceProcess {
  /** ln(1/alpha_adv) of the attempt: `threshold(alphaAdvance, attempt - 1)`. */
  readonly ceiling: number;
  readonly weights: readonly number[];
  readonly q: readonly number[];
  /** Has reached the ceiling in this step and has not been below 1 since. */
  readonly safe: boolean;
}

export function createAdvance(ceiling: number, weights: readonly number[] = ADVANCE_WEIGHTS): AdvanceProcess {
  return { ceiling, weights, q: weights.map(() => 0), safe: false };
}

/**
 * Multiplies a block in, and cuts the excess over the ceiling from every component.
 *
 * @param block log e per component, nano-nats
 * @param deff design effect, at least 1, for advancing (see `designEffect`)
 */
export function addToAdvance(process: AdvanceProcess, block: readonly number[], deff = 1): AdvanceProcess {
  const q = process.q.map((sum, k) => Math.max(sum + (block[k] ?? Number.NaN), NANO_MIN));
  const logE = mix(temper(q, deff), process.weights);
  if (logE < process.ceiling) return { ...process, q, safe: process.safe && logE >= 0 };
  const cut = Math.floor((logE - process.ceiling) * deff + 0.5);
  return { ...process, q: q.map((sum) => sum - cut), safe: true };
}

/** log E of the process, at most its ceiling; nano-nats. */
export function advanceLogE(process: AdvanceProcess, deff = 1): number {
  return Math.min(mix(temper(process.q, deff), process.weights), process.ceiling);
}
