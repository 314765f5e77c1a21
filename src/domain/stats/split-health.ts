import { ln, log1p } from "./ln.ts";
import { nano } from "./nano-nats.ts";

/** Ratios of the actual to the planned share that the components bet on, each with weight 1/8. */
const RATIOS: readonly number[] = [0.7, 0.85, 0.93, 0.97, 1.03, 1.07, 1.15, 1.3];
export const SPLIT_WEIGHTS: readonly number[] = RATIOS.map(() => 1 / RATIOS.length);
/** Chance of a false `split_mismatch` over an attempt. */
export const SPLIT_ALPHA = 0.001;

/**
 * Evidence of a sample-ratio mismatch in one step (statistics.md section 1.7). Components add up over the steps of an
 * attempt; mismatch when their mixture reaches `threshold(SPLIT_ALPHA)`.
 *
 * @param first subjects at their first sight in the attempt, who were put on the arm
 * @param total all subjects at first sight in the same step
 * @param share planned share of the arm, in [0, 1]; with 0 or 1 there is no split to test, and the result is 0
 * @returns nano-nats, one per component
 * @see Lindon and Malek 2022, Anytime-valid inference for multinomial count data, NeurIPS 35
 */
export function splitEvidence(first: number, total: number, share: number): number[] {
  if (!(share > 0 && share < 1)) return RATIOS.map(() => 0);
  // Always the smaller arm, so that every ratio leaves a probability.
  const [seen, p] = share <= 0.5 ? [first, share] : [total - first, 1 - share];
  return RATIOS.map((r) => nano(seen * ln(r) + (total - seen) * (log1p(-r * p) - log1p(-p))));
}
