import { type ChecksPlan, checksWatcher, type Watcher } from "./checks.ts";
import { kayentaWatcher } from "./kayenta.ts";
import type { Condition, Limit } from "./rule.ts";
import type { GuardedSignal } from "./signals.ts";

/** A usual rule, re-implemented: never the product itself. */
export interface ReadyMade {
  readonly name: string;
  readonly reading: string;
  readonly watcher: Watcher;
}

/** Candidate calls from which on a window is looked at, as in statistics.md section 3.1. */
export const LEAST_CALLS = 50;

/** At headgate's own limits, so that every rule is asked to find the same harm. */
function atLimit({ measure, preset }: GuardedSignal): Condition {
  const isLoss = measure.kind !== "rate" || measure.isLoss;
  const limit: Limit = preset.relative ? { kind: "ratio", factor: 1 + preset.limit } : { kind: "points", points: isLoss ? preset.limit : -preset.limit };
  return { measure, operator: isLoss ? ">" : "<", limit };
}

/**
 * The usual rules.
 *
 * @param recordedValue a signal's value over all recorded calls: what a fixed range is set from, in systems that know no baseline
 */
export function readyMade(signals: readonly GuardedSignal[], recordedValue: (signal: GuardedSignal) => number): ReadyMade[] {
  const relative = signals.map(atLimit);
  const ranges = signals.map((signal): Condition => fixed(atLimit(signal), recordedValue(signal)));
  const window = (plan: Omit<ChecksPlan, "conditions" | "windowMinutes" | "everyMinutes" | "leastCalls">) =>
    checksWatcher({ conditions: relative, windowMinutes: 15, everyMinutes: 1, leastCalls: LEAST_CALLS, ...plan });
  return [
    {
      name: "fixed threshold, 15 min",
      reading: `any signal beyond its limit over the last 15 min, looked at every minute from ${LEAST_CALLS} candidate calls on`,
      watcher: window({ failures: 1, counted: "row" }),
    },
    {
      name: "3 breaches in a row",
      reading: "the same, in 3 looks in a row",
      watcher: window({ failures: 3, counted: "row" }),
    },
    {
      name: "Flagger-style",
      reading: "interval 60 s, threshold 5: the fifth minute in which any metric is outside a fixed range (the recorded value, and the limit) stops",
      watcher: checksWatcher({ conditions: ranges, windowMinutes: 1, everyMinutes: 1, leastCalls: 1, failures: 5, counted: "any" }),
    },
    {
      name: "Argo-style",
      reading: "interval 5 min, failureLimit 3: the fourth failed measurement of one metric against the baseline stops",
      watcher: checksWatcher({ conditions: relative, windowMinutes: 5, everyMinutes: 5, leastCalls: 1, failures: 4, counted: "each" }),
    },
    {
      name: "Kayenta-style",
      reading: "each hour Mann-Whitney on the minutes' values of each metric, confidence 0.98, tolerance 0.25; any metric worse stops",
      watcher: kayentaWatcher(signals.map(({ measure }) => measure)),
    },
  ];
}

/** A limit relative to the baseline as the fixed value that it comes to. */
function fixed(condition: Condition, baseline: number): Condition {
  const { limit } = condition;
  const value = limit.kind === "ratio" ? baseline * limit.factor : limit.kind === "points" ? baseline + limit.points : limit.value;
  return { ...condition, limit: { kind: "absolute", value } };
}
