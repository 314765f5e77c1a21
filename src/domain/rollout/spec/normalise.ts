import type { RolloutSpec, ServedVersion } from "../../../../topics/index.ts";
import type { DriftPlan } from "../../drift/watch-state.ts";
import { BUCKETS, bucketsForPercent } from "../../routing/buckets.ts";
import { RECORDS_OF_REFERENCE } from "../../stats/drift.ts";
import { durationMs } from "./duration.ts";
import type { PlannedSignal, PlannedStep, RolloutPlan, WantedRubrics } from "./plan.ts";
import { ladderProblems, type Problem, signalProblems, versionProblems } from "./plan-problems.ts";
import { planSignals } from "./signals.ts";

/** A spec as a complete plan, or everything that is wrong with it. */
export type Normalised =
  | { readonly kind: "plan"; readonly plan: RolloutPlan; readonly notices: readonly string[] }
  | { readonly kind: "refused"; readonly problems: readonly Problem[] };

export const DEFAULT_LADDER: readonly number[] = [1, 5, 10, 25, 50, 100];
/** Percent of subjects kept on the baseline at 100. Without a planner it is one fixed number. */
export const DEFAULT_HOLDBACK = 5;

const JUDGE_UNIT: Readonly<Record<string, number>> = { s: 60, min: 1, h: 1 / 60 };

/** Id of a rollout whose spec names none. */
export function rolloutIdOf(spec: Pick<RolloutSpec, "id" | "route" | "candidate">): string {
  return spec.id ?? `${spec.route}/${spec.candidate}`;
}

/**
 * Resolves a spec that fits its schema: every default of DESIGN.md sections 4 and 6 and of statistics.md section 6, and the
 * checks that a schema cannot make.
 *
 * @param rubrics that the spec names, resolved, with the signals that each scores
 * @returns a plan with notices (what was decided otherwise than written), or problems that name the field and the fix
 */
export function normaliseSpec(spec: RolloutSpec, rubrics: WantedRubrics): Normalised {
  const ladder = (spec.ladder ?? DEFAULT_LADDER).map(stepOf);
  const holdback = stepOf(spec.holdback ?? DEFAULT_HOLDBACK);
  const planned = planSignals(spec, rubrics);
  const timing = timingOf(spec);
  const problems = [
    ...versionProblems(spec),
    ...planned.problems,
    ...signalProblems(spec, planned.signals),
    ...ladderProblems(spec, { ladder, holdback }),
    ...timingProblems(timing),
    ...maturityProblems(spec, planned.signals, timing),
    ...schemaCheckProblems(spec),
    ...driftProblems(spec, timing.paneMs),
  ];
  const candidateVersion = versionOf(spec, spec.candidate);
  if (problems.length > 0 || candidateVersion === null) return { kind: "refused", problems };
  const plan: RolloutPlan = {
    route: spec.route,
    rollout: rolloutIdOf(spec),
    baseline: spec.baseline,
    candidate: spec.candidate,
    candidateVersion,
    baselineVersion: versionOf(spec, spec.baseline),
    signals: planned.signals,
    slices: (spec.slices ?? []).map((slice) => (typeof slice === "string" ? { name: slice, share: null } : { name: slice.name, share: slice.share ?? null })),
    rubrics,
    schemaCheck: schemaCheckOf(spec),
    judgePerMinute: judgePerMinute(spec.judge?.budget),
    ladder,
    holdback,
    alpha: spec.alpha ?? 0.05,
    alphaAdvance: 0.05,
    minSamples: spec.minSamples ?? 100,
    advanceOn: spec.advanceOn ?? "safe",
    approvals: [...new Set(spec.approvals ?? [])].sort((a, b) => a - b),
    freezeWindows: (spec.freezeWindows ?? []).map(({ from, to, reason }) => ({ fromMs: Date.parse(from), toMs: Date.parse(to), reason: reason ?? "" })),
    percentileMinRecords: spec.advanced?.percentileMinRecords ?? 1_000,
    drift: driftPlanOf(spec),
    ...timing,
  };
  return { kind: "plan", plan, notices: planned.notices };
}

/** Judgements per minute while no rollout runs, of a spec that limits neither them nor the judge. */
const DRIFT_PER_MINUTE = 60;

