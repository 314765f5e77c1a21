import { assertNever } from "../../errors/assert-never.ts";
import { approved, keep, retry, retryApproval, withdraw, withoutRoomToStart } from "./declare.ts";
import { forgetHarm } from "./evidence/feed-signal.ts";
import type { BrakeInput, CommandInput } from "./input.ts";
import { lookAt } from "./look.ts";
import { finish, pause, resume, rollBack, stepUp, undo } from "./phases.ts";
import { resolve } from "./policy.ts";
import { type Waiting, waitingOf } from "./queue.ts";
import { type Attempt, isRunning, type RouteState } from "./state.ts";
import { type Moment, publish, type Step, tell, unchanged } from "./step.ts";
import { driftProblem } from "./watch.ts";
import { isWatchVerb, obeyWatch, watchRefusal } from "./watch-commands.ts";

/** Ids of commands that are remembered, so that a command that arrives twice acts once. */
const MOST_IDS = 200;

type Command = CommandInput["command"];

/** Carries out a command, or says why it is refused. Idempotent by id. */
export function obey(state: RouteState, { command }: CommandInput, moment: Moment): Step {
  if (state.commandIds.includes(command.id)) return unchanged(state);
  // Results of golden prompts are known by their time; their ids would push out those of people.
  const ids = command.verb === "probed" ? state.commandIds : [...state.commandIds, command.id].slice(-MOST_IDS);
  const noted: RouteState = { ...state, commandIds: ids };
  const placed = misplaced(noted, command);
  const waits = placed === null ? waitingFor(noted, command, moment) : null;
  const problem =
    placed ??
    (waits === null
      ? isWatchVerb(command.verb)
        ? watchRefusal(noted, command)
        : refusalOf(noted, command, moment)
      : waitingRefusal(noted, waits, command, moment));
  if (problem === null && waits !== null) return settle(unchanged(noted), waits, command, moment);
  if (problem !== null) {
    const message = `${command.verb} was refused: ${problem}`;
    return tell(unchanged(noted), noted, { action: "held", reasons: ["command_refused"], message, actor: command.actor }, moment);
  }
  return carryOut(unchanged(noted), command, moment);
}

/** Compare-and-set: a command that was meant for another attempt or table does nothing. */
function misplaced(state: RouteState, { expectedAttempt, expectedEpoch }: Command): string | null {
  const attempt = state.current?.attempt ?? 0;
  if (expectedAttempt !== null && expectedAttempt !== attempt)
    return `it was meant for attempt ${expectedAttempt}, and this is attempt ${attempt}; look again, then decide`;
  if (expectedEpoch !== null && expectedEpoch !== state.epoch)
    return `it was meant for epoch ${expectedEpoch}, and this is epoch ${state.epoch}; look again, then decide`;
  return null;
}

/** What waits and is meant by an approval or a withdrawal; an approval is of the step first, where that is what is missing. */
function waitingFor(state: RouteState, { verb }: Command, moment: Moment): Waiting | null {
  const { current, waiting } = state;
  if (verb === "withdraw") return waitingOf(waiting)[0] ?? null;
  if (verb !== "approve" || (isRunning(current) && approvalRefusal(state, current, moment) === null)) return null;
  return waitingOf(waiting).find(({ needs }) => needs === "approval") ?? null;
}

function waitingRefusal(state: RouteState, { how, actor, of }: Waiting, command: Command, moment: Moment): string | null {
  if (command.verb === "withdraw") return null;
  const { current } = state;
  if (how === "retry" && (current === null || current.attempt !== of.attempt || current.plan.rollout !== of.rollout))
    return "another rollout was started since that retry was asked for; ask again";
  if (how === "retry" && current !== null) {
    const problem = retryRefusal(state, current, moment);
    if (problem !== null) return problem;
  }
  if (command.actor === actor) return `${actor} asked for the ${how} that waits: an approval is somebody else's word`;
  return command.reason === "" ? `it approves the ${how} that ${actor} asked for, which needs a reason; give one` : null;
}

function settle(before: Step, one: Waiting, { verb, actor, reason }: Command, moment: Moment): Step {
  if (verb === "approve") return approved(before, one, { actor, reason }, moment);
  return withdraw(before, one.how === "edit" ? "edit" : "next", { actor, why: reason === "" ? ` by ${actor}` : ` by ${actor}: ${reason}` }, moment);
}

