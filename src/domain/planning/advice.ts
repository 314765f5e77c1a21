import { showDuration } from "../rollout/spec/duration.ts";
import { type PlannedSignal, type RolloutPlan, WITHOUT_PROOF_PERCENT } from "../rollout/spec/plan.ts";
import type { Problem } from "../rollout/spec/plan-problems.ts";
import { bucketsForPercent } from "../routing/buckets.ts";
import { bucketShift } from "../stats/log-bucket.ts";
import { forecastStep, planRollout, type StepForecast } from "./forecast.ts";
import { stepsOf, type TrafficAssumption } from "./traffic.ts";

const PERCENTS = [1, 2, 5, 10, 15, 20, 25, 50];
const WIDER = [1.25, 1.5, 2, 3, 5];
const HOUR = 60;
const MINUTE_MS = 60_000;

/** One change after which a step decides within its longest dwell. */
export interface Advice {
  /** Field of the spec. */
  readonly path: string;
  /** What to write there. */
  readonly value: string;
  /** The same as a clause for people. */
  readonly text: string;
}

/** Changes that would let a step decide within its longest dwell, the mildest first; each by itself. None for a step that does. */
export function adviceFor(plan: RolloutPlan, traffic: TrafficAssumption, step: StepForecast): Advice[] {
  if (step.decides) return [];
  const decides = (other: RolloutPlan) => {
    const planned = stepsOf(other, traffic).find((one) => one.step === step.step);
    return planned !== undefined && forecastStep(other, traffic, planned).decides;
  };
  return [
    ...largerStep(plan, step, decides),
    ...withoutProof(plan, step, decides),
    ...judgeBudget(plan, step, decides),
    ...widerMargin(plan, step, decides),
    ...longerDwell(step),
  ];
}

type Decides = (plan: RolloutPlan) => boolean;

function largerStep(plan: RolloutPlan, step: StepForecast, decides: Decides): Advice[] {
  if (step.phase === "shadow") {
    if (plan.shadow === null || plan.shadow.ppm === 1e6 || !decides({ ...plan, shadow: { ...plan.shadow, ppm: 1e6 } })) return [];
    return [{ path: "shadow.share", value: "100", text: "mirror all calls (shadow.share: 100)" }];
  }
  const larger = PERCENTS.filter((percent) => percent > step.percent && percent < 100 - plan.holdback.percent);
  const fits = larger.find((percent) => decides(withRung(plan, step.step, percent)));
  if (fits === undefined) return [];
  return [{ path: `ladder[${step.step}]`, value: String(fits), text: step.step === 0 ? `start at ${fits} %` : `take ${fits} % instead of ${step.percent} %` }];
}

function withRung(plan: RolloutPlan, step: number, percent: number): RolloutPlan {
  return { ...plan, ladder: plan.ladder.map((rung, i) => (i === step ? { percent, buckets: bucketsForPercent(percent) } : rung)) };
}

function withoutProof(plan: RolloutPlan, step: StepForecast, decides: Decides): Advice[] {
  if (step.phase !== "canary" || plan.advanceOn === "not_breached" || step.percent > WITHOUT_PROOF_PERCENT) return [];
  if (!decides({ ...plan, advanceOn: "not_breached" })) return [];
  return [{ path: "advanceOn", value: "not_breached", text: "leave small steps without proof (advanceOn: not_breached)" }];
}

function judgeBudget(plan: RolloutPlan, step: StepForecast, decides: Decides): Advice[] {
  const now = plan.judgePerMinute;
  const limiting = plan.signals.find(({ name }) => name === step.limiting);
  if (now === null || limiting?.group !== "judge" || !decides({ ...plan, judgePerMinute: null })) return [];
  const fits = [1.5, 2, 3, 5, 10, 20].map((by) => Math.ceil(now * by)).find((budget) => decides({ ...plan, judgePerMinute: budget }));
  const value = fits === undefined ? "none" : `${fits}/min`;
  return [{ path: "judge.budget", value, text: fits === undefined ? "judge without a budget" : `raise judge.budget to ${value}` }];
}

