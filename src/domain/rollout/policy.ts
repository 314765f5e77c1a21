import type { Crossing } from "./evidence/crossing.ts";
import type { GateOutcome, GateVerdict } from "./gates/gate.ts";
import type { Reason } from "./reasons.ts";
import { showDuration } from "./spec/duration.ts";
import { isRequiredInShadow, LATE_PERCENT } from "./spec/plan.ts";
import type { Attempt, Frozen } from "./state.ts";

/** What is to be done now. `hold` leaves everything as it is. */
export type Resolution =
  | { readonly kind: "rollback" | "contract" | "advance" | "done" | "hold"; readonly reasons: readonly Reason[]; readonly message: string }
  | { readonly kind: "freeze"; readonly frozen: Frozen; readonly reasons: readonly Reason[]; readonly message: string }
  | { readonly kind: "thaw"; readonly panes: readonly number[]; readonly reasons: readonly Reason[]; readonly message: string };

const order: Readonly<Record<GateVerdict, number>> = { pass: 0, hold: 1, freeze: 2, roll_back: 3 };

/** Both gates must pass to go up; either one alone stops: the worse verdict wins. */
export function worse(one: GateVerdict, other: GateVerdict): GateVerdict {
  return order[one] >= order[other] ? one : other;
}

export interface PolicyInput {
  readonly attempt: Attempt;
  readonly outcomes: readonly GateOutcome[];
  readonly crossing: Crossing;
  readonly atMs: number;
  /** Why the shared cap of candidate traffic leaves no room for a step up, one clause; null: it does, or there is none. */
  readonly withoutRoom: string | null;
}

/**
 * Combines the gates. Order of evaluation (DESIGN.md section 6): guardrails first, which need nothing else; then dwell,
 * freshness, sample size and safety (the gates' holds), approvals, freeze windows, the shared cap; then one step.
 */
export function resolve(input: PolicyInput): Resolution {
  const { attempt } = input;
  if (attempt.evaluationError !== null) {
    const down = goingDown(input, false);
    return down ?? hold(["evaluation_error"], `held: ${attempt.evaluationError}`);
  }
  return goingDown(input, true) ?? whileFrozen(input) ?? (attempt.isPaused ? hold(["operator"], "paused by an operator") : goingUp(input));
}

function hold(reasons: readonly Reason[], message: string): Resolution {
  return { kind: "hold", reasons, message };
}

const about = (outcomes: readonly GateOutcome[], verdict: GateVerdict) => outcomes.filter((outcome) => outcome.verdict === verdict);
const listed = (outcomes: readonly GateOutcome[]) => [...new Set(outcomes.flatMap((outcome) => outcome.about))].join(", ");
const reasonsOf = (outcomes: readonly GateOutcome[]): Reason[] => [...new Set(outcomes.flatMap((outcome) => outcome.reasons))].sort();

/** Stops need no dwell, no approval and no open window. */
function goingDown(input: PolicyInput, canFreeze: boolean): Resolution | null {
  const { attempt, outcomes, crossing, atMs } = input;
  const worst = outcomes.reduce<GateVerdict>((verdict, outcome) => worse(verdict, outcome.verdict), "pass");
  if (worst === "roll_back") {
    const guilty = about(outcomes, "roll_back");
    return { kind: "rollback", reasons: reasonsOf(guilty), message: `sustained harm beyond what is tolerated: ${listed(guilty)}` };
  }
  const contracting = outcomes.filter(({ wantsContraction }) => wantsContraction);
  const lastMs = attempt.contractedAtMs;
  if (contracting.length > 0 && canContract(attempt) && (lastMs === null || atMs - lastMs >= attempt.plan.sustain.windowMs)) {
    return { kind: "contract", reasons: ["signal_breach"], message: `one step down, sustained harm beyond what is tolerated: ${listed(contracting)}` };
  }
  if (worst !== "freeze" || !canFreeze) return null;
  const guilty = about(outcomes, "freeze");
  const cause = guilty.some(({ reasons }) => reasons.includes("signal_breach")) ? "breach" : "silence";
  // A freeze for silence becomes one for a breach when harm is proven; otherwise what is frozen stays so.
  if (attempt.frozen !== null && (attempt.frozen.cause !== "silence" || cause === "silence")) return null;
  const subject = cause === "breach" ? (crossing.breaches.find((name) => guilty.some((outcome) => outcome.about.includes(name))) ?? "") : listed(guilty);
  const message = cause === "breach" ? `harm beyond what is tolerated is proven: ${listed(guilty)}` : guilty.map((outcome) => outcome.message).join("; ");
  // What else is missing is told at once: an event follows when that changes.
  const reasons = reasonsOf(cause === "breach" ? [...guilty, ...about(outcomes, "hold")] : guilty);
  return { kind: "freeze", frozen: { cause, sinceMs: atMs, about: subject }, reasons, message };
}

