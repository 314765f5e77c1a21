import type { GateEvent } from "../../../topics/index.ts";
import { type Explanation, explain, explainEvent } from "../../domain/replay/explanation.ts";
import type { ReplayResult } from "../../domain/replay/replay.ts";
import type { RouteState } from "../../domain/rollout/state.ts";
import { KnownError } from "../../errors/known-error.ts";
import { parseDuration } from "../duration.ts";
import type { History } from "../replay/history.ts";
import { runReplay } from "../replay/run-replay.ts";

/** A moment of the past: a time, or the decision with an id. */
export type Moment = { readonly atMs: number } | { readonly eventId: string };

const eventForm = /^[0-9a-f]{32}$/;
const durationForm = /^\d+(\.\d+)?(ms|s|m|h|d)$/;

/**
 * Reads `--at`: the id of a gate event, a time (ISO 8601, or epoch ms), or how long ago (`2h`).
 * @throws {KnownError} REQUEST_INVALID
 */
export function parseMoment(text: string, nowMs: number): Moment {
  if (eventForm.test(text)) return { eventId: text };
  if (durationForm.test(text)) return { atMs: nowMs - parseDuration(text, "--at") };
  const atMs = /^\d{12,15}$/.test(text) ? Number(text) : /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(atMs)) return { atMs };
  throw new KnownError("REQUEST_INVALID", `--at ${text} is neither a time nor the id of a gate event`, {
    fix: "write for example --at 2026-11-25T10:00:00Z, --at 2h (ago), or the id that rollout get shows",
  });
}

/**
 * Explains a route at a moment of its past, by replaying its evidence up to then.
 *
 * @returns null when the route had no attempt then
 * @throws {KnownError} NOT_FOUND, or CONFLICT when the history cannot be recomputed up to the moment
 */
export async function explainPast(history: History, moment: Moment): Promise<Explanation | null> {
  let state: RouteState | null = null;
  let decided: { readonly before: RouteState; readonly event: GateEvent; readonly after: RouteState } | null = null;
  const result = await runReplay(history, ({ entry, before, step }) => {
    if ("atMs" in moment) {
      if (entry.atMs > moment.atMs) return false;
      state = step.state;
      return true;
    }
    const found = step.decisions.find((decision) => decision.kind === "gate-event" && decision.event.id === moment.eventId);
    if (found?.kind === "gate-event") decided = { before, event: found.event, after: step.state };
    return found === undefined;
  });
  const reached = atEvent(decided);
  if (reached !== undefined) return reached;
  if ("atMs" in moment && (result.kind === "same" || hasPassed(result, moment.atMs))) return state === null ? null : explain(state, moment.atMs);
  if (result.kind !== "same") throw broken(history, result);
  throw new KnownError("NOT_FOUND", `no gate event ${"eventId" in moment ? moment.eventId : ""} is in the history of ${history.route}`, {
    fix: "headgate rollout get shows the ids of events",
  });
}

/** Before the decision the attempt was where it was decided about; one that began with it had no place before. */
function atEvent(decided: { readonly before: RouteState; readonly event: GateEvent; readonly after: RouteState } | null): Explanation | null | undefined {
  if (decided === null) return undefined;
  const { before, event, after } = decided;
  const isOfBefore = before.current?.plan.rollout === event.rollout && before.current.attempt === event.attempt;
  const explanation = explain(isOfBefore ? before : after, event.atMs);
  return explanation === null ? null : explainEvent(explanation, event);
}

/** What was recomputed reaches beyond the moment. */
const hasPassed = ({ inputs, toMs }: ReplayResult, atMs: number) => inputs > 0 && toMs > atMs;

function broken(history: History, result: ReplayResult): KnownError {
  const what = result.kind === "different" ? `differs at evidence ${result.difference.seq}` : "is not complete";
  return new KnownError("CONFLICT", `the history of ${history.route} ${what}: that moment cannot be recomputed`, {
    fix: `headgate replay ${history.route} says more`,
  });
}
