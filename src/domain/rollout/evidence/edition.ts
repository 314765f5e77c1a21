import type { RolloutPlan } from "../spec/plan.ts";
import type { Attempt } from "../state.ts";
import { initialSignal, type SignalState } from "./signal-state.ts";

/**
 * Evidence under margins (weights, alpha) that were edited while the attempt ran: its freeze processes go on under what was
 * promised then, with a share of the weight; they never advance (statistics.md section 2, edit of margins).
 */
export interface Edition {
  readonly plan: RolloutPlan;
  readonly signals: readonly SignalState[];
  /** Share of all the weight, in (0, 1); the present edition has the rest. */
  readonly share: number;
}

/** Share of the present edition. */
export const presentShare = (editions: readonly Edition[]): number => editions.reduce((left, { share }) => left - share, 1);

/**
 * Puts an attempt under an edited plan, for panes that start from now on: freezing under the new margins starts at 1 with half of
 * the weight that is left, the old one goes on with the other half; advancing starts at 1 with alpha_adv halved. What is known of
 * the baseline stays known.
 *
 * @param plan the same rollout and versions, with other margins, weights or alpha
 */
export function forNewEdition(attempt: Attempt, plan: RolloutPlan, atMs: number): Attempt {
  const share = presentShare(attempt.editions) / 2;
  const old: Edition = { plan: attempt.plan, signals: attempt.signals, share };
  const signals = plan.signals.map(({ name }) => {
    const known = attempt.signals.find((signal) => signal.name === name);
    if (known === undefined) return initialSignal(name);
    const { prior, priorAtMs, spread, histograms, cap, runawayBucket, drawn, evaluatorVersion, shown } = known;
    return { ...initialSignal(name), prior, priorAtMs, spread, histograms, cap, runawayBucket, drawn, evaluatorVersion, shown };
  });
  return { ...attempt, plan, signals, editions: [...attempt.editions, old], editedAtMs: atMs, halvings: attempt.halvings + 1 };
}
