import { type Assessment, assessAll } from "./evidence/assess.ts";
import { type Crossing, crossing } from "./evidence/crossing.ts";
import { PIPELINE_MS, silenceVerdict } from "./evidence/silence.ts";
import { cohortGate } from "./gates/cohort-gate.ts";
import { confidenceGate } from "./gates/confidence-gate.ts";
import type { Gate, GateOutcome, Mode } from "./gates/gate.ts";
import { isWithoutProof } from "./policy.ts";
import { longestMaturityMs, type PlannedSignal } from "./spec/plan.ts";
import type { Attempt, RouteState } from "./state.ts";

/** Everything that is known of an attempt at one moment: the evidence, and what each gate makes of it. */
export interface Look {
  readonly assessments: readonly Assessment[];
  readonly crossing: Crossing;
  readonly outcomes: readonly GateOutcome[];
}

/** What a look sees when the evidence cannot be evaluated: nothing, so that nothing goes up. */
export const blindLook: Look = {
  assessments: [],
  crossing: { logA: 0, logAMinus: 0, isCrossed: false, isCrossedMinus: false, breaches: [], sustained: [], slices: {} },
  outcomes: [],
};

const gates: readonly Gate[] = [confidenceGate, cohortGate];
/** Panes, beside grace and the pipeline's time, after which the newest closed pane is no longer fresh. */
const FRESH_PANES = 5;

/** Whether a pane of this step closed lately. */
function isFresh(attempt: Attempt, group: PlannedSignal["group"], atMs: number): boolean {
  const { plan, newestPane, stepSinceMs } = attempt;
  const newestMs = newestPane[group] ?? -1;
  const graceMs = plan.callsGraceMs + (group === "judge" ? plan.judgeGraceMs : group === "outcome" ? longestMaturityMs(plan) : 0);
  // The pane in which the step began counts: its blocks are split by epoch.
  return newestMs + plan.paneMs > stepSinceMs && atMs - newestMs - plan.paneMs <= FRESH_PANES * plan.paneMs + graceMs + PIPELINE_MS;
}

function modeOf(attempt: Attempt): Mode {
  if (attempt.phase === "observing") return "observe";
  return isWithoutProof(attempt) ? "without_proof" : "safe";
}

/** What an attempt's evidence says, and what of the attempt that follows from beside its signals. */
interface Said extends Pick<Attempt, "signals" | "editions" | "step" | "phase" | "newestPane" | "isSetAside"> {
  readonly assessments: readonly Assessment[];
  readonly crossed: Crossing;
}

/** What each plan's attempt said last. Its signals are the same object until a pane changes one: a tick asks for what the pane before it said. */
const said = new WeakMap<Attempt["plan"], Said>();

function evidenceOf(attempt: Attempt): Pick<Said, "assessments" | "crossed"> {
  const { plan, signals, editions, step, phase, newestPane, isSetAside } = attempt;
  const known = said.get(plan);
  const isSame =
    known !== undefined &&
    known.signals === signals &&
    known.editions === editions &&
    known.step === step &&
    known.phase === phase &&
    known.newestPane === newestPane &&
    known.isSetAside === isSetAside;
  if (isSame) return known;
  const assessments = assessAll(attempt);
  const found: Said = { signals, editions, step, phase, newestPane, isSetAside, assessments, crossed: crossing(assessments, plan, isSetAside) };
  said.set(plan, found);
  return found;
}

/**
 * Looks at an attempt through both gates.
 *
 * @throws {KnownError} EVALUATION_ERROR when evidence is not finite
 */
export function lookAt(state: RouteState, attempt: Attempt, atMs: number): Look {
  const { plan } = attempt;
  const { assessments, crossed } = evidenceOf(attempt);
  const { calls, ms } = state.callRate;
  const silent = (group: "calls" | "judge") =>
    silenceVerdict(attempt.silence, group, { plan, atMs, callsPerMs: ms === 0 ? 0 : calls / ms, heardUntilMs: attempt.newestPane[group] + plan.paneMs });
  const silence = { calls: silent("calls"), judge: silent("judge") };
  const fresh = { calls: isFresh(attempt, "calls", atMs), judge: isFresh(attempt, "judge", atMs), outcome: isFresh(attempt, "outcome", atMs) };
  const outcomes = gates.map((gate) =>
    gate.judge({
      attempt,
      assessments: assessments.filter(({ planned }) => planned.gate === gate.gate),
      crossing: crossed,
      mode: modeOf(attempt),
      silence,
      isFresh: fresh,
    }),
  );
  return { assessments, crossing: crossed, outcomes };
}