/** Why a command cannot be carried out now; null when it can. */
function refusalOf(state: RouteState, { verb }: Command, moment: Moment): string | null {
  const attempt = state.current;
  if (attempt === null) return "no rollout was ever started on this route";
  if (verb === "retry") return retryRefusal(state, attempt, moment);
  const { phase } = attempt;
  if (verb === "withdraw") return "nothing waits";
  if (verb === "undo") {
    // Also after a later attempt failed: what served before the last `done` stays one undo away.
    if (isRunning(attempt) || (phase !== "done" && state.fallback === null)) return `only a rollout that is done can be undone; this one is ${phase}`;
    return state.fallback === null ? "there is no version to go back to" : null;
  }
  if (!isRunning(attempt)) return `the rollout is over (${phase})`;
  switch (verb) {
    case "pause":
      return attempt.isPaused ? "it is paused already" : null;
    case "resume":
      return attempt.isPaused ? null : "it is not paused";
    case "freeze":
      return attempt.frozen === null ? null : "it is frozen already";
    case "thaw":
      return attempt.frozen === null ? "it is not frozen" : null;
    case "promote":
      return promoteRefusal(state, attempt);
    case "approve":
      return approvalRefusal(state, attempt, moment);
    case "rollback":
      return null;
    default:
      return `this version does not know the verb ${verb}`;
  }
}

function retryRefusal(state: RouteState, attempt: Attempt, moment: Moment): string | null {
  if (attempt.phase !== "rolled_back") return `only a rollout that was rolled back can be tried again; this one is ${attempt.phase}`;
  if (state.isBrakedByAll) return "a brake on all routes is set; clear it first";
  const drifted = driftProblem(state);
  if (drifted !== null) return drifted;
  const crowded = withoutRoomToStart(state, attempt.plan, moment);
  if (crowded !== null) return crowded;
  return state.serving?.name === attempt.plan.baseline ? null : `${state.serving?.name} serves the route, not the baseline of that rollout; apply a new spec`;
}

function promoteRefusal(state: RouteState, attempt: Attempt): string | null {
  if (state.isBrakedByAll) return "a brake on all routes is set";
  if (attempt.frozen !== null) return "it is frozen; thaw it first";
  return attempt.isPaused ? "it is paused; resume it first" : null;
}

/** An approval counts when nothing else is missing: whoever approves has seen the evidence of the whole step. */
function approvalRefusal(state: RouteState, attempt: Attempt, { atMs }: Moment): string | null {
  if (!attempt.plan.approvals.includes(attempt.step)) return `step ${attempt.step} needs no approval`;
  if (attempt.approved[String(attempt.step)] !== undefined) return `step ${attempt.step} is approved already`;
  try {
    const look = lookAt(state, attempt, atMs);
    const resolution = resolve({ attempt, outcomes: look.outcomes, crossing: look.crossing, atMs, withoutRoom: null });
    return resolution.reasons.includes("awaiting_approval") ? null : `other things are missing first (${resolution.reasons.join(", ")}): ${resolution.message}`;
  } catch {
    return "the evidence cannot be evaluated";
  }
}

function carryOut(before: Step, command: Command, moment: Moment): Step {
  const { state } = before;
  const attempt = state.current;
  if (attempt === null) return before;
  const { verb, actor } = command;
  const because = command.reason === "" ? "" : `: ${command.reason}`;
  const told = { reasons: ["operator"], actor } as const;
  const withAttempt = (next: Attempt): RouteState => ({ ...state, current: next });
  switch (verb) {
    case "pause":
      return tell(before, withAttempt(pause(attempt, moment.atMs)), { ...told, action: "held", message: `paused by ${actor}${because}` }, moment);
    case "resume":
      return tell(before, withAttempt(resume(attempt, moment.atMs)), { ...told, action: "held", message: `resumed by ${actor}${because}` }, moment);
    case "freeze": {
      const frozen = { cause: "operator", sinceMs: moment.atMs, about: actor } as const;
      return tell(
        before,
        withAttempt({ ...attempt, frozen, reasons: ["operator"] }),
        { ...told, action: "frozen", message: `frozen by ${actor}${because}` },
        moment,
      );
    }
    case "thaw":
      return tell(
        before,
        withAttempt(thawByHand(attempt)),
        { ...told, action: "thawed", message: `thawed by ${actor}${because}; evidence of harm so far no longer counts` },
        moment,
      );
    case "rollback":
      return publish(
        before,
        withAttempt(rollBack(attempt, ["operator"])),
        { ...told, action: "rolled_back", message: `rolled back by ${actor}${because}` },
        moment,
      );
    case "promote":
      return promote(before, attempt, command, moment);
    case "approve": {
      const approved = { ...attempt.approved, [String(attempt.step)]: actor };
      const next = { ...attempt, approved, reasons: ["operator"] };
      return tell(before, withAttempt(next), { ...told, action: "held", message: `step ${attempt.step} approved by ${actor}${because}` }, moment);
    }
    case "retry":
      return tryAgain(before, attempt, command, moment);
    case "undo":
      if (state.fallback === null) return before;
      return publish(
        before,
        undo(state, attempt, state.fallback),
        { ...told, action: "undone", message: `${state.fallback.name} serves again, by ${actor}${because}` },
        moment,
      );
    case "capture":
    case "clear":
    case "probed":
      return obeyWatch(before, command, moment);
    case "withdraw":
    case "other":
      return before;
    default:
      return assertNever(verb);
  }
}

