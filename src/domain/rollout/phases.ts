import type { ServedVersion } from "../../../topics/index.ts";
import { forNewAttempt } from "../drift/watch-state.ts";
import { forNewStep, initialSignal } from "./evidence/signal-state.ts";
import { noSilence } from "./evidence/silence.ts";
import { noSplit } from "./evidence/split.ts";
import { countOf, halvingsOf, pairOf } from "./ledger.ts";
import type { RolloutPlan } from "./spec/plan.ts";
import type { Attempt, RouteState } from "./state.ts";

/**
 * How an attempt moves. One arrow per decision; each arrow is one epoch.
 *
 * ```
 *               spec, retry                advance            advance (last step)     observed
 *   pending ───────────────▶ shadow ───────────────▶ canary ─────────────────▶ observing ─────▶ done
 *      │       (no shadow: straight to canary)       │ ▲  │                       │              │
 *      │                                  advance ───┘ │  │                       │              │ undo
 *      │                                               └──┘ contract              │              ▼
 *      │                      └──────────┬────────────────┴───────────────────────┴───▶ rolled_back
 *      │                                 sustained breach, rollback, brake                  │
 *      └────────────────────────────────────────────────────────────────────────────────◀──┘ retry: a new attempt
 * ```
 *
 * Frozen and paused are conditions, not phases: they stop the arrows that go up, never those that go down.
 */
const MOST_REMEMBERED = 200;

/** The newest entries of a record that grows with time. */
function remember<V>(record: Readonly<Record<string, V>>, key: string, value: V): Record<string, V> {
  const others = Object.entries(record).filter(([name]) => name !== key);
  return Object.fromEntries([...others.slice(-(MOST_REMEMBERED - 1)), [key, value]]);
}

/** Begins an attempt, with no evidence carried over. */
export function begin(
  state: RouteState,
  plan: RolloutPlan,
  about: { readonly specDigest: string; readonly serving: ServedVersion; readonly atMs: number; readonly definitionOf: (version: ServedVersion) => string },
): RouteState {
  const count = countOf(state, plan);
  const number = (Object.hasOwn(state.numbers, plan.rollout) ? (state.numbers[plan.rollout] ?? 0) : 0) + 1;
  const attempt: Attempt = {
    plan,
    specDigest: about.specDigest,
    attempt: number,
    startedAtMs: about.atMs,
    halvings: halvingsOf(count),
    phase: plan.shadow === null ? "canary" : "shadow",
    step: plan.shadow === null ? 0 : -1,
    stepSinceMs: about.atMs,
    isPaused: false,
    pauses: [],
    frozen: null,
    isSetAside: false,
    setAsidePanes: [],
    contractedAtMs: null,
    approved: {},
    signals: plan.signals.map(({ name }) => initialSignal(name)),
    editions: [],
    editedAtMs: 0,
    edits: 0,
    split: noSplit,
    silence: noSilence,
    stepRequests: 0,
    observedMs: 0,
    unobservedPanes: [],
    newestPane: { calls: -1, judge: -1 },
    watermarkMs: 0,
    evaluationError: null,
    reasons: ["min_dwell"],
    message: "",
  };
  // A ladder of one step begins with everybody.
  const started = attempt.phase === "canary" && plan.ladder.length === 1 ? { ...attempt, phase: "observing" as const, reasons: ["observing"] } : attempt;
  const { serving, definitionOf } = about;
  const definitions = remember(state.definitions, serving.name, definitionOf(serving));
  return {
    ...state,
    serving,
    watch: forNewAttempt(state.watch, [serving.name, state.fallback?.name]),
    definitions: remember(definitions, plan.candidate, definitionOf(plan.candidateVersion)),
    current: started,
    pairs: remember(state.pairs, pairOf(plan), { ...count, attempts: count.attempts + 1 }),
    numbers: remember(state.numbers, plan.rollout, number),
    starts: withStart(state.starts, { digest: about.specDigest, rollout: plan.rollout, attempt: number }),
  };
}

