import type { RolloutSpec, SignalSpec } from "../../../../topics/index.ts";
import { exp } from "../../stats/ln.ts";
import { bucketShift, GAMMA_LN } from "../../stats/log-bucket.ts";
import { durationMs } from "./duration.ts";
import type { PlannedSignal, WantedRubrics } from "./plan.ts";
import type { Problem } from "./plan-problems.ts";
import { judgedPreset, type Preset, presets } from "./presets.ts";

type Form = "binary" | "grid";

export interface PlannedSignals {
  readonly signals: readonly PlannedSignal[];
  readonly problems: readonly Problem[];
  readonly notices: readonly string[];
}

/** What a signal is before weights are dealt. */
type Unweighted = Omit<PlannedSignal, "weight">;

/** Resolves the signals of a spec from presets and rubrics, and deals the weights. */
export function planSignals(spec: RolloutSpec, rubrics: WantedRubrics): PlannedSignals {
  const problems: Problem[] = [];
  const notices: string[] = [];
  const found: Unweighted[] = [];
  const seen = new Set<string>();
  spec.signals.forEach((entry, i) => {
    const given: SignalSpec = typeof entry === "string" ? { name: entry } : entry;
    const path = `signals[${i}]`;
    if (seen.has(given.name)) problems.push({ path, message: `signal ${given.name} is named twice; keep one` });
    seen.add(given.name);
    const resolved = resolve(given, { path, form: formOf(given.name, rubrics), hasRubrics: rubrics.length > 0 });
    problems.push(...resolved.problems);
    notices.push(...resolved.notices);
    if (resolved.signal !== null) found.push(resolved.signal);
  });
  const missing = found.findIndex(({ source }) => source === "missing");
  if (missing >= 0 && !found.some(({ source, tier }) => source === "judge" && tier === "guardrail")) {
    problems.push({ path: "signals", message: "holds missing_scores, but no judged guardrail whose scores could be missing; add one, or remove it" });
  }
  return { signals: withWeights(found), problems, notices };
}

function formOf(signal: string, rubrics: WantedRubrics): Form | null {
  for (const { signals } of rubrics) for (const { name, form } of signals) if (name === signal) return form === "grid" ? "grid" : "binary";
  return null;
}

interface Resolved {
  readonly signal: Unweighted | null;
  readonly problems: readonly Problem[];
  readonly notices: readonly string[];
}

interface About {
  readonly path: string;
  /** The form in which a rubric scores the signal; null: no rubric does. */
  readonly form: Form | null;
  readonly hasRubrics: boolean;
}

function resolve(given: SignalSpec, asked: About): Resolved {
  // What a rubric says of the name is another measurement.
  const about = given.source === "outcome" ? { ...asked, form: null } : asked;
  const known = Object.hasOwn(presets, given.name) ? presets[given.name] : undefined;
  const preset = known ?? (about.form === null && given.source === undefined ? undefined : judgedPreset);
  const missing = given.source === "outcome" ? notAnOutcome(given.name, preset, about) : missingSource(given.name, preset, about);
  if (preset === undefined || missing !== null) return { signal: null, problems: missing === null ? [] : [missing], notices: [] };
  const isJudged = preset.source !== "call";
  const kind = kindOf(preset, given, about.form);
  const floor = floorOf(given, preset);
  const notices: string[] = [];
  const marginOf = percentileOrPlain(given, preset, kind);
  const problems = [...marginOf.problems, ...fieldProblems(given, { preset, form: about.form, isJudged, kind })].map(({ path, message }) => ({
    path: `${about.path}${path === "" ? "" : `.${path}`}`,
    message: `of ${given.name} ${message}`,
  }));
  const signal: Unweighted = {
    name: given.name,
    ...sourceOf(given, preset),
    kind,
    direction: preset.direction,
    gate: given.gate ?? preset.gate,
    tier: given.tier ?? "guardrail",
    margin: marginOf.margin,
    shift: marginOf.shift,
    judgeJ: given.judgeError === undefined ? 1 : given.judgeError.sensitivity + given.judgeError.specificity - 1,
    floor: kind === "binary" ? floor.min : null,
    isFloorStrict: floor.isStrict,
    onBreach: given.onBreach ?? preset.onBreach,
    hard: preset.hard,
    reference: preset.reference,
    referenceVariance: kind === "mean" ? MEAN_VARIANCE : SCORE_VARIANCE,
  };
  return { signal, problems, notices };
}

function sourceOf({ source, maturity }: SignalSpec, preset: Preset): Pick<PlannedSignal, "source" | "group" | "maturityMs"> {
  if (source === "outcome") return { source, group: "outcome", maturityMs: maturity === undefined ? null : durationMs(maturity) };
  if (preset.source === "call") return { source: "call", group: "calls" };
  return { source: preset.source === "missing" ? "missing" : "judge", group: "judge" };
}

/** Outcomes tell how good an answer was. What the gateway measures itself, and quantities, are not told by others. */
function notAnOutcome(name: string, preset: Preset | undefined, { path }: About): Problem | null {
  if (preset === undefined || (preset.kind === "binary" && preset.source !== "call" && preset.source !== "missing")) return null;
  const what =
    preset.source === "call" || preset.source === "missing" ? "is measured by headgate itself" : "is a quantity, and outcomes are pass/fail or a score of 0..1";
  return { path: `${path}.source`, message: `cannot be outcome: ${name} ${what}; give the outcome a name of its own` };
}

/** Variances that a loss is taken to have before one was seen: a judge's score with sd 0.16, and a heavy-tailed cost over its cap (statistics.md section 3). */
const SCORE_VARIANCE = 0.0256;
const MEAN_VARIANCE = 0.0043;