const canContract = (attempt: Attempt) => attempt.phase === "canary" && attempt.step > 0;

/** A frozen rollout does not move; what one minute's outage froze thaws when nothing else speaks against it. */
function whileFrozen(input: PolicyInput): Resolution | null {
  const { attempt, outcomes, crossing, atMs } = input;
  const { frozen } = attempt;
  if (frozen === null) return null;
  if (frozen.cause === "operator") return hold(["operator"], "frozen by an operator; `thaw` lets it go on");
  if (frozen.cause === "silence") {
    const silent = about(outcomes, "freeze");
    if (silent.length > 0) return hold(reasonsOf(silent), silent.map((outcome) => outcome.message).join("; "));
    return { kind: "thaw", panes: [], reasons: ["data_returned"], message: "records arrive again" };
  }
  const waitedMs = atMs - frozen.sinceMs;
  if (waitedMs >= attempt.plan.sustain.windowMs && !crossing.isCrossedMinus) {
    const panes = outcomes.length === 0 ? [] : worstPanes(attempt, frozen.about);
    const shown = panes.map((pane) => new Date(pane).toISOString()).join(", ");
    return {
      kind: "thaw",
      panes,
      reasons: ["set_aside"],
      message: `without the panes ${shown} nothing is proven against ${frozen.about}; they stay set aside`,
    };
  }
  const others = about(outcomes, "hold");
  const why = crossing.isCrossedMinus
    ? "it holds without the worst panes, so it does not thaw by itself"
    : `thaws in ${showDuration(attempt.plan.sustain.windowMs - waitedMs)} unless it lasts`;
  return hold([...new Set<Reason>(["signal_breach", ...reasonsOf(others)])].sort(), `frozen by ${frozen.about}: ${why}`);
}

function worstPanes(attempt: Attempt, name: string): number[] {
  const states = [attempt, ...attempt.editions].flatMap(({ signals }) => signals.filter((found) => found.name === name));
  const tests = states.flatMap(({ relative, floor, runaway, slices }) => [relative, floor, runaway, ...Object.values(slices).map((slice) => slice.relative)]);
  const worst = tests.flatMap((test) => test.worst).sort((a, b) => b.logE - a.logE);
  return [...new Set(worst.map(({ paneStartMs }) => paneStartMs))].slice(0, attempt.plan.sustain.panes - 1).sort((a, b) => a - b);
}

/** Shortest and longest stay in the step that the attempt is in, ms. */
export function dwellOf({ plan, phase, step }: Attempt): { readonly minMs: number; readonly maxMs: number } {
  if (phase === "shadow" && plan.shadow !== null) return { minMs: plan.shadow.minDwellMs, maxMs: plan.shadow.maxDwellMs };
  const isLate = (plan.ladder[step]?.percent ?? 100) >= LATE_PERCENT;
  return { minMs: isLate ? plan.dwell.minLateMs : plan.dwell.minMs, maxMs: plan.dwell.maxMs };
}

