import type { Brake, Command, GateEvent, StateEntry } from "../../../topics/index.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { Verb } from "./operations.ts";
import { isKnown, runningPhases, standingOf } from "./route-view.ts";
import type { Views } from "./views.ts";

export interface CommandRequest {
  readonly route: string;
  readonly verb: Verb;
  readonly id: string;
  readonly reason: string;
  readonly actor: string;
  readonly expectedAttempt: number | undefined;
  readonly expectedEpoch: number | undefined;
}

/**
 * The record of a command, refused when it visibly cannot apply. The decider judges again by its own state: what is
 * written is a request.
 *
 * @throws {KnownError} NOT_FOUND, CONFLICT
 */
export function commandRecord(request: CommandRequest, at: { readonly views: Views; readonly nowMs: number }): Command {
  const { route, verb, expectedAttempt, expectedEpoch } = request;
  checkRoute(at.views, route);
  const state = at.views.states.get(route);
  const epoch = at.views.routing.get(route)?.epoch ?? 0;
  if (expectedAttempt !== undefined && expectedAttempt !== (state?.attempt ?? 0))
    throw elsewhere(route, "attempt", { is: state?.attempt ?? 0, expected: expectedAttempt });
  if (expectedEpoch !== undefined && expectedEpoch !== epoch) throw elsewhere(route, "epoch", { is: epoch, expected: expectedEpoch });
  const declared = at.views.rollouts.get(route);
  // Between a declaration and its first decision the state still tells of the rollout before.
  const isCurrent = declared === undefined || standingOf(at.views, route, declared.digest).standing !== "waiting";
  if (state !== undefined && isCurrent) {
    const refusal = refusalOf(verb, state);
    if (refusal !== undefined) throw new KnownError("CONFLICT", `cannot ${verb} route ${route}: ${refusal.problem}`, { fix: refusal.fix(route) });
  }
  return {
    id: request.id,
    route,
    verb,
    reason: request.reason,
    expectedAttempt: expectedAttempt ?? null,
    expectedEpoch: expectedEpoch ?? null,
    actor: request.actor,
    atMs: at.nowMs,
    probe: null,
  };
}

/** Reasons of events that a command leads to. */
const effects: ReadonlySet<string> = new Set(["operator", "awaiting_approval", "edited", "withdrawn"]);

/** The gate event with which the decider answered a command: it carried it out, or refused it. */
export function answerTo(command: Command, events: readonly GateEvent[]): { readonly kind: "in_effect" | "refused"; readonly message: string } | undefined {
  for (const { actor, action, reasons, message } of events) {
    if (actor !== command.actor) continue;
    // A refusal names the verb first; another command of the same actor may have been refused meanwhile.
    if (reasons.includes("command_refused") && message.startsWith(`${command.verb} `)) return { kind: "refused", message };
    // A retry, or the approval of a start, is answered by the start of the attempt, which tells why it starts and not who keeps it from moving.
    const isStart = action === "started" && (command.verb === "retry" || command.verb === "approve");
    if (isStart || reasons.some((reason) => effects.has(reason))) return { kind: "in_effect", message };
  }
  return undefined;
}

/**
 * The brake record of a route's current attempt: the one that gateways route by, or the decider's when it is newer.
 * @throws {KnownError} NOT_FOUND, CONFLICT when there is no attempt to stop
 */
export function brakeRecord(
  request: { readonly route: string; readonly reason: string; readonly actor: string },
  at: { readonly views: Views; readonly nowMs: number },
): Brake {
  checkRoute(at.views, request.route);
  const newest = [at.views.routing.get(request.route), at.views.states.get(request.route)]
    .filter((entry) => entry !== undefined && entry.rollout !== "")
    .sort((a, b) => (b?.atMs ?? 0) - (a?.atMs ?? 0))[0];
  if (newest === undefined) {
    throw new KnownError("CONFLICT", `no rollout has been seen on route ${request.route}: there is nothing to stop`, {
      fix: "to stop every route: headgate brake '*'",
    });
  }
  return {
    route: request.route,
    rollout: newest.rollout,
    attempt: newest.attempt,
    cleared: false,
    reason: request.reason,
    actor: request.actor,
    atMs: at.nowMs,
  };
}

/** The brake of all routes, set or cleared. */
export function brakeOfAll(
  request: { readonly cleared: boolean; readonly reason: string; readonly actor: string },
  at: { readonly views: Views; readonly nowMs: number },
): Brake {
  const current = at.views.brakes.get("*");
  if (request.cleared && (current === undefined || current.cleared)) {
    throw new KnownError("CONFLICT", "the brake of all routes is not set", {
      fix: "nothing to do; a route's own brake is never lifted: headgate rollout retry ROUTE starts a new attempt",
    });
  }
  return { route: "*", rollout: "", attempt: 0, ...request, atMs: at.nowMs };
}

export function checkRoute(views: Views, route: string): void {
  if (isKnown(views, route)) return;
  throw new KnownError("NOT_FOUND", `route ${route} is not known: nothing was ever declared on it`, { fix: "headgate rollout list shows the routes" });
}

interface Refusal {
  readonly problem: string;
  readonly fix: (route: string) => string;
}

/** Why a verb can not apply to a phase, if so. What depends on more than the phase is the decider's to refuse. */
function refusalOf(verb: Verb, state: Pick<StateEntry, "phase" | "rollout" | "waiting">): Refusal | undefined {
  const isRunning = state.rollout !== "" && runningPhases.has(state.phase);
  // What waits for its turn or an approval may do so without a running rollout.
  if (state.waiting !== "" && (verb === "approve" || verb === "withdraw")) return undefined;
  // Whether there is an alarm only the decider knows.
  if (verb === "capture" || verb === "clear") {
    return isRunning ? { problem: "a rollout is running on it", fix: (route) => `wait for its end, or end it: headgate rollout rollback ${route}` } : undefined;
  }
  if (verb === "retry") {
    return state.phase === "rolled_back"
      ? undefined
      : { problem: `its rollout is ${state.phase}; only a rolled-back one can be tried again`, fix: (route) => `headgate rollout get ${route}` };
  }
  if (verb === "undo") {
    // After a later rollout has failed, the decider knows whether there is still something to go back to.
    return state.phase === "done" || state.phase === "rolled_back"
      ? undefined
      : { problem: `its rollout is ${state.phase}; only a done one can be undone`, fix: (route) => `to end a running one: headgate rollout rollback ${route}` };
  }
  if (!isRunning) {
    const fix = state.phase === "done" ? "to go back: headgate rollout undo" : "to start again: headgate rollout retry";
    return { problem: `no rollout is running (${state.phase})`, fix: (route) => `${fix} ${route}` };
  }
  return undefined;
}

function elsewhere(route: string, what: string, numbers: { readonly is: number; readonly expected: number }): KnownError {
  return new KnownError("CONFLICT", `route ${route} is at ${what} ${numbers.is}, not ${numbers.expected}`, {
    fix: "look at the route, then decide again",
    details: { [what]: numbers.is },
  });
}
