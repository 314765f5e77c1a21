import { withoutFallback } from "./phases.ts";
import { isRunning } from "./state.ts";
import { type Moment, publish, type Step, tell } from "./step.ts";

/**
 * Gives up the fallback when its time is over (30 d after `done` by default): the version leaves the table, and `undo` is no
 * longer possible. While another rollout runs its table does not hold the fallback, so only the event is told.
 */
export function expireFallback(before: Step, moment: Moment): Step {
  const { fallback, fallbackUntilMs, current } = before.state;
  if (fallback === null || fallbackUntilMs === 0 || moment.atMs < fallbackUntilMs) return before;
  const after = withoutFallback(before.state);
  const told = {
    action: "held",
    reasons: ["fallback_expired"],
    message: `${fallback.name}, which served before, is no longer kept warm: its time as the fallback is over, and undo is no longer possible`,
  } as const;
  if (isRunning(current)) {
    // The attempt's own message and reasons stay what they are.
    const { plan, specDigest } = current;
    const about = { rollout: plan.rollout, baseline: plan.baseline, candidate: plan.candidate, specDigest };
    return tell(before, after, { ...told, about }, moment);
  }
  return publish(before, after, told, moment);
}
