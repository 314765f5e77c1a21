import type { AttemptRow, GateEvent, SignalEvidence } from "../../../topics/index.ts";
import { forecastStep } from "../planning/forecast.ts";
import { stepsOf } from "../planning/traffic.ts";
import type { Assessment } from "../rollout/evidence/assess.ts";
import { alphaAdvanceOf } from "../rollout/gate-event.ts";
import { blindLook, type Look, lookAt } from "../rollout/look.ts";
import { dwellOf, isWithoutProof, type Resolution, resolve } from "../rollout/policy.ts";
import { callsPerMinute, candidateBuckets } from "../rollout/routing-table.ts";
import { signalRows } from "../rollout/signal-rows.ts";
import { WITHOUT_PROOF_REQUESTS } from "../rollout/spec/plan.ts";
import { type Attempt, conditionOf, isRunning, type RouteState } from "../rollout/state.ts";
import { interval } from "../stats/interval.ts";
import { ln } from "../stats/ln.ts";
import { NANO, threshold } from "../stats/nano-nats.ts";

const MINUTE_MS = 60_000;

/** When something is expected, and what that rests on. */
export interface Expected {
  /** From now, ms; null: not to be expected as things stand. */
  readonly inMs: number | null;
  /** `clock`: it is only a matter of time; `present_rate`: if it goes on as in this step; `plan`: of a candidate without harm, at the present volume. */
  readonly basis: "clock" | "present_rate" | "plan";
}

/** The evidence of a signal (and slice), with what a picture of it needs. Harms as fractions; plus is worse. */
export interface SignalPicture extends SignalEvidence {
  /** Ends of the displayed interval of the harm; null where there is none (percentiles, slices). */
  readonly low: number | null;
  readonly high: number | null;
  /** Must be proven safe before the step is left. */
  readonly isRequired: boolean;
  /** Share of the log evidence that proof of safety takes, 0 to 1; null: none is asked for. */
  readonly proof: number | null;
  /** Share of the log evidence with which this signal alone would freeze the rollout, 0 to 1. */
  readonly alarm: number;
  /** When it will be proven; null: it is, or need not be. */
  readonly expected: Expected | null;
}

/** Something that the next step waits for. */
export interface WaitsFor {
  readonly what: string;
  readonly detail: string;
  readonly expected: Expected | null;
}

/** Why a rollout is where it is, what is missing for its next step, and when that is expected. JSON-serialisable. */
export interface Explanation {
  readonly route: string;
  readonly rollout: string;
  readonly attempt: number;
  readonly baseline: string;
  readonly candidate: string;
  readonly atMs: number;
  readonly startedAtMs: number;
  readonly stepSinceMs: number;
  readonly phase: Attempt["phase"];
  readonly condition: ReturnType<typeof conditionOf>;
  readonly step: number;
  /** Candidate's share of subjects per step, percent. */
  readonly ladder: readonly number[];
  readonly sharePct: number;
  /** What the policy would do with this evidence now, and why. */
  readonly now: { readonly kind: Resolution["kind"] | "over"; readonly reasons: readonly string[]; readonly message: string };
  readonly gates: readonly { readonly gate: string; readonly verdict: string; readonly reasons: readonly string[]; readonly message: string }[];
  readonly frozen: Attempt["frozen"];
  /** What comes next when nothing is against it; null: the attempt is over. */
  readonly next: {
    readonly phase: string;
    readonly sharePct: number | null;
    readonly waitsFor: readonly WaitsFor[];
    readonly expected: Expected | null;
  } | null;
  readonly signals: readonly SignalPicture[];
  /** Attempts of the route, oldest first, as far as the state keeps them. */
  readonly ledger: readonly AttemptRow[];
}

/**
 * Explains the present attempt of a route. Pure: the same function explains the present (from the decider's state) and any
 * moment of the past (from a replay).
 *
 * @param atMs epoch ms, not before the state's
 * @returns null when the route has no attempt
 */
