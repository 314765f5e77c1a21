import { samplingRates } from "../rollout/sampling-rates.ts";
import { LATE_PERCENT, type RolloutPlan, WITHOUT_PROOF_PERCENT } from "../rollout/spec/plan.ts";
import { BUCKETS } from "../routing/buckets.ts";
import type { Histogram } from "../stats/histogram.ts";

/** What is known of a baseline's signal; what is left out is taken from the preset's reference. */
export interface BaselineShape {
  /** Mean loss in [0, 1]: of pass/fail signals the rate of failures, of scores 1 - score. */
  readonly loss?: number;
  /** Standard deviation of a score. */
  readonly sd?: number;
  /** Standard deviation of the logarithm of a quantity; of a percentile near that percentile. */
  readonly sigma?: number;
  /** Counts as blocks hold them: loss in hundredths for scores, log buckets for quantities and percentiles. Goes before the others. */
  readonly counts?: Histogram;
  /** Share of judged records that come back without a score. */
  readonly unscored?: number;
}

/** What a plan is made for. */
export interface TrafficAssumption {
  /** Served calls of the route per minute, all arms together. */
  readonly callsPerMinute: number;
  readonly baseline?: Readonly<Record<string, BaselineShape>>;
  /** Design effect per signal, at least 1; default 1: subjects are independent. */
  readonly deff?: Readonly<Record<string, number>>;
}

/** One step of a rollout, with the records that each arm has per minute. */
export interface PlannedTraffic {
  /** Rung of the ladder, from 0; -1 in shadow. */
  readonly step: number;
  readonly phase: "shadow" | "canary" | "observing";
  /** Candidate's share of subjects; in shadow of mirrored calls. */
  readonly percent: number;
  /** Calls per minute. In shadow the candidate's are mirrored: nobody sees them. While observing the baseline's are the holdback's. */
  readonly calls: { readonly candidate: number; readonly baseline: number };
  /** Judged records per minute; in shadow pairs, with both sides. */
  readonly judged: { readonly candidate: number; readonly baseline: number };
  readonly dwell: { readonly minMinutes: number; readonly maxMinutes: number };
  /** May be left without proof of safety. */
  readonly isWithoutProof: boolean;
  /** Share of the weight that the freeze processes have which have begun by this step: one begins with each step. */
  readonly restartShare: number;
}

const MINUTE_MS = 60_000;

/** The steps of a plan in the order that a rollout takes them. */
export function stepsOf(plan: RolloutPlan, { callsPerMinute }: Pick<TrafficAssumption, "callsPerMinute">): PlannedTraffic[] {
  const restarts = plan.ladder.length + (plan.shadow === null ? 0 : 1);
  const shadow = plan.shadow === null ? [] : [shadowOf(plan, plan.shadow, { callsPerMinute, restarts })];
  return [...shadow, ...plan.ladder.map((_, step) => servedStep(plan, step, { callsPerMinute, restarts }))];
}

function shadowOf(
  plan: RolloutPlan,
  shadow: NonNullable<RolloutPlan["shadow"]>,
  { callsPerMinute, restarts }: { readonly callsPerMinute: number; readonly restarts: number },
): PlannedTraffic {
  const mirrored = (callsPerMinute * shadow.ppm) / 1e6;
  const rates = samplingRates(plan.judgePerMinute, { candidate: 0, baseline: callsPerMinute, mirrored }, "shadow");
  const pairs = (mirrored * rates.shadow) / 1e6;
  return {
    step: -1,
    phase: "shadow",
    percent: shadow.ppm / 10_000,
    calls: { candidate: mirrored, baseline: callsPerMinute },
    judged: { candidate: pairs, baseline: pairs },
    dwell: { minMinutes: shadow.minDwellMs / MINUTE_MS, maxMinutes: shadow.maxDwellMs / MINUTE_MS },
    isWithoutProof: false,
    restartShare: 1 / restarts,
  };
}

function servedStep(
  plan: RolloutPlan,
  step: number,
  { callsPerMinute, restarts }: { readonly callsPerMinute: number; readonly restarts: number },
): PlannedTraffic {
  const isLast = step === plan.ladder.length - 1;
  const full = BUCKETS - plan.holdback.buckets;
  const share = (isLast ? full : Math.min(plan.ladder[step]?.buckets ?? 0, full)) / BUCKETS;
  const percent = plan.ladder[step]?.percent ?? 100;
  const calls = { candidate: callsPerMinute * share, baseline: callsPerMinute * (1 - share) };
  const rates = samplingRates(plan.judgePerMinute, { ...calls, mirrored: 0 }, "served");
  const { minMs, minLateMs, maxMs } = plan.dwell;
  return {
    step,
    phase: isLast ? "observing" : "canary",
    percent: isLast ? 100 * share : percent,
    calls,
    judged: { candidate: (calls.candidate * rates.candidate) / 1e6, baseline: (calls.baseline * rates.baseline) / 1e6 },
    dwell: isLast
      ? { minMinutes: plan.observationMs / MINUTE_MS, maxMinutes: Number.POSITIVE_INFINITY }
      : { minMinutes: (percent >= LATE_PERCENT ? minLateMs : minMs) / MINUTE_MS, maxMinutes: maxMs / MINUTE_MS },
    isWithoutProof: plan.advanceOn === "not_breached" && !isLast && percent <= WITHOUT_PROOF_PERCENT,
    restartShare: (step + 1) / restarts,
  };
}
