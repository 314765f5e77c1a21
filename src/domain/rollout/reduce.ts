import { assertNever } from "../../errors/assert-never.ts";
import { KnownError } from "../../errors/known-error.ts";
import { canonicalJson } from "./canonical-json.ts";
import { obey, takeBrake } from "./commands.ts";
import { declare, serveWaiting } from "./declare.ts";
import { withoutRoom } from "./exposure-cap.ts";
import { expireFallback } from "./fallback.ts";
import { feedPane, isFed, withFed } from "./feed-pane.ts";
import type { ReducerDeps } from "./gate-event.ts";
import type { PaneInput, ReducerInput } from "./input.ts";
import { blindLook, type Look, lookAt } from "./look.ts";
import { finish, placeAbove, rollBack, stepDown, stepUp } from "./phases.ts";
import { isWithoutProof, type Resolution, resolve } from "./policy.ts";
import { callsPerMinute, candidatePpm, samplePpmOf, valueCapsOf } from "./routing-table.ts";
import { type Attempt, isRunning, noPanes, type RouteState } from "./state.ts";
import { type Moment, publish, publishRates, type Step, TABLE_LOST, tell, unchanged } from "./step.ts";
import { followTraffic, forWatch, watchPane } from "./watch.ts";

/** Rates are set anew when the traffic differs from what they were set for by this factor, and not before so many panes. */
const RATE_FACTOR = 1.5;
const RATE_PANES = 10;

/**
 * The decider: everything that a route's rollout does follows from its state and the next input. Pure and total: it reads
 * no clock and throws nothing, so that replaying `evidence` gives the same decisions (DESIGN.md section 6, law 5).
 *
 * The state comes back as the same object when the input changed nothing (a repeat, a tick without effect): such an input need not be recorded.
 */
export function reduce(state: RouteState, input: ReducerInput, deps: ReducerDeps): Step {
  const moment: Moment = { atMs: Math.max(state.atMs, input.atMs), seenEpoch: input.seenEpoch ?? 0, exposure: input.exposure ?? null, deps };
  const step = consume(state, input, moment);
  if (step.state === state && step.decisions.length === 0) return unchanged(state);
  return { state: { ...step.state, seq: state.seq + 1, atMs: moment.atMs }, decisions: step.decisions };
}

function consume(state: RouteState, input: ReducerInput, moment: Moment): Step {
  switch (input.kind) {
    case "spec":
      return declare(state, input, moment);
    case "command":
      return obey(state, input, moment);
    case "brake":
      return takeBrake(state, input, moment);
    case "pane": {
      if (isFed(state.fed[input.group] ?? noPanes, input)) return unchanged(state);
      if (!isRunning(state.current)) return watchAlone(state, input, moment);
      const fed = feedPane(state, state.current, input);
      const looked = look(unchanged(fed), moment, "evidence");
      // An event beside it must not keep a table back: a cap is often learnt in the pane that also changes the reasons.
      const isTold = looked.decisions.some(({ kind }) => kind === "routing");
      const rated = !isTold && input.group === "calls" && input.round === 0 ? withRates(looked, moment) : looked;
      return watchPane(rated, input, moment);
    }
    case "tick": {
      if (input.isTableLost && state.current !== null) return publishRates(unchanged(state), state.current, moment, TABLE_LOST);
      const looked = look(expireFallback(unchanged(state), moment), moment, "time");
      // One thing at a time: what waits has its turn at the next tick.
      return looked.decisions.length > 0 ? looked : serveWaiting(looked, input.gateways ?? [], moment);
    }
    default:
      return assertNever(input);
  }
}

/** A pane of a route without a rollout. */
function watchAlone(state: RouteState, input: PaneInput, moment: Moment): Step {
  const mine = forWatch(state, input);
  if (mine === null) return unchanged(state);
  const fed = { ...state.fed, [input.group]: withFed(state.fed[input.group] ?? noPanes, input) };
  return watchPane(followTraffic(unchanged({ ...state, fed }), mine, moment), mine, moment);
}

/** Looks at the running attempt and does what the policy says: at most one step. */
function look(before: Step, moment: Moment, why: "evidence" | "time"): Step {
  const attempt = before.state.current;
  if (!isRunning(attempt)) return before;
  const { seen, judged } = see(before.state, attempt, moment);
  const resolution = resolve({
    attempt: judged,
    outcomes: seen.outcomes,
    crossing: seen.crossing,
    atMs: moment.atMs,
    withoutRoom: roomProblem(before.state, judged, moment),
  });
  const at = judged === attempt ? before : { ...before, state: { ...before.state, current: judged } };
  return apply(at, judged, { resolution, look: seen }, moment, why);
}