function driftPlanOf({ drift, golden, judge, advanced }: RolloutSpec): DriftPlan {
  const given = drift === "off" ? {} : (drift ?? {});
  return {
    isOn: drift !== "off",
    blockMs: durationMs(given.block ?? "10m"),
    referenceMs: durationMs(given.reference ?? "24h"),
    minRecords: advanced?.driftMinRecords ?? RECORDS_OF_REFERENCE,
    judgePerMinute: judgePerMinute(given.budget ?? judge?.budget) ?? DRIFT_PER_MINUTE,
    goldenEveryMs: golden === undefined ? null : durationMs(golden.every ?? "1h"),
  };
}

function stepOf(percent: number): PlannedStep {
  return { percent, buckets: bucketsForPercent(percent) };
}

type Timing = Pick<
  RolloutPlan,
  "shadow" | "dwell" | "observationMs" | "fallbackMs" | "sustain" | "paneMs" | "windowMs" | "callsGraceMs" | "judgeGraceMs" | "staleAfterMs"
>;

function timingOf(spec: RolloutSpec): Timing {
  const share = spec.shadow?.share ?? 100;
  return {
    shadow:
      share === 0
        ? null
        : {
            ppm: Math.max(1, Math.round(share * 10_000)),
            minDwellMs: durationMs(spec.shadow?.minDwell ?? "30m"),
            maxDwellMs: durationMs(spec.shadow?.maxDwell ?? spec.dwell?.max ?? "24h"),
          },
    dwell: {
      minMs: durationMs(spec.dwell?.min ?? "30m"),
      minLateMs: durationMs(spec.dwell?.minLate ?? "4h"),
      maxMs: durationMs(spec.dwell?.max ?? "24h"),
      undecidedMs: durationMs(spec.dwell?.undecided ?? "24h"),
    },
    observationMs: durationMs(spec.observation ?? "72h"),
    fallbackMs: durationMs(spec.fallback ?? "30d"),
    sustain: { panes: spec.sustain?.panes ?? 3, windowMs: durationMs(spec.sustain?.window ?? "15m") },
    paneMs: durationMs(spec.pane ?? "60s"),
    windowMs: durationMs(spec.window ?? "15m"),
    callsGraceMs: durationMs(spec.grace?.calls ?? "5s"),
    judgeGraceMs: durationMs(spec.grace?.judge ?? "2m"),
    staleAfterMs: durationMs(spec.staleAfter ?? "60s"),
  };
}

const HOUR_MS = 3_600_000;
/**
 * How long a route may keep panes open, ms. While a pane or a window is open its `partials` must still be in the log, and they
 * are kept for one day: the longest of these together leave half of it for an outage.
 */
const LONGEST = { windowMs: 6 * HOUR_MS, callsGraceMs: HOUR_MS, judgeGraceMs: 6 * HOUR_MS };

function openProblems(timing: Timing): Problem[] {
  const fields = [
    { path: "window", field: "windowMs", like: "15m" },
    { path: "grace.calls", field: "callsGraceMs", like: "5s" },
    { path: "grace.judge", field: "judgeGraceMs", like: "2m" },
  ] as const;
  return fields
    .filter(({ field }) => timing[field] > LONGEST[field])
    .map(({ path, field, like }) => ({ path, message: `is ${timing[field]} ms; give at most ${LONGEST[field] / HOUR_MS}h, for example ${like}` }));
}

function timingProblems(timing: Timing): Problem[] {
  const problems = openProblems(timing);
  if (timing.paneMs < 100 || timing.paneMs > 3_600_000) {
    problems.push({ path: "pane", message: `is ${timing.paneMs} ms; give 100ms to 1h, for example 60s` });
  }
  if (timing.dwell.minMs > timing.dwell.maxMs || timing.dwell.minLateMs > timing.dwell.maxMs) {
    problems.push({ path: "dwell.max", message: "is shorter than dwell.min or dwell.minLate, so that no step could be left in time; raise it" });
  }
  if (timing.shadow !== null && timing.shadow.minDwellMs > timing.shadow.maxDwellMs) {
    problems.push({ path: "shadow.maxDwell", message: "is shorter than shadow.minDwell; raise it" });
  }
  if (timing.sustain.windowMs < timing.sustain.panes * timing.paneMs) {
    problems.push({ path: "sustain.window", message: `must hold at least ${timing.sustain.panes} panes of ${timing.paneMs} ms; raise it, or shorten pane` });
  }
  return problems;
}

