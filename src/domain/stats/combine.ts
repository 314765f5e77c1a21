import { KnownError } from "../../errors/known-error.ts";
import { exp } from "./ln.ts";
import { mix, NANO } from "./nano-nats.ts";

/** One piece of evidence with its share of the whole. */
export interface Part {
  readonly weight: number;
  /** nano-nats */
  readonly logE: number;
}

/**
 * log of the weighted mean of e-values: an e-value itself under any dependence.
 *
 * @param parts weights sum to 1
 * @returns nano-nats
 * @throws {KnownError} EVALUATION_ERROR when they do not: the promise on alpha would be void
 * @see Vovk and Wang 2021, E-values: calibration, combination and applications, Annals of Statistics 49(3), doi:10.1214/20-AOS2020
 */
export function combine(parts: readonly Part[]): number {
  let sum = 0;
  for (const part of parts) sum += part.weight;
  if (!(Math.abs(sum - 1) < 1e-9)) {
    throw new KnownError("EVALUATION_ERROR", `weights of evidence sum to ${sum}, not to 1`, {
      fix: "the rollout is held; report this with the route's `evidence`",
    });
  }
  return mix(
    parts.map((part) => part.logE),
    parts.map((part) => part.weight),
  );
}

/** Each number's share of their sum. Signals weigh 2 when hard (schema, errors, tool calls), else 1. */
export function shares(amounts: readonly number[]): number[] {
  let sum = 0;
  for (const amount of amounts) sum += amount;
  return amounts.map((amount) => amount / sum);
}

/**
 * Weights of slices within a signal's slice half: shares of baseline traffic in the 7 days before the attempt, at least
 * 1/(4S) each, made to sum to 1; fixed for the attempt.
 */
export function sliceShares(traffic: readonly number[]): number[] {
  const least = 1 / (4 * traffic.length);
  return shares(traffic.map((share) => Math.max(share, least)));
}

/** Largest share of unscored records with which a judged signal may advance. */
export const MOST_UNSCORED = 0.05;

/**
 * Limit for advancing on a judged signal, where unscored counts as failed (statistics.md section 1.8).
 *
 * @param limit d1
 * @param unscored share of the baseline's drawn records without a score, from earlier blocks
 * @param unscoredLimit limit of `missing_scores`
 * @returns null when so much is unscored that nothing can be proven: no_data
 */
export function advanceLimit(limit: number, unscored: number, unscoredLimit = 0.01): number | null {
  const left = (1 - unscored) * limit - unscoredLimit;
  return left <= limit / 2 || unscored > MOST_UNSCORED ? null : left;
}

/** Share of alpha that evidence has spent: min(1, alpha E). */
export function alphaSpent(alpha: number, logE: number): number {
  return Math.min(1, alpha * exp(logE / NANO));
}