export function explain(state: RouteState, atMs: number): Explanation | null {
  const attempt = state.current;
  if (attempt === null) return null;
  const { plan } = attempt;
  const base = {
    route: state.route,
    rollout: plan.rollout,
    attempt: attempt.attempt,
    baseline: plan.baseline,
    candidate: plan.candidate,
    atMs,
    startedAtMs: attempt.startedAtMs,
    stepSinceMs: attempt.stepSinceMs,
    phase: attempt.phase,
    condition: conditionOf(attempt),
    step: attempt.step,
    ladder: plan.ladder.map(({ percent }) => percent),
    sharePct: candidateBuckets(attempt) / 100,
    frozen: attempt.frozen,
    ledger: state.ledger,
  };
  const seen = tryLook(state, attempt, atMs);
  const signals = picturesOf(state, attempt, seen, atMs);
  const gates = seen.outcomes.map(({ gate, verdict, reasons, message }) => ({ gate, verdict, reasons, message }));
  const isUnderWay = isRunning(state.current);
  if (!isUnderWay) return { ...base, now: { kind: "over", reasons: attempt.reasons, message: attempt.message }, gates: [], next: null, signals };
  // What other routes take of a shared cap is in no state of this route: it stands as it was found last.
  const withoutRoom = attempt.reasons.includes("exposure_cap") ? attempt.message : null;
  const now = resolve({ attempt, outcomes: seen.outcomes, crossing: seen.crossing, atMs, withoutRoom });
  return { ...base, now: { kind: now.kind, reasons: now.reasons, message: now.message }, gates, next: nextOf(attempt, signals, now, atMs), signals };
}

/** The same with the evidence and the verdicts that a published event holds: at that decision. */
export function explainEvent(explanation: Explanation, event: GateEvent): Explanation {
  const pictures = new Map(explanation.signals.map((picture) => [keyOf(picture), picture]));
  const signals = event.signals.map((row) => ({ ...noPicture, ...pictures.get(keyOf(row)), ...row, ...intervalOf(row, event.alpha) }));
  const gates = event.gates.map(({ gate, verdict, reasons }) => ({ gate, verdict, reasons, message: "" }));
  const now = { kind: explanation.now.kind, reasons: event.reasons, message: event.message };
  return { ...explanation, atMs: event.atMs, now, ...(event.signals.length === 0 ? {} : { signals, gates }) };
}

const noPicture = { isRequired: false, proof: null, alarm: 0, expected: null };
const keyOf = ({ signal, slice, edition }: SignalEvidence) => JSON.stringify([signal, slice, edition]);

/** Evidence that is not finite: the attempt itself says so (evaluation_error), and there is nothing to show. */
function tryLook(state: RouteState, attempt: Attempt, atMs: number): Look {
  try {
    return lookAt(state, attempt, atMs);
  } catch {
    return blindLook;
  }
}

function picturesOf(state: RouteState, attempt: Attempt, look: Look, atMs: number): SignalPicture[] {
  const planned = plannedMinutes(state, attempt);
  return look.assessments.flatMap((found) =>
    signalRows(found, attempt, look).map((row) => {
      const isAll = row.slice === "all" && row.edition === 0;
      const proof = isAll && found.isRequired && !isWithoutProof(attempt) && attempt.phase !== "observing" ? proofOf(found, attempt) : null;
      const expected = proof === null || found.isSafe ? null : expectProof(found, attempt, { proof, planned: planned.get(row.signal) ?? null, atMs });
      return {
        ...row,
        ...intervalOf(row, attempt.plan.alpha),
        isRequired: isAll && found.isRequired,
        proof,
        alarm: alarmOf(row, attempt.plan.alpha),
        expected,
      };
    }),
  );
}

/** Ends of the interval, recomputed from the sums in the row alone (statistics.md section 1.3). */
function intervalOf(row: SignalEvidence, alpha: number): { readonly low: number | null; readonly high: number | null } {
  const { intervalPrecision: precision, intervalWeighted: weighted, intervalScale: scale } = row;
  const found = alpha > 0 && scale > 0 ? interval({ precision, weighted }, (row.limit - row.tolerated) * scale, alpha) : null;
  return found === null ? { low: null, high: null } : { low: found.low / scale, high: found.high / scale };
}

function proofOf({ logEAdvance, isSafe }: Assessment, attempt: Attempt): number {
  if (isSafe) return 1;
  return Math.min(1, Math.max(0, logEAdvance / threshold(alphaAdvanceOf(attempt))));
}

function alarmOf({ logEFreeze, weight, sliceShare, alphaSpent }: SignalEvidence, alpha: number): number {
  if (weight * sliceShare === 0 || alphaSpent >= 1) return alphaSpent >= 1 ? 1 : 0;
  return Math.min(1, Math.max(0, logEFreeze / NANO / ln(1 / (alpha * weight * sliceShare))));
}