/** As long as a pane is open its `partials` must be kept, see `LONGEST`; and a step that ends before its outcomes are due could never be left. */
function maturityProblems(spec: RolloutSpec, signals: readonly PlannedSignal[], { paneMs, dwell }: Timing): Problem[] {
  const longestMs = Math.min(LONGEST.judgeGraceMs, dwell.maxMs);
  return signals.flatMap(({ name, maturityMs }) => {
    if (typeof maturityMs !== "number" || (maturityMs >= paneMs && maturityMs <= longestMs)) return [];
    const i = spec.signals.findIndex((entry) => typeof entry !== "string" && entry.name === name);
    const why = maturityMs < paneMs ? `shorter than a pane (${paneMs} ms)` : `longer than 6h or than dwell.max (${dwell.maxMs} ms)`;
    return [
      {
        path: `signals[${i}].maturity`,
        message: `of ${name} is ${maturityMs} ms, ${why}; give ${paneMs} to ${longestMs} ms, or leave it out if not every call has an outcome`,
      },
    ];
  });
}

function versionOf(spec: RolloutSpec, name: string): ServedVersion | null {
  const version = spec.versions[name];
  if (version === undefined) return null;
  return {
    name,
    upstream: version.upstream,
    model: version.model,
    parameters: JSON.stringify(version.parameters ?? {}),
    systemTemplate: version.systemTemplate ?? null,
  };
}

function judgePerMinute(budget: string | undefined): number | null {
  if (budget === undefined) return null;
  const [amount, unit] = budget.split("/");
  return Number(amount) * (JUDGE_UNIT[unit ?? ""] ?? Number.NaN);
}

function driftProblems({ drift, golden }: RolloutSpec, paneMs: number): Problem[] {
  const problems: Problem[] = [];
  const blockMs = durationMs(drift === undefined || drift === "off" ? "10m" : (drift.block ?? "10m"));
  if (drift !== undefined && drift !== "off" && blockMs < paneMs)
    problems.push({ path: "drift.block", message: `is shorter than a pane (${paneMs} ms); give at least as much, for example 10m` });
  golden?.prompts.forEach(({ expect }, i) => {
    if (Object.values(expect).every((one) => one === undefined))
      problems.push({ path: `golden.prompts[${i}].expect`, message: "is empty: say exact, contains, pattern or jsonSchema" });
    if (expect.pattern !== undefined && !isRegExp(expect.pattern))
      problems.push({ path: `golden.prompts[${i}].expect.pattern`, message: "is not a valid regular expression; correct it" });
  });
  return problems;
}

function isRegExp(pattern: string): boolean {
  try {
    new RegExp(pattern);
    return true;
  } catch {
    return false;
  }
}

function schemaCheckProblems({ schema }: RolloutSpec): Problem[] {
  if (schema?.source === "pattern" && schema.pattern === undefined) {
    return [{ path: "schema.pattern", message: "is missing; source `pattern` needs the regular expression that answers must match" }];
  }
  if (schema?.pattern === undefined) return [];
  try {
    new RegExp(schema.pattern);
    if (!isRepeatedRepetition(schema.pattern)) return [];
    return [{ path: "schema.pattern", message: "repeats a repetition, such as (a+)+, which can take forever to fail on an answer; write a+ instead" }];
  } catch {
    return [{ path: "schema.pattern", message: "is not a valid regular expression; correct it" }];
  }
}

/** A group that is one repeated character (or class) and is repeated itself: ambiguous at every character, so never needed. */
function isRepeatedRepetition(pattern: string): boolean {
  const plain = pattern.replace(/\\.|\[(?:\\.|[^\]\\])*\]/gs, "x");
  return /\((?:\?:|\?<[^>]*>)?[^()|?](?:[+*]|\{\d+,\})\??\)(?:[+*]|\{\d+,\})/.test(plain);
}

function schemaCheckOf({ schema }: RolloutSpec): RolloutPlan["schemaCheck"] {
  return {
    source: schema?.source ?? "response_format",
    pattern: schema?.pattern ?? null,
    jsonSchema: schema?.jsonSchema === undefined ? null : JSON.stringify(schema.jsonSchema),
    fence: schema?.fence ?? "forbidden",
  };
}

/** Buckets that the candidate serves at 100 %: all but the holdback. */
export function fullBuckets(plan: Pick<RolloutPlan, "holdback">): number {
  return BUCKETS - plan.holdback.buckets;
}
