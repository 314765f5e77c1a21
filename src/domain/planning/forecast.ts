import { type PlannedSignal, type RolloutPlan, WITHOUT_PROOF_REQUESTS } from "../rollout/spec/plan.ts";
import { blockMinutes } from "./growth.ts";
import { isRequired, lagOf, limitToAdvance, ratesOf, testsOf } from "./signal-tests.ts";
import { type PlannedTraffic, stepsOf, type TrafficAssumption } from "./traffic.ts";

/**
 * What a rollout would take: per step and guardrail the time to stop a bad candidate and to pass a good one (statistics.md section 4).
 * Minutes are medians; nine of ten stay below twice as much. null is never.
 */
const P90 = 2;
/** A step waits for all of its signals: about 1.5 times its slowest. */
const WHOLE_STEP = 1.5;
/** A sustained breach takes 1.3 to 2 times as long as the first crossing. */
const ROLLBACK = { from: 1.3, to: 2 } as const;
/** Longest dwell that a plan proposes: three times what it expects. */
const MAX_DWELL = 3;

export interface PlanOptions {
  /** Harms that are asked about beside the limit and twice the limit, per signal; fractions. */
  readonly effects?: Readonly<Record<string, readonly number[]>>;
  /** Price of one judgement in USD. */
  readonly judgeCostUsd?: number;
}

/** How long a candidate that is worse by `effect` stays. */
export interface FreezeForecast {
  /** Harm as a fraction: 0.05 is 5 points, or +5 % of the baseline. */
  readonly effect: number;
  readonly minutes: number | null;
  readonly p90Minutes: number | null;
  readonly rollbackMinutes: { readonly from: number; readonly to: number } | null;
  /** Candidate's records of this signal until then. */
  readonly samples: number | null;
  /** Requests that the candidate served until then; 0 in shadow. */
  readonly exposedRequests: number | null;
}

export interface SignalForecast {
  readonly signal: string;
  readonly gate: PlannedSignal["gate"];
  readonly kind: PlannedSignal["kind"];
  readonly margin: PlannedSignal["margin"];
  /** The step cannot be left before it is proven safe. */
  readonly isRequired: boolean;
  /** Records per minute and arm; in shadow pairs. */
  readonly perMinute: { readonly candidate: number; readonly baseline: number };
  readonly blockMinutes: number | null;
  /** Minutes that its evidence comes after its calls: the maturity of an outcome, else 0. Part of all times. */
  readonly lagMinutes: number;
  readonly freeze: readonly FreezeForecast[];
  /** Until it is proven within the limit: of a candidate without harm, and of one at the tolerated boundary. */
  readonly advance: { readonly noHarm: number | null; readonly atTolerated: number | null };
  /** Candidate's records until then, without harm. */
  readonly advanceSamples: number | null;
  /** Which of its tests is the slowest to prove it: `floor`, `comparison`, `pairs` or `reverse`; null: none is asked for. */
  readonly slowestTest: string | null;
  /** Why it can never be proven safe; null: it can. */
  readonly never: string | null;
}

export interface StepForecast extends PlannedTraffic {
  readonly signals: readonly SignalForecast[];
  /** The signal that is proven last; null: none must be. */
  readonly limiting: string | null;
  /** Minutes until the slowest required signal is proven safe. */
  readonly proofMinutes: number | null;
  /** The whole step: the dwell, the samples, or 1.5 times the slowest signal. */
  readonly minutes: number | null;
  readonly p90Minutes: number | null;
  /** Within its longest dwell. */
  readonly decides: boolean;
  readonly judgeCalls: number | null;
  readonly judgeCostUsd: number | null;
  /** The slowest signal to notice harm at its limit, and how many requests the candidate has served by then. */
  readonly worst: { readonly signal: string; readonly minutes: number | null; readonly requests: number | null } | null;
}

export interface RolloutForecast {
  readonly route: string;
  readonly baseline: string;
  readonly candidate: string;
  readonly callsPerMinute: number;
  readonly steps: readonly StepForecast[];
  /** From the start to everybody (all but the holdback). */
  readonly climbMinutes: number | null;
  /** From the start to done. */
  readonly minutes: number | null;
  readonly judgeCalls: number | null;
  readonly judgeCostUsd: number | null;
}

