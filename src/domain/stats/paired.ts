import { CAP } from "./arms.ts";
import { bet } from "./bet.ts";
import type { Histogram } from "./histogram.ts";
import { nano } from "./nano-nats.ts";

/** Stakes of the paired bet, each with weight PAIRED_WEIGHTS (statistics.md section 1.5). */
export const PAIRED_STAKES: readonly number[] = [0.05, 0.1, 0.2, 0.4, 0.8];
export const PAIRED_WEIGHTS: readonly number[] = [0.2, 0.2, 0.2, 0.2, 0.2];

/**
 * Evidence of one block of pairs: the same request answered by both versions.
 *
 * @param differences candidate's loss minus baseline's, in [-1, 1]
 * @param d to `freeze`: tolerated, with the null mean <= d; to `advance`: limit, with the null mean >= d; in [0, 1)
 * @returns nano-nats, one per stake
 */
export function pairedBet(differences: Histogram, d: number, direction: "freeze" | "advance"): number[] {
  const sign = direction === "freeze" ? 1 : -1;
  // No pair may take more than 0.9 of the capital; binds for d above 0.125 only.
  return PAIRED_STAKES.map((c) => nano(bet(differences, sign * Math.min(c, CAP / (1 + d)), d)));
}