/** What the shared cap of candidate traffic says of the attempt's next step. */
function roomProblem(state: RouteState, attempt: Attempt, { exposure }: Moment): string | null {
  if (exposure === null) return null;
  return withoutRoom(exposure, callsPerMinute(state, attempt.plan.paneMs), candidatePpm({ plan: attempt.plan, ...placeAbove(attempt) }));
}

/** A bug in the evidence holds the rollout for the rest of the attempt; it never opens a gate. */
function see(state: RouteState, attempt: Attempt, { atMs }: Moment): { readonly seen: Look; readonly judged: Attempt } {
  try {
    return { seen: lookAt(state, attempt, atMs), judged: attempt };
  } catch (error) {
    const what = error instanceof KnownError ? `${error.message}; ${error.fix}` : `the evidence could not be evaluated (${String(error)})`;
    return { seen: blindLook, judged: attempt.evaluationError === null ? { ...attempt, evaluationError: what } : attempt };
  }
}

function apply(
  before: Step,
  attempt: Attempt,
  { resolution, look: seen }: { readonly resolution: Resolution; readonly look: Look },
  moment: Moment,
  why: "evidence" | "time",
): Step {
  const { state } = before;
  const { atMs } = moment;
  const { reasons, message } = resolution;
  const told = { reasons, message, look: seen };
  const withAttempt = (next: Attempt): RouteState => ({ ...state, current: next });
  switch (resolution.kind) {
    case "rollback":
      return publish(before, withAttempt(rollBack(attempt, reasons)), { ...told, action: "rolled_back" }, moment);
    case "contract":
      return publish(before, withAttempt(stepDown(attempt, atMs)), { ...told, action: "contracted" }, moment);
    case "advance":
      return publish(before, withAttempt(stepUp(attempt, atMs)), { ...told, action: "advanced", withoutProof: isWithoutProof(attempt) }, moment);
    case "done":
      return publish(before, finish(state, attempt, atMs), { ...told, action: "done" }, moment);
    case "freeze": {
      // While observing, a breach restarts the clock; silence only stops it.
      const observedMs = resolution.frozen.cause === "breach" ? 0 : attempt.observedMs;
      const next = { ...attempt, frozen: resolution.frozen, observedMs, unobservedPanes: [], reasons };
      return tell(before, withAttempt(next), { ...told, action: "frozen" }, moment);
    }
    case "thaw": {
      const isSetAside = attempt.isSetAside || attempt.frozen?.cause === "breach";
      const setAsidePanes = [...new Set([...attempt.setAsidePanes, ...resolution.panes])].sort((a, b) => a - b);
      const next = { ...attempt, frozen: null, isSetAside, setAsidePanes, reasons };
      return tell(before, withAttempt(next), { ...told, action: "thawed", setAsidePanes }, moment);
    }
    case "hold":
      return holdStill(before, attempt, { reasons, message, look: seen }, moment, why);
    default:
      return assertNever(resolution);
  }
}

/** An event follows only when the set of reasons changes: one per change, not one per look. */
function holdStill(
  before: Step,
  attempt: Attempt,
  told: { readonly reasons: readonly string[]; readonly message: string; readonly look: Look },
  moment: Moment,
  why: "evidence" | "time",
): Step {
  const next = { ...attempt, reasons: told.reasons, message: told.message };
  const isSame = told.reasons.join() === [...attempt.reasons].join();
  if (!isSame) return tell(before, { ...before.state, current: next }, { ...told, action: "held" }, moment);
  return why === "time" ? before : { ...before, state: { ...before.state, current: next } };
}

/** Sampling rates follow the traffic, within the judge's budget; a cap is announced once it is known. */
function withRates(step: Step, moment: Moment): Step {
  const { state } = step;
  const attempt = state.current;
  if (!isRunning(attempt)) return step;
  if (valueCapsOf(attempt).length > state.sampling.caps) return publishRates(step, attempt, moment);
  if (attempt.plan.judgePerMinute === null) return step;
  const now = callsPerMinute(state, attempt.plan.paneMs);
  const { callsPerMinute: then, atMs, ppm } = state.sampling;
  if (now === null || now === 0 || canonicalJson(samplePpmOf(state, attempt)) === canonicalJson(ppm)) return step;
  const isOff = then === null || (moment.atMs - atMs >= RATE_PANES * attempt.plan.paneMs && (now > then * RATE_FACTOR || now * RATE_FACTOR < then));
  return isOff ? publishRates(step, attempt, moment) : step;
}