function goingUp(input: PolicyInput): Resolution {
  const { attempt, outcomes, atMs } = input;
  const open = attempt.phase === "observing" ? observationHold(input) : stepHold(input);
  if (open !== null) return open;
  if (attempt.plan.approvals.includes(attempt.step) && attempt.approved[String(attempt.step)] === undefined) {
    return hold(["awaiting_approval"], `step ${attempt.step} has passed both gates and waits for an approval`);
  }
  const window = attempt.plan.freezeWindows.find(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs);
  if (window !== undefined) {
    return hold(["freeze_window"], `nothing goes up before ${new Date(window.toMs).toISOString()}${window.reason === "" ? "" : ` (${window.reason})`}`);
  }
  if (attempt.phase === "observing") {
    return {
      kind: "done",
      reasons: ["observation_complete"],
      message: `observed for ${showDuration(attempt.observedMs)} without a breach: the candidate is the baseline now`,
    };
  }
  if (input.withoutRoom !== null) return hold(["exposure_cap"], input.withoutRoom);
  const below = outcomes.length > 0 && attempt.signals.some(({ baselineFloor }) => baselineFloor.isBelow);
  const proof: Reason = isWithoutProof(attempt) ? "advance_without_proof" : "safe";
  const unproven = attempt.phase === "shadow" ? "nothing can be proven in shadow of these guardrails" : "safety is not proven at this size of step";
  const message = proof === "safe" ? "every guardrail is proven within its limit in this step" : `no harm was seen; ${unproven}`;
  return { kind: "advance", reasons: below ? [proof, "baseline_below_floor"] : [proof], message };
}

/** Whether this step may be left without proof: declared, and small enough; or a shadow in which no guardrail can be proven. */
export function isWithoutProof({ plan, phase, step }: Attempt): boolean {
  if (phase === "shadow") return !plan.signals.some(isRequiredInShadow);
  return plan.advanceOn === "not_breached" && phase === "canary" && (plan.ladder[step]?.percent ?? 100) <= 5;
}

function stepHold(input: PolicyInput): Resolution | null {
  const { attempt, outcomes, atMs } = input;
  const { minMs, maxMs } = dwellOf(attempt);
  const stayedMs = atMs - attempt.stepSinceMs;
  const holds = about(outcomes, "hold");
  if (stayedMs < minMs) {
    // What is wrong with the measurement is told at once; what is only not there yet, when it is due.
    const alerts = holds.filter(({ reasons }) => reasons.includes("split_mismatch"));
    const clauses = [...alerts.map(({ message }) => message), `stays at least ${showDuration(minMs - stayedMs)} more`];
    return hold([...new Set<Reason>(["min_dwell", ...reasonsOf(alerts)])].sort(), clauses.join("; "));
  }
  if (holds.length === 0) return null;
  const missing = holds.map((outcome) => outcome.message).join("; ");
  if (stayedMs < maxMs) return hold(reasonsOf(holds), missing);
  const reasons = [...new Set<Reason>([...reasonsOf(holds), "inconclusive", "max_dwell"])].sort();
  if (stayedMs >= maxMs + attempt.plan.dwell.undecidedMs && canContract(attempt)) {
    return { kind: "contract", reasons, message: `undecided for ${showDuration(stayedMs)}: one step down; ${missing}` };
  }
  return hold(reasons, `undecided for ${showDuration(stayedMs)}, longer than the longest dwell: look at the volume and the margins; ${missing}`);
}

function observationHold({ attempt, outcomes }: PolicyInput): Resolution | null {
  const holds = about(outcomes, "hold");
  const missing = holds.map((outcome) => outcome.message).join("; ");
  if (holds.length > 0) return hold(reasonsOf(holds), missing);
  if (attempt.observedMs >= attempt.plan.observationMs) return null;
  const reasons: Reason[] = attempt.plan.holdback.buckets === 0 ? ["no_holdback", "observing"] : ["observing"];
  return hold(reasons, `observes everybody but the holdback for ${showDuration(attempt.plan.observationMs - attempt.observedMs)} more`);
}
