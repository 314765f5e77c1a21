import { breaches, type Condition } from "./rule.ts";
import type { Need, View } from "./windows.ts";

/** A rule at work in one rollout. */
export interface Watcher {
  readonly needs: readonly Need[];
  /** A new rollout begins. */
  reset(): void;
  /**
   * Looks once a minute has closed.
   *
   * @param minute minutes since the rollout began, from 1
   * @returns true when the rule stops the rollout now
   */
  look(minute: number, view: View): boolean;
}

/** When failed checks stop a rollout. */
export interface ChecksPlan {
  readonly conditions: readonly Condition[];
  readonly windowMinutes: number;
  readonly everyMinutes: number;
  /** Candidate calls that a check needs; with fewer it is not made, and is neither passed nor failed. */
  readonly leastCalls: number;
  /** Failed checks that stop. */
  readonly failures: number;
  /** `row`: in a row, of one condition; `each`: of one condition, whenever; `any`: of all together, a round of checks counting once. */
  readonly counted: "row" | "each" | "any";
}

/** Point estimates against limits at intervals: what most rules are. */
export function checksWatcher(plan: ChecksPlan): Watcher {
  const { conditions, windowMinutes, everyMinutes, leastCalls, failures, counted } = plan;
  const failed = new Int32Array(Math.max(1, conditions.length));
  const check = (view: View, condition: Condition): boolean | null => {
    const { measure } = condition;
    if (view.calls("candidate", measure, windowMinutes) < leastCalls) return null;
    return breaches(condition, view.value("candidate", measure, windowMinutes), view.value("baseline", measure, windowMinutes));
  };
  /** What a condition's count is after a check. */
  const countAfter = (count: number, isBreached: boolean | null): number => {
    if (isBreached === true) return count + 1;
    return isBreached === false && counted === "row" ? 0 : count;
  };
  const countRound = (view: View): boolean => {
    if (conditions.some((condition) => check(view, condition) === true)) failed[0] = (failed[0] ?? 0) + 1;
    return (failed[0] ?? 0) >= failures;
  };
  return {
    needs: [{ minutes: windowMinutes, measures: conditions.map(({ measure }) => measure) }],
    reset: () => void failed.fill(0),
    look(minute, view) {
      if (minute < windowMinutes || minute % everyMinutes !== 0) return false;
      if (counted === "any") return countRound(view);
      conditions.forEach((condition, i) => {
        failed[i] = countAfter(failed[i] ?? 0, check(view, condition));
      });
      return failed.some((count) => count >= failures);
    },
  };
}