/** The whole rollout of a candidate that does no harm, step by step. */
export function planRollout(plan: RolloutPlan, traffic: TrafficAssumption, options: PlanOptions = {}): RolloutForecast {
  const steps = stepsOf(plan, traffic).map((step) => forecastStep(plan, traffic, step, options));
  const climbing = steps.filter(({ phase }) => phase !== "observing");
  return {
    route: plan.route,
    baseline: plan.baseline,
    candidate: plan.candidate,
    callsPerMinute: traffic.callsPerMinute,
    steps,
    climbMinutes: sum(climbing.map(({ minutes }) => minutes)),
    minutes: sum(steps.map(({ minutes }) => minutes)),
    judgeCalls: sum(steps.map(({ judgeCalls }) => judgeCalls)),
    judgeCostUsd: options.judgeCostUsd === undefined ? null : sum(steps.map(({ judgeCostUsd }) => judgeCostUsd)),
  };
}

/** A time of which only what lies behind the lag varies: a maturity is waited for once, and takes as long as it takes. */
const stretched = (minutes: number | null, by: number, lag: number): number | null => (minutes === null ? null : lag + by * Math.max(0, minutes - lag));
const times = (minutes: number | null, by: number): number | null => (minutes === null ? null : minutes * by);
const sum = (all: readonly (number | null)[]): number | null =>
  all.reduce<number | null>((total, one) => (total === null || one === null ? null : total + one), 0);

/** One step of a plan. */
export function forecastStep(plan: RolloutPlan, traffic: TrafficAssumption, step: PlannedTraffic, options: PlanOptions = {}): StepForecast {
  const guardrails = plan.signals.filter(({ tier }) => tier === "guardrail");
  const signals = guardrails.map((signal) => forecastSignal(signal, { plan, traffic, step }, options.effects?.[signal.name] ?? []));
  const required = signals.filter((signal) => signal.isRequired);
  const stepOf = ({ advance, lagMinutes }: SignalForecast, by = WHOLE_STEP) => stretched(advance.noHarm, by, lagMinutes);
  const limiting = slowest(required, (signal) => stepOf(signal));
  const proofMinutes = limiting === null ? 0 : limiting.advance.noHarm;
  const minutes = wholeStep(plan, step, limiting === null ? 0 : stepOf(limiting));
  // A pair is judged on both sides.
  const judgedPerMinute = plan.rubrics.length === 0 ? 0 : (step.judged.candidate + step.judged.baseline) * plan.rubrics.length;
  const judgeCalls = times(minutes, judgedPerMinute);
  const worst = slowest(
    signals.filter(({ freeze }) => freeze.length > 0),
    ({ freeze }) => freeze[0]?.minutes ?? null,
  );
  const worstMinutes = worst?.freeze[0]?.minutes ?? null;
  return {
    ...step,
    signals,
    limiting: limiting?.signal ?? null,
    proofMinutes,
    minutes,
    p90Minutes: minutes === null ? null : Math.max(minutes, step.phase === "observing" || limiting === null ? 0 : (stepOf(limiting, P90 * WHOLE_STEP) ?? 0)),
    decides: minutes !== null && minutes <= step.dwell.maxMinutes,
    judgeCalls,
    judgeCostUsd: options.judgeCostUsd === undefined ? null : times(judgeCalls, options.judgeCostUsd),
    worst:
      worst === null
        ? null
        : { signal: worst.signal, minutes: worstMinutes, requests: step.phase === "shadow" ? 0 : times(worstMinutes, step.calls.candidate) },
  };
}

/** The entry with the largest time; never is the largest of all. */
function slowest<V>(all: readonly V[], minutesOf: (one: V) => number | null): V | null {
  const size = (one: V) => minutesOf(one) ?? Number.POSITIVE_INFINITY;
  return all.reduce<V | null>((found, one) => (found === null || size(one) > size(found) ? one : found), null);
}

