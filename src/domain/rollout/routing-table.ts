import type { RoutingTable, ServedVersion } from "../../../topics/index.ts";
import { BUCKETS, ppmOfBuckets } from "../routing/buckets.ts";
import { rangesFor, rangesOfOne } from "../routing/ranges.ts";
import { type CallRates, samplingRates, watchPpm } from "./sampling-rates.ts";
import { fullBuckets } from "./spec/normalise.ts";
import type { RolloutPlan } from "./spec/plan.ts";
import type { Attempt, RouteState } from "./state.ts";

/** Gateways may be cut off ten times as long while observing: the candidate has proven itself on everybody but the holdback. */
const OBSERVING_STALE = 10;
const MINUTE_MS = 60_000;
/** Panes' worth of time before a rate of calls is believed. */
const LEAST_RATE_PANES = 2;

/** Buckets of 10,000 that the candidate serves in a phase and step. */
export function candidateBuckets(attempt: Pick<Attempt, "plan" | "phase" | "step">): number {
  const { plan, phase, step } = attempt;
  if (phase === "observing") return fullBuckets(plan);
  if (phase === "done") return BUCKETS;
  return phase === "canary" ? Math.min(plan.ladder[step]?.buckets ?? 0, fullBuckets(plan)) : 0;
}

/** Candidate's share of subjects, parts per million. */
export const candidatePpm = (attempt: Pick<Attempt, "plan" | "phase" | "step">): number => ppmOfBuckets(candidateBuckets(attempt));

/** Calls per minute of the route; null while too little was seen. */
export function callsPerMinute(state: Pick<RouteState, "callRate">, paneMs: number): number | null {
  const { calls, ms } = state.callRate;
  return ms < LEAST_RATE_PANES * paneMs ? null : (calls / ms) * MINUTE_MS;
}

function ratesOf(state: RouteState, attempt: Attempt): CallRates | null {
  const perMinute = callsPerMinute(state, attempt.plan.paneMs);
  if (perMinute === null) return null;
  const share = candidateBuckets(attempt) / BUCKETS;
  return { candidate: perMinute * share, baseline: perMinute * (1 - share), mirrored: (perMinute * (attempt.plan.shadow?.ppm ?? 0)) / 1e6 };
}

/** Sampling rates of the step that an attempt is in, by the traffic seen so far. */
export function samplePpmOf(state: RouteState, attempt: Attempt): RoutingTable["samplePpm"] {
  if (attempt.phase === "done" || attempt.phase === "rolled_back") return watchRates(state, attempt);
  return samplingRates(attempt.plan.judgePerMinute, ratesOf(state, attempt), attempt.phase === "shadow" ? "shadow" : "served");
}

/** Rates while no rollout runs: whoever serves is judged, within the budget of the drift watch. The baseline's rate is that of arm `none`. */
function watchRates(state: RouteState, { plan }: Attempt): RoutingTable["samplePpm"] {
  const nobody = { baseline: 0, candidate: 0, holdback: 0, shadow: 0 };
  if (!plan.drift.isOn || plan.rubrics.length === 0) return nobody;
  const perMinute = callsPerMinute(state, plan.paneMs);
  return { ...nobody, baseline: watchPpm(plan.drift.judgePerMinute, perMinute) };
}

/** Caps of quantities that are known by now: announced, so that subjects' sums are counted as the bets count (statistics.md section 7). */
export function valueCapsOf({ signals, phase }: Pick<Attempt, "signals" | "phase">): RoutingTable["valueCaps"] {
  if (phase === "done" || phase === "rolled_back") return [];
  return signals.flatMap(({ name, cap }) => (cap === null ? [] : [{ signal: name, cap }]));
}

function staleAfterOf({ plan, phase }: Attempt): number {
  if (phase === "observing") return plan.staleAfterMs * OBSERVING_STALE;
  return phase === "done" || phase === "rolled_back" ? 0 : plan.staleAfterMs;
}

/** Salt of a rollout: the same for all its attempts, so that a retry exposes the same subjects first. */
export const saltOf = (plan: Pick<RolloutPlan, "route" | "rollout">): string => `${plan.route}/${plan.rollout}`;

/**
 * The table that obeys the state of a route. Arms exist only while an attempt is under way: afterwards one version serves
 * everybody, and the rollout is named no more.
 *
 * @param about epoch, and the event that the table is published for
 */
export function routingTable(
  state: RouteState,
  attempt: Attempt,
  about: { readonly reason: string; readonly gateEventId: string; readonly atMs: number },
): RoutingTable {
  const { plan, phase } = attempt;
  const serving = state.serving ?? plan.candidateVersion;
  const isOver = phase === "done" || phase === "rolled_back";
  return {
    route: state.route,
    epoch: state.epoch,
    rollout: isOver ? "" : plan.rollout,
    attempt: isOver ? 0 : attempt.attempt,
    step: isOver ? -1 : attempt.step,
    phase,
    baseline: serving.name,
    candidate: plan.candidate,
    versions: versionsOf(state, attempt, serving),
    salt: saltOf(plan),
    ranges: isOver ? rangesOfOne(serving.name) : rangesFor({ baseline: serving.name, candidate: plan.candidate, ...splitOf(attempt) }),
    shadowPpm: phase === "shadow" ? (plan.shadow?.ppm ?? 0) : 0,
    samplePpm: samplePpmOf(state, attempt),
    paneMs: plan.paneMs,
    windowMs: plan.windowMs,
    callsGraceMs: plan.callsGraceMs,
    judgeGraceMs: plan.judgeGraceMs,
    staleAfterMs: staleAfterOf(attempt),
    schemaCheck: plan.schemaCheck,
    rubrics: [...plan.rubrics],
    outcomes: outcomesOf(plan),
    slices: plan.slices.map(({ name }) => name),
    valueCaps: valueCapsOf(attempt),
    attemptStartedAtMs: isOver ? 0 : attempt.startedAtMs,
    reason: about.reason,
    gateEventId: about.gateEventId,
    atMs: about.atMs,
  };
}

/** Signals that downstream outcomes are counted for, also when the attempt is over: late ones amend the record. */
function outcomesOf({ signals }: RolloutPlan): RoutingTable["outcomes"] {
  return signals
    .filter(({ source }) => source === "outcome")
    .map(({ name, kind, maturityMs }) => ({ signal: name, form: kind === "score" ? "grid" : "binary", maturityMs: maturityMs ?? null }));
}

/** The holdback is an arm of its own only at 100 %: before, its subjects are part of the baseline. */
function splitOf(attempt: Attempt): { readonly candidateBuckets: number; readonly holdbackBuckets: number } {
  const holdbackBuckets = attempt.phase === "observing" ? attempt.plan.holdback.buckets : 0;
  return { candidateBuckets: candidateBuckets(attempt), holdbackBuckets };
}

/** The version that serves, the one under test, and once no rollout runs the fallback, which stays warm. */
function versionsOf(state: RouteState, attempt: Attempt, serving: ServedVersion): ServedVersion[] {
  const isOver = attempt.phase === "done" || attempt.phase === "rolled_back";
  const other = isOver ? state.fallback : attempt.plan.candidateVersion;
  return other === null || other.name === serving.name ? [serving] : [serving, other];
}