/** Minutes that the plan gives each signal of this step, of a candidate without harm at the present volume. */
function plannedMinutes(state: RouteState, attempt: Attempt): ReadonlyMap<string, number | null> {
  const perMinute = callsPerMinute(state, attempt.plan.paneMs);
  if (perMinute === null || !(perMinute > 0)) return new Map();
  const traffic = { callsPerMinute: perMinute };
  const step = stepsOf(attempt.plan, traffic).find((found) => found.step === attempt.step);
  if (step === undefined) return new Map();
  return new Map(forecastStep(attempt.plan, traffic, step).signals.map(({ signal, advance }) => [signal, advance.noHarm]));
}

/** Growth counts from so many panes on: one lucky pane is no rate. */
const RATE_PANES = 3;

/** The rest of the log evidence at the rate of this step so far; by the plan while there is no such rate. */
function expectProof(
  { logEAdvance, planned: { group } }: Assessment,
  attempt: Attempt,
  about: { readonly proof: number; readonly planned: number | null; readonly atMs: number },
): Expected {
  const heardMs = (attempt.newestPane[group] ?? -1) + attempt.plan.paneMs - attempt.stepSinceMs;
  const left = threshold(alphaAdvanceOf(attempt)) - logEAdvance;
  if (logEAdvance > 0 && heardMs >= RATE_PANES * attempt.plan.paneMs) return { inMs: Math.round((left / logEAdvance) * heardMs), basis: "present_rate" };
  // Evidence against it is no rate towards it.
  if (heardMs >= 10 * RATE_PANES * attempt.plan.paneMs && logEAdvance < 0) return { inMs: null, basis: "present_rate" };
  return { inMs: about.planned === null ? null : Math.round(about.planned * (1 - about.proof) * MINUTE_MS), basis: "plan" };
}

function nextOf(attempt: Attempt, signals: readonly SignalPicture[], now: Resolution, atMs: number): Explanation["next"] {
  const { plan, phase, step } = attempt;
  const rung = plan.ladder[step + 1];
  const isLast = step + 1 >= plan.ladder.length - 1;
  const to = phase === "observing" ? { phase: "done", sharePct: null } : { phase: isLast ? "observing" : "canary", sharePct: rung?.percent ?? 100 };
  const waitsFor = phase === "observing" ? observes(attempt) : [...dwells(attempt, atMs), ...requests(attempt, atMs), ...proofs(signals)];
  const isStuck = attempt.frozen !== null || attempt.isPaused || attempt.evaluationError !== null || now.reasons.includes("awaiting_approval");
  const others = isStuck || (waitsFor.length === 0 && now.kind === "hold") ? [{ what: now.reasons.join(", "), detail: now.message, expected: null }] : [];
  const all = [...waitsFor, ...others];
  return { ...to, waitsFor: all, expected: all.length === 0 ? null : latest(all, others.length > 0) };
}

function latest(all: readonly WaitsFor[], isStuck: boolean): Expected | null {
  if (isStuck || all.some(({ expected }) => expected === null || expected.inMs === null)) return null;
  return all.reduce<Expected | null>((last, { expected }) => ((expected?.inMs ?? 0) >= (last?.inMs ?? -1) ? expected : last), null);
}

function dwells(attempt: Attempt, atMs: number): WaitsFor[] {
  const leftMs = dwellOf(attempt).minMs - (atMs - attempt.stepSinceMs);
  return leftMs <= 0 ? [] : [{ what: "dwell", detail: "stays at least so long", expected: { inMs: leftMs, basis: "clock" } }];
}

/** Requests of the candidate in this step. */
function requests(attempt: Attempt, atMs: number): WaitsFor[] {
  const least = isWithoutProof(attempt) ? WITHOUT_PROOF_REQUESTS : attempt.plan.minSamples;
  const { stepRequests } = attempt;
  if (stepRequests >= least) return [];
  const perMs = stepRequests / Math.max(1, atMs - attempt.stepSinceMs);
  const expected: Expected = { inMs: perMs > 0 ? Math.round((least - stepRequests) / perMs) : null, basis: "present_rate" };
  return [{ what: "requests", detail: `${stepRequests}/${least} requests of the candidate`, expected }];
}

function proofs(signals: readonly SignalPicture[]): WaitsFor[] {
  return signals
    .filter(({ expected }) => expected !== null)
    .map(({ signal, proof, candidateN, baselineN, expected }) => ({
      what: signal,
      detail: `${Math.floor(100 * (proof ?? 0))} % of the proof, ${candidateN}/${baselineN} samples`,
      expected,
    }));
}

function observes({ plan, observedMs }: Attempt): WaitsFor[] {
  const leftMs = plan.observationMs - observedMs;
  return leftMs <= 0 ? [] : [{ what: "observation", detail: "covered time still to observe", expected: { inMs: leftMs, basis: "clock" } }];
}