function wholeStep(plan: RolloutPlan, step: PlannedTraffic, provenMinutes: number | null): number | null {
  if (step.phase === "observing") return step.dwell.minMinutes;
  const isUnproven = step.phase === "shadow" && !plan.signals.some((signal) => isRequired(signal, step));
  const needed = step.isWithoutProof || isUnproven ? WITHOUT_PROOF_REQUESTS : plan.minSamples;
  const judged = plan.signals.some((signal) => signal.group === "judge" && signal.gate === "confidence" && isRequired(signal, step));
  const rates = [step.calls.candidate, ...(judged && !step.isWithoutProof ? [step.judged.candidate, step.judged.baseline] : [])];
  const samples = needed / Math.min(...rates);
  if (provenMinutes === null || !Number.isFinite(samples)) return null;
  return Math.max(step.dwell.minMinutes, provenMinutes, samples);
}

interface About {
  readonly plan: RolloutPlan;
  readonly traffic: TrafficAssumption;
  readonly step: PlannedTraffic;
}

function forecastSignal(signal: PlannedSignal, about: About, effects: readonly number[]): SignalForecast {
  const { plan, step, traffic } = about;
  const rates = ratesOf(signal, step);
  const tests = testsOf(signal, about);
  const lag = lagOf(signal);
  const block = Math.min(rates.candidate, rates.baseline) > 0 ? blockMinutes(rates, plan.paneMs / 60_000) : null;
  const advanceOf = (harm: number) => tests.map((test) => ({ test: test.name, minutes: test.advance(harm) }));
  const noHarm = slowest(advanceOf(0), ({ minutes }) => minutes);
  const atTolerated = slowest(advanceOf(signal.margin.tolerated), ({ minutes }) => minutes);
  const asked = [signal.margin.limit, 2 * signal.margin.limit, ...effects];
  return {
    signal: signal.name,
    gate: signal.gate,
    kind: signal.kind,
    margin: signal.margin,
    isRequired: isRequired(signal, step),
    perMinute: rates,
    blockMinutes: block,
    lagMinutes: lag,
    freeze:
      tests.length === 0
        ? []
        : asked.map((effect) =>
            freezeForecast(
              effect,
              fastest(
                tests.map((test) => test.freeze(effect)),
                block,
              ),
              { step, perMinute: rates.candidate, lag },
            ),
          ),
    advance: { noHarm: noHarm?.minutes ?? null, atTolerated: atTolerated?.minutes ?? null },
    advanceSamples: recordsIn(noHarm?.minutes ?? null, rates.candidate, lag),
    slowestTest: noHarm?.test ?? null,
    never: noHarm?.minutes === null ? whyNever(signal, rates, traffic) : null,
  };
}

/** Records that have come by then. */
const recordsIn = (minutes: number | null, perMinute: number, lag: number): number | null => (minutes === null ? null : Math.max(0, minutes - lag) * perMinute);

/** Nothing is decided before the first block has closed. */
function fastest(all: readonly (number | null)[], block: number | null): number | null {
  const found = all.filter((minutes) => minutes !== null);
  return found.length === 0 ? null : Math.max(Math.min(...found), block ?? 0);
}

function freezeForecast(
  effect: number,
  minutes: number | null,
  about: { readonly step: PlannedTraffic; readonly perMinute: number; readonly lag: number },
): FreezeForecast {
  const { lag } = about;
  const [from, to] = [ROLLBACK.from, ROLLBACK.to].map((by) => stretched(minutes, by, lag)) as [number | null, number | null];
  return {
    effect,
    minutes,
    p90Minutes: stretched(minutes, P90, lag),
    rollbackMinutes: from === null || to === null ? null : { from, to },
    samples: recordsIn(minutes, about.perMinute, lag),
    exposedRequests: about.step.phase === "shadow" ? 0 : times(minutes, about.step.calls.candidate),
  };
}

function whyNever(signal: PlannedSignal, rates: { readonly candidate: number; readonly baseline: number }, traffic: TrafficAssumption): string {
  if (!(rates.candidate > 0 && rates.baseline > 0)) return "an arm has no records of it";
  if (limitToAdvance(signal, traffic.baseline?.[signal.name]?.unscored ?? 0) === null)
    return "its limit is too small: what may come back unscored (1 point) counts as failed, and that leaves less than half of it";
  return signal.floor === null ? "the baseline is too bad for its limit to be told apart" : "the baseline is too close to the floor to prove anything above it";
}

/** Longest dwell that fits a step: three times what is expected, minutes; null: it never decides. */
export function maxDwellOf({ minutes }: Pick<StepForecast, "minutes">): number | null {
  return times(minutes, MAX_DWELL);
}