/** From the fourth attempt of a version on, somebody else must approve it. */
function tryAgain(before: Step, { plan, attempt, specDigest }: Attempt, { actor, reason }: Command, moment: Moment): Step {
  const why = retryApproval(before.state, plan);
  if (why === null) return retry(before, { actor, why: reason, note: reason === "" ? "" : `: ${reason}` }, moment);
  const of = { rollout: plan.rollout, attempt };
  const one: Waiting = { how: "retry", needs: "approval", digest: specDigest, actor, atMs: moment.atMs, spec: null, rubrics: [], approval: null, why, of };
  return keep(before, one, "awaiting_approval", moment);
}

/** One step up on a person's word: the gates are not asked, the event says who it was. */
function promote(before: Step, attempt: Attempt, { actor, reason }: Command, moment: Moment): Step {
  const because = reason === "" ? "" : `: ${reason}`;
  const told = { reasons: ["operator"], actor, withoutProof: true } as const;
  if (attempt.phase === "observing") {
    return publish(before, finish(before.state, attempt, moment.atMs), { ...told, action: "done", message: `taken as done by ${actor}${because}` }, moment);
  }
  const next = stepUp(attempt, moment.atMs);
  const percent = attempt.plan.ladder[next.step]?.percent ?? 0;
  return publish(
    before,
    { ...before.state, current: next },
    { ...told, action: "advanced", message: `promoted to ${percent} % by ${actor}${because}` },
    moment,
  );
}

/**
 * A person takes the responsibility for harm that was proven: every freeze process starts at 1 again, since it would
 * otherwise freeze at the next look. Starting anew only makes stopping rarer; the event says who it was.
 */
function thawByHand(attempt: Attempt): Attempt {
  if (attempt.frozen?.cause !== "breach") return { ...attempt, frozen: null, reasons: ["operator"] };
  const signals = attempt.signals.map(forgetHarm);
  const editions = attempt.editions.map((edition) => ({ ...edition, signals: edition.signals.map(forgetHarm) }));
  return { ...attempt, frozen: null, signals, editions, isSetAside: false, reasons: ["operator"] };
}

/**
 * An operator's stop that gateways obeyed already: it becomes the end of the attempt. Only `*` can be cleared, and that raises
 * nothing: the topic keeps only its newest record, so one that is cleared also tells that it was set before, and ends
 * every attempt that started earlier.
 */
export function takeBrake(state: RouteState, { brake }: BrakeInput, moment: Moment): Step {
  const isAll = brake.route === "*";
  if (isAll && state.isBrakedByAll === !brake.cleared && state.allBrakeAtMs === brake.atMs) return unchanged(state);
  const noted: RouteState = isAll ? { ...state, isBrakedByAll: !brake.cleared, allBrakeAtMs: brake.atMs } : state;
  const attempt = state.current;
  if (!isRunning(attempt) || !isMeant(attempt, brake)) return isAll && !brake.cleared ? withoutNext(unchanged(noted), brake, moment) : unchanged(noted);
  const what = brake.cleared ? "a brake on all routes that was set and cleared meanwhile, by" : "a brake of";
  const message = `stopped by ${what} ${brake.actor}${brake.reason === "" ? "" : `: ${brake.reason}`}`;
  const over = { ...noted, current: rollBack(attempt, ["brake"]) };
  const stopped = publish(unchanged(noted), over, { action: "rolled_back", reasons: ["brake"], message, actor: brake.actor }, moment);
  return withoutNext(stopped, brake, moment);
}

/** Who brakes wants no candidate at all: nothing starts by itself afterwards. */
function withoutNext(before: Step, { actor }: BrakeInput["brake"], moment: Moment): Step {
  return withdraw(before, "next", { actor, why: ` by a brake of ${actor}` }, moment);
}

function isMeant({ plan, attempt, startedAtMs }: Attempt, brake: BrakeInput["brake"]): boolean {
  if (brake.route !== "*") return plan.rollout === brake.rollout && attempt === brake.attempt;
  return !brake.cleared || startedAtMs <= brake.atMs;
}
