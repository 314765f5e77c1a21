import type { RolloutPlan } from "../rollout/spec/plan.ts";
import { bucketsForPercent } from "../routing/buckets.ts";
import { forecastStep } from "./forecast.ts";
import { stepsOf, type TrafficAssumption } from "./traffic.ts";

const HOLDBACKS = [1, 2, 5, 10] as const;
/** Harm at the limit must be found within a day (statistics.md section 1.6). */
const LONGEST_MINUTES = 24 * 60;
/** Below 5 requests per second 1 % is too few subjects to compare with. */
const LEAST_FOR_ONE_PERCENT = 5 * 60;

/**
 * The holdback that a volume needs: the smallest of 1, 2, 5 and 10 % of subjects with which harm at the limit of every guardrail is
 * found within 24 hours while everybody else has the candidate.
 *
 * @param plan its own holdback does not matter
 * @returns percent, and whether it is enough: 10 % may still be too little
 */
export function smallestHoldback(plan: RolloutPlan, traffic: TrafficAssumption): { readonly percent: number; readonly isEnough: boolean } {
  const allowed = HOLDBACKS.filter((percent) => percent > 1 || traffic.callsPerMinute >= LEAST_FOR_ONE_PERCENT);
  const found = allowed.find((percent) => findsHarm({ ...plan, holdback: { percent, buckets: bucketsForPercent(percent) } }, traffic));
  return { percent: found ?? 10, isEnough: found !== undefined };
}

function findsHarm(plan: RolloutPlan, traffic: TrafficAssumption): boolean {
  const observing = stepsOf(plan, traffic).at(-1);
  if (observing === undefined) return false;
  const { signals } = forecastStep(plan, traffic, observing);
  return signals.every(({ freeze }) => (freeze[0]?.minutes ?? Number.POSITIVE_INFINITY) <= LONGEST_MINUTES);
}