function widerMargin(plan: RolloutPlan, step: StepForecast, decides: Decides): Advice[] {
  const limiting = plan.signals.find(({ name }) => name === step.limiting);
  const test = step.signals.find(({ signal }) => signal === step.limiting)?.slowestTest;
  if (limiting === undefined) return [];
  if (test === "floor") {
    const t = 1 - (limiting.floor ?? 1);
    const floor = WIDER.map((by) => Number((1 - t * by).toPrecision(4))).find((value) => value > 0 && decides(withSignal(plan, { ...limiting, floor: value })));
    return floor === undefined
      ? []
      : [{ path: `signals.${limiting.name}.floor`, value: String(floor), text: `lower the floor of ${limiting.name} to ${floor}` }];
  }
  const limit = WIDER.map((by) => Number((limiting.margin.limit * by).toPrecision(2))).find((value) => decides(withSignal(plan, withLimit(limiting, value))));
  return limit === undefined
    ? []
    : [{ path: `signals.${limiting.name}.margin.limit`, value: String(limit), text: `widen the limit of ${limiting.name} to ${limit}` }];
}

const withSignal = (plan: RolloutPlan, signal: PlannedSignal): RolloutPlan => ({
  ...plan,
  signals: plan.signals.map((other) => (other.name === signal.name ? signal : other)),
});

function withLimit(signal: PlannedSignal, limit: number): PlannedSignal {
  const tolerated = (signal.margin.tolerated * limit) / signal.margin.limit;
  const shift = signal.shift === null ? null : { tolerated: bucketShift(1 + tolerated), limit: bucketShift(1 + limit) };
  return { ...signal, margin: { ...signal.margin, tolerated, limit }, shift };
}

function longerDwell(step: StepForecast): Advice[] {
  if (step.minutes === null) return [];
  const value = `${Math.ceil(step.minutes / HOUR)}h`;
  const path = step.phase === "shadow" ? "shadow.maxDwell" : "dwell.max";
  return [{ path, value, text: `raise ${path} to ${value}` }];
}

/** `1.8 requests/s` */
function showVolume(callsPerMinute: number): string {
  return `${Number((callsPerMinute / 60).toPrecision(3))} requests/s`;
}

/**
 * What lint says about a plan and a volume.
 *
 * @param traffic null: no volume is known, so that the ladder cannot be checked against one
 * @returns problems: steps that cannot decide within their longest dwell, each with what would; notices: what a rollout will not show
 */
export function plannerProblems(
  plan: RolloutPlan,
  traffic: TrafficAssumption | null,
): { readonly problems: readonly Problem[]; readonly notices: readonly string[] } {
  const notices = floorNotices(plan);
  if (traffic === null) {
    const unchecked = "no volume was given, so whether the ladder can decide was not checked; give --rps N or --from-topics";
    return { problems: [], notices: [...notices, unchecked] };
  }
  const { steps } = planRollout(plan, traffic);
  return { problems: steps.filter(({ decides }) => !decides).map((step) => stepProblem(plan, traffic, step)), notices };
}

function stepProblem(plan: RolloutPlan, traffic: TrafficAssumption, step: StepForecast): Problem {
  const path = step.phase === "shadow" ? "shadow" : `ladder[${step.step}]`;
  const limiting = step.signals.find(({ signal }) => signal === step.limiting);
  const why = limiting === undefined ? "" : ` (${limiting.slowestTest === "floor" ? `the floor of ${limiting.signal}` : limiting.signal})`;
  const longest = showDuration(step.dwell.maxMinutes * MINUTE_MS);
  const volume = showVolume(traffic.callsPerMinute);
  const advice = adviceFor(plan, traffic, step).map(({ text }) => text);
  const fix = advice.length === 0 ? "no single change helps: take a larger step and wider margins together" : advice.join(", or ");
  const name = step.phase === "shadow" ? "shadow" : `${step.percent} %`;
  const message =
    step.minutes === null
      ? `is ${name}, which can never be left at ${volume}${why}${limiting?.never ? `: ${limiting.never}` : ""}; ${fix}`
      : `is ${name}, which needs ${showDuration(step.minutes * MINUTE_MS)} at ${volume}${why}, longer than its longest dwell of ${longest}; ${fix}`;
  return { path, message };
}

function floorNotices({ signals }: RolloutPlan): string[] {
  const without = signals.filter(
    ({ tier, kind, floor, gate, source }) => tier === "guardrail" && gate === "confidence" && kind === "binary" && source !== "missing" && floor === null,
  );
  const scores = signals.filter(({ tier, kind, gate }) => tier === "guardrail" && gate === "confidence" && kind === "score");
  const names = [...without, ...scores].map(({ name }) => name);
  if (names.length === 0) return [];
  const [first] = without;
  const fix = first === undefined ? "" : `; give for example {name: ${first.name}, floor: 0.8}`;
  return [`${names.join(", ")}: without a floor only *not worse than the baseline* is shown, not *good enough*${fix}`];
}