function floorOf({ floor }: SignalSpec, preset: Preset): { readonly min: number | null; readonly isStrict: boolean } {
  if (floor === undefined) return { min: preset.floor ?? null, isStrict: false };
  if (floor === "strict") return { min: preset.floor ?? null, isStrict: true };
  return typeof floor === "number" ? { min: floor, isStrict: false } : { min: floor.min, isStrict: floor.strict };
}

function missingSource(name: string, preset: Preset | undefined, about: About): Problem | null {
  if (preset?.source === "call" || preset?.source === "missing" || about.form !== null) return null;
  const path = about.path;
  if (preset === undefined) {
    return {
      path,
      message: `${name} is neither a preset (${Object.keys(presets).join(", ")}) nor scored by a rubric; correct the name, or name the rubric under judge.rubric`,
    };
  }
  if (preset.source === "later") {
    return { path, message: `${name} is measured by no check of this version; remove it, or name a rubric that scores it under judge.rubric` };
  }
  return {
    path: about.hasRubrics ? path : "judge.rubric",
    message: about.hasRubrics
      ? `no rubric under judge.rubric scores ${name}; add one that does, or remove the signal`
      : `is missing: ${name} is scored by a judge; name the rubric, for example judge: {rubric: task@1}`,
  };
}

function kindOf(preset: Preset, given: SignalSpec, form: Form | null): PlannedSignal["kind"] {
  if (preset.source === "call" || preset.source === "missing") return preset.kind;
  return given.form === "score" || (given.form === undefined && form === "grid") || (preset.kind === "mean" && form === "grid") ? "score" : "binary";
}

interface Margins {
  readonly margin: PlannedSignal["margin"];
  readonly shift: PlannedSignal["shift"];
  readonly problems: readonly Problem[];
}

function percentileOrPlain(given: SignalSpec, preset: Preset, kind: PlannedSignal["kind"]): Margins {
  const limit = given.margin?.limit ?? (kind === "score" ? (preset.scoreLimit ?? preset.limit) : preset.limit);
  const tolerated = given.margin?.tolerated ?? limit / 5;
  const problems: Problem[] = [];
  if (tolerated >= limit) problems.push({ path: "margin.tolerated", message: `is ${tolerated}, not below the limit ${limit}; lower it (default limit / 5)` });
  if (!preset.relative && limit >= 1)
    problems.push({ path: "margin.limit", message: `is ${limit}: a rate cannot get worse by 100 points; give a fraction such as 0.05` });
  if (kind !== "percentile") return { margin: { tolerated, limit, relative: preset.relative && kind === "mean" }, shift: null, problems };
  const shift = { tolerated: bucketShift(1 + tolerated), limit: bucketShift(1 + limit) };
  if (shift.limit <= shift.tolerated && problems.length === 0) {
    problems.push({ path: "margin", message: "is narrower than what latencies are counted in (steps of 1.9 %); raise the limit, or lower tolerated" });
  }
  const ratio = (buckets: number) => exp(buckets * GAMMA_LN) - 1;
  return { margin: { tolerated: ratio(shift.tolerated), limit: ratio(shift.limit), relative: true }, shift, problems };
}

function fieldProblems(
  given: SignalSpec,
  about: { readonly preset: Preset; readonly form: Form | null; readonly isJudged: boolean; readonly kind: PlannedSignal["kind"] },
): Problem[] {
  const problems: Problem[] = [];
  if (given.maturity !== undefined && given.source === undefined)
    problems.push({ path: "maturity", message: "has no meaning: only outcomes mature; add source: outcome, or remove it" });
  if (given.form !== undefined && !about.isJudged)
    problems.push({ path: "form", message: "has no meaning: only judged signals and outcomes have a form; remove it" });
  if (given.form !== undefined && about.form !== null && (given.form === "score") !== (about.form === "grid")) {
    problems.push({ path: "form", message: `is ${given.form}, but its rubric scores it as ${about.form === "grid" ? "score" : "binary"}; use the rubric's` });
  }
  if (given.floor !== undefined && about.kind !== "binary")
    problems.push({ path: "floor", message: "has no meaning: only pass/fail signals have a floor; remove it" });
  const { min } = floorOf(given, about.preset);
  if (given.floor !== undefined && min === null) problems.push({ path: "floor", message: "is strict, but there is no floor; give {min: 0.95, strict: true}" });
  if (min !== null && (min <= 0 || min >= 1)) problems.push({ path: "floor", message: `is ${min}; give a rate between 0 and 1, for example 0.995` });
  const { judgeError } = given;
  if (judgeError !== undefined && (!about.isJudged || given.source === "outcome"))
    problems.push({ path: "judgeError", message: "has no meaning: only judged signals have one; remove it" });
  if (judgeError !== undefined && judgeError.sensitivity + judgeError.specificity <= 1)
    problems.push({ path: "judgeError", message: "is that of a judge no better than chance: sensitivity + specificity must be above 1" });
  return problems;
}

/** statistics.md section 2: hard signals weigh 2, others 1, over all guardrails of the spec; `watch` has none. */
function withWeights(signals: readonly Unweighted[]): PlannedSignal[] {
  const weigh = (signal: Unweighted) => (signal.tier === "watch" ? 0 : signal.hard ? 2 : 1);
  const sum = signals.reduce((total, signal) => total + weigh(signal), 0);
  return signals.map((signal) => ({ ...signal, weight: sum === 0 ? 0 : weigh(signal) / sum }));
}
