import { type RolloutSpec, rolloutSpec } from "../../../topics/rollout-spec.ts";
import { schemaProblems } from "../../config/schema-problems.ts";
import { armRows, onlySignals, pairedRows } from "../../domain/backtest/arm-rows.ts";
import type { RecordedCall } from "../../domain/backtest/recorded-call.ts";
import type { Backtest } from "../../domain/backtest/simulate.ts";
import { recordedRubric, sharedColumns, specOfCalls } from "../../domain/backtest/spec-of-calls.ts";
import { kindsOf } from "../../domain/backtest/values-of.ts";
import { normaliseSpec } from "../../domain/rollout/spec/normalise.ts";
import { presets } from "../../domain/rollout/spec/presets.ts";
import { KnownError } from "../../errors/known-error.ts";
import { type Problem, showProblems } from "../problems.ts";
import { callsOfVersion } from "../recorded/read-calls.ts";
import { setPath } from "../set-path.ts";

export interface Prepared extends Pick<Backtest, "spec" | "rubrics" | "baseline" | "candidate"> {
  readonly notices: readonly string[];
}

interface Wanted {
  readonly baseline: string;
  readonly candidate: string;
  /** The spec as it was read; null: none was given. */
  readonly spec: unknown;
  readonly set: readonly string[];
}

/**
 * Lays the calls out by version and makes the rollout that runs on them.
 *
 * @throws {KnownError} REQUEST_INVALID, SPEC_INVALID
 */
export function prepare(calls: readonly RecordedCall[], wanted: Wanted): Prepared {
  const [ofBaseline, ofCandidate] = [callsOfVersion(calls, wanted.baseline, "--baseline"), callsOfVersion(calls, wanted.candidate, "--candidate")];
  const kinds = kindsOf([...ofBaseline, ...ofCandidate]);
  const [baseline, candidate] = [armRows(wanted.baseline, ofBaseline, kinds), armRows(wanted.candidate, ofCandidate, kinds)];
  const columns = sharedColumns(baseline, candidate);
  if (columns.length === 0)
    throw new KnownError("REQUEST_INVALID", "the calls of both versions share no field that a signal is made of", {
      fix: "see docs/backtest.md for the fields, and rename yours with --map FIELD=NAME",
    });
  const notices: string[] = [];
  const own = specOfCalls(baseline, candidate);
  let document: unknown = wanted.spec === null ? own : withDefaults(wanted.spec, own);
  if (pairedRows(baseline, candidate).length === 0) {
    notices.push("no prompt was answered by both versions (same prompt_id): the rollout starts without its shadow phase");
    document = withoutShadow(document);
  }
  const declared = checked(wanted.set.reduce<unknown>(setPath, document));
  const { spec, absent } = withoutAbsent(declared, new Set(columns.map(({ signal }) => signal)));
  if (absent.length > 0) notices.push(`signals that the calls of both versions do not carry are left out: ${absent.join(", ")}`);
  const rubric = recordedRubric(columns);
  const rubrics = [spec.judge?.rubric ?? []].flat().map((name) => ({ ...rubric, name }));
  const normalised = normaliseSpec(spec, rubrics);
  if (normalised.kind === "refused") throw invalid(normalised.problems, notices);
  const used = new Set(normalised.plan.signals.map(({ name }) => name));
  return {
    spec,
    rubrics: rubrics.map(({ signals, ...about }) => ({ ...about, signals: signals.filter(({ name }) => used.has(name)) })),
    baseline: onlySignals(baseline, used),
    candidate: onlySignals(candidate, used),
    notices: [...notices, ...normalised.notices],
  };
}

/** Signals of a spec, by name; of anything else none. */
export function signalsNamed(document: unknown): readonly string[] {
  const signals = typeof document === "object" && document !== null && "signals" in document ? document.signals : [];
  const nameOf = (entry: unknown) => (typeof entry === "object" && entry !== null && "name" in entry ? entry.name : entry);
  return Array.isArray(signals) ? signals.map(nameOf).filter((name) => typeof name === "string") : [];
}

/** What no row says is absent, not bad: the rollout is judged by the rest. */
function withoutAbsent(spec: RolloutSpec, present: ReadonlySet<string>): { readonly spec: RolloutSpec; readonly absent: readonly string[] } {
  const nameOf = (entry: RolloutSpec["signals"][number]) => (typeof entry === "string" ? entry : entry.name);
  const isPresent = (name: string) => present.has(name) || presets[name]?.source === "missing";
  const absent = spec.signals.map(nameOf).filter((name) => !isPresent(name));
  return { spec: { ...spec, signals: spec.signals.filter((entry) => isPresent(nameOf(entry))) }, absent };
}

/** A spec of a real rollout names its own versions; here the recorded ones take their place. What it leaves out is taken of the calls. */
function withDefaults(document: unknown, { versions, baseline, candidate, route, signals, judge, confidence }: RolloutSpec): unknown {
  if (typeof document !== "object" || document === null || Array.isArray(document)) return document;
  const quality = "signals" in document || judge !== undefined ? { judge } : { confidence };
  const defaults = Object.fromEntries(Object.entries({ route, signals, ...quality }).filter(([, value]) => value !== undefined));
  return { ...defaults, ...document, baseline, candidate, versions };
}

function withoutShadow(document: unknown): unknown {
  return typeof document === "object" && document !== null && !Array.isArray(document) ? { ...document, shadow: { share: 0 } } : document;
}

function checked(document: unknown): RolloutSpec {
  const parsed = rolloutSpec.safeParse(document);
  if (parsed.success) return parsed.data;
  throw invalid(schemaProblems(rolloutSpec, parsed.error.issues));
}

function invalid(problems: readonly Problem[], notices: readonly string[] = []): KnownError {
  return new KnownError("SPEC_INVALID", ["the rollout cannot be run on these calls", ...showProblems(problems), ...notices].join("\n  "), {
    fix: "correct the fields above, in the spec or with --set",
  });
}