/** The newest specs that were started, this one last. */
export function withStart(starts: RouteState["starts"], one: RouteState["starts"][number]): RouteState["starts"] {
  return [...starts.filter(({ digest }) => digest !== one.digest), one].slice(-MOST_REMEMBERED);
}

function enter(attempt: Attempt, to: Pick<Attempt, "phase" | "step">, atMs: number): Attempt {
  return {
    ...attempt,
    ...to,
    stepSinceMs: atMs,
    stepRequests: 0,
    observedMs: 0,
    unobservedPanes: [],
    silence: { ...noSilence, lastRecordMs: attempt.silence.lastRecordMs },
    signals: attempt.signals.map(forNewStep),
    reasons: to.phase === "observing" ? ["observing"] : ["min_dwell"],
  };
}

/** Where one step up leads: shadow to the first step, the last step but one to everybody. */
export function placeAbove({ plan, step }: Pick<Attempt, "plan" | "step">): Pick<Attempt, "phase" | "step"> {
  return { step: step + 1, phase: step + 1 >= plan.ladder.length - 1 ? "observing" : "canary" };
}

/** One step up. */
export function stepUp(attempt: Attempt, atMs: number): Attempt {
  return enter(attempt, placeAbove(attempt), atMs);
}

/** One step down in the ladder, same attempt; those who were added last leave first. */
export function stepDown(attempt: Attempt, atMs: number): Attempt {
  return { ...enter(attempt, { step: Math.max(0, attempt.step - 1), phase: "canary" }, atMs), contractedAtMs: atMs };
}

/** The attempt is over; the baseline serves everybody. */
export function rollBack(attempt: Attempt, reasons: readonly string[]): Attempt {
  return { ...attempt, phase: "rolled_back", frozen: null, isPaused: false, reasons: [...reasons] };
}

/** The candidate serves the route from now on; what served before stays one `undo` away for the time that the spec gives. */
export function finish(state: RouteState, attempt: Attempt, atMs: number): RouteState {
  const done: Attempt = { ...attempt, phase: "done", frozen: null, isPaused: false, reasons: ["observation_complete"] };
  return { ...state, serving: attempt.plan.candidateVersion, fallback: state.serving, fallbackUntilMs: atMs + attempt.plan.fallbackMs, current: done };
}

/** The fallback is given up: from now on there is nothing to go back to. */
export const withoutFallback = (state: RouteState): RouteState => ({ ...state, fallback: null, fallbackUntilMs: 0 });

/** Back to what served before `done`. */
export function undo(state: RouteState, attempt: Attempt, fallback: ServedVersion): RouteState {
  return { ...withoutFallback(state), serving: fallback, current: rollBack(attempt, ["operator"]) };
}

const MOST_PAUSES = 50;

export function pause(attempt: Attempt, atMs: number): Attempt {
  return { ...attempt, isPaused: true, pauses: [...attempt.pauses, { fromMs: atMs, toMs: null }].slice(-MOST_PAUSES), reasons: ["operator"] };
}

/** Goes on where it was: the time of the pause is no time of the step. */
export function resume(attempt: Attempt, atMs: number): Attempt {
  const pausedMs = atMs - Math.max(attempt.pauses.at(-1)?.fromMs ?? atMs, attempt.stepSinceMs);
  const pauses = attempt.pauses.map((entry) => (entry.toMs === null ? { ...entry, toMs: atMs } : entry));
  return { ...attempt, isPaused: false, pauses, stepSinceMs: attempt.stepSinceMs + Math.max(0, pausedMs), reasons: ["operator"] };
}

/** Whether a pane overlaps a pause: then it is no evidence. */
export function wasPaused(attempt: Attempt, fromMs: number, toMs: number): boolean {
  return attempt.pauses.some((entry) => entry.fromMs < toMs && (entry.toMs === null || entry.toMs > fromMs));
}
