import { advanceLogE } from "../../stats/advance-process.ts";
import { advanceLimit } from "../../stats/combine.ts";
import { setAsideOf } from "../../stats/freeze-process.ts";
import { mix, NANO_MIN } from "../../stats/nano-nats.ts";
import { isRequiredInShadow, type PlannedSignal, type RolloutPlan } from "../spec/plan.ts";
import type { Attempt } from "../state.ts";
import { thresholdOf } from "./baseline.ts";
import type { SignalState, TestState } from "./signal-state.ts";
import { recentHarm, SHADOW_STEP } from "./test-state.ts";

/** A process as a gate event shows it: from these numbers alone its bounds can be recomputed. */
export interface EvidenceProcess {
  readonly name: string;
  readonly weights: readonly number[];
  /** Weight within the signal. */
  readonly share: number;
  readonly q: readonly number[];
  readonly setAside: readonly number[];
}

/** What is known of one signal at a look. Logs in nano-nats. */
export interface Assessment {
  readonly planned: PlannedSignal;
  readonly state: SignalState;
  readonly processes: readonly EvidenceProcess[];
  readonly logE: number;
  /** Without the most incriminating blocks of each process. */
  readonly logEMinus: number;
  readonly logEAdvance: number;
  /** Must be safe before this step can be left (guardrails; in shadow only those that have pairs). */
  readonly isRequired: boolean;
  readonly isSafe: boolean;
  readonly isFloorSafe: boolean;
  /** Evidence of harm of the process that began with this step. */
  readonly stepLogE: number;
  /** Recent blocks that were evidence of harm by themselves. */
  readonly harmBlocks: number;
  readonly candidateN: number;
  readonly baselineN: number;
  /** Nothing to compare, no threshold yet, or too much unscored. */
  readonly hasNoData: boolean;
}

/** Restarts of a plan: one per step, and the pairs of shadow. */
const restartsOf = (plan: RolloutPlan) => plan.ladder.length + (plan.shadow === null ? 0 : 1);
const labelOf = (step: number) => (step === SHADOW_STEP ? "shadow" : String(step));
export const logEOf = (process: EvidenceProcess): number => mix(process.q, process.weights);
export const logEMinusOf = (process: EvidenceProcess): number =>
  mix(
    process.q.map((sum, k) => Math.max(sum - (process.setAside[k] ?? 0), NANO_MIN)),
    process.weights,
  );

function processesOf(name: string, test: TestState, share: number, plan: RolloutPlan): EvidenceProcess[] {
  const restarts = restartsOf(plan);
  const processes: EvidenceProcess[] = test.freeze.map(({ step, process }) => ({
    name: `${name}:${labelOf(step)}`,
    weights: process.weights,
    share: share / restarts,
    q: process.q,
    setAside: process.weights.map((_, k) => setAsideOf(process, k)),
  }));
  const waiting = restarts - processes.length;
  // A restart that has not begun is worth 1.
  if (waiting > 0) processes.push({ name: `${name}:unstarted`, weights: [1], share: (share * waiting) / restarts, q: [0], setAside: [0] });
  return processes;
}

function mixed(processes: readonly EvidenceProcess[], logE: (process: EvidenceProcess) => number): number {
  const sum = processes.reduce((all, { share }) => all + share, 0);
  return mix(
    processes.map(logE),
    processes.map(({ share }) => share / sum),
  );
}

/** A floor that does not bind can exonerate but not incriminate: its evidence counts as at most 1. */
function unbound(processes: readonly EvidenceProcess[], share: number): EvidenceProcess[] {
  const full = Math.min(0, mixed(processes, logEOf));
  return [{ name: "floor:unbound", weights: [1], share, q: [full], setAside: [full - Math.min(0, mixed(processes, logEMinusOf))] }];
}

/** Collects the evidence of a signal; the relative test and the floor share its weight, half each (statistics.md section 1.2). */
function collect(planned: PlannedSignal, state: SignalState, plan: RolloutPlan): EvidenceProcess[] {
  if (planned.weight === 0) return [];
  if (planned.floor === null) return processesOf("freeze", state.relative, 1, plan);
  const floor = processesOf("floor", state.floor, 0.5, plan);
  return [...processesOf("freeze", state.relative, 0.5, plan), ...(state.baselineFloor.isBelow ? unbound(floor, 0.5) : floor)];
}

const advanceOf = (test: TestState, step: number) => test.advance.find((run) => run.step === step)?.process;
const stepEvidence = (test: TestState, step: number): number => {
  const run = test.freeze.find((found) => found.step === step);
  return run === undefined ? 0 : mix(run.process.q, run.process.weights);
};

/** What is known of a signal in the step that the attempt is in. */
export function assess(planned: PlannedSignal, state: SignalState, attempt: Attempt): Assessment {
  const { plan, step, phase } = attempt;
  const processes = collect(planned, state, plan);
  const isFloorBinding = planned.floor !== null && !state.baselineFloor.isBelow;
  const relative = advanceOf(state.relative, step);
  const floor = advanceOf(state.floor, step);
  const advances = [relative, ...(isFloorBinding ? [floor] : [])];
  const isShadow = phase === "shadow";
  const newestMs = attempt.newestPane[planned.group] + plan.paneMs;
  const windowMs = plan.sustain.windowMs;
  const baselineN = isShadow ? state.shown.candidate.n : state.shown.baseline.n;
  return {
    planned,
    state,
    processes,
    logE: processes.length === 0 ? 0 : mixed(processes, logEOf),
    logEMinus: processes.length === 0 ? 0 : mixed(processes, logEMinusOf),
    logEAdvance: planned.weight === 0 ? 0 : Math.min(...advances.map((process) => (process === undefined ? 0 : advanceLogE(process)))),
    isRequired: isShadow ? isRequiredInShadow(planned) : planned.tier === "guardrail",
    isSafe: advances.every((process) => process?.safe === true),
    isFloorSafe: !isFloorBinding || floor?.safe === true,
    stepLogE: Math.max(stepEvidence(state.relative, step), isFloorBinding ? stepEvidence(state.floor, step) : 0),
    harmBlocks: Math.max(recentHarm(state.relative, newestMs, windowMs), isFloorBinding ? recentHarm(state.floor, newestMs, windowMs) : 0),
    candidateN: state.shown.candidate.n,
    baselineN,
    hasNoData: state.shown.candidate.n === 0 || baselineN === 0 || !canDecide(planned, state, plan),
  };
}

/** False when a judged signal has too much unscored, or a percentile has no threshold yet. */
function canDecide(planned: PlannedSignal, state: SignalState, plan: RolloutPlan): boolean {
  if (planned.kind === "percentile") return thresholdOf(state, plan) !== null;
  if (planned.group !== "judge" || state.drawn.sampled === 0) return true;
  return advanceLimit(planned.margin.limit, state.drawn.unscored / state.drawn.sampled) !== null;
}

export function assessAll(attempt: Attempt): Assessment[] {
  return attempt.plan.signals.flatMap((planned, i) => {
    const state = attempt.signals[i];
    return state === undefined ? [] : [assess(planned, state, attempt)];
  });
}
