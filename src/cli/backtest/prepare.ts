import { type RolloutSpec, rolloutSpec } from "../../../topics/rollout-spec.ts";
import { schemaProblems } from "../../config/schema-problems.ts";
import { armRows, pairedRows } from "../../domain/backtest/arm-rows.ts";
import type { RecordedCall } from "../../domain/backtest/recorded-call.ts";
import type { Backtest } from "../../domain/backtest/simulate.ts";
import { type namesOf, recordedRubric, sharedColumns, specOfCalls } from "../../domain/backtest/spec-of-calls.ts";
import { kindsOf } from "../../domain/backtest/values-of.ts";
import { normaliseSpec } from "../../domain/rollout/spec/normalise.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { Cli } from "../cli.ts";
import { type Problem, showProblems } from "../problems.ts";
import { callsOfVersion } from "../recorded/read-calls.ts";
import { readSpecFile } from "../rollout/spec-file.ts";
import { setPath } from "../set-path.ts";

export interface Prepared extends Pick<Backtest, "spec" | "rubrics" | "baseline" | "candidate"> {
  readonly notices: readonly string[];
}

/** Lays the calls out by version and makes the rollout that runs on them. @throws {KnownError} REQUEST_INVALID, SPEC_INVALID */
export async function prepare(
  cli: Cli,
  calls: readonly RecordedCall[],
  options: { readonly baseline: string; readonly candidate: string; readonly spec?: string; readonly set: readonly string[] },
): Promise<Prepared> {
  const [ofBaseline, ofCandidate] = [callsOfVersion(calls, options.baseline, "--baseline"), callsOfVersion(calls, options.candidate, "--candidate")];
  const kinds = kindsOf([...ofBaseline, ...ofCandidate]);
  const [baseline, candidate] = [armRows(options.baseline, ofBaseline, kinds), armRows(options.candidate, ofCandidate, kinds)];
  const columns = sharedColumns(baseline, candidate);
  if (columns.length === 0)
    throw new KnownError("REQUEST_INVALID", "the calls of both versions share no field that a signal is made of", {
      fix: "see docs/backtest.md for the fields, and rename yours with --map FIELD=NAME",
    });
  const notices: string[] = [];
  const hasPairs = pairedRows(baseline, candidate).length > 0;
  if (!hasPairs) notices.push("no prompt was answered by both versions (same prompt_id): the rollout starts without its shadow phase");
  const given = options.spec === undefined ? specOfCalls(baseline, candidate) : named(await readSpecFile(cli, options.spec, []), baseline, candidate);
  const document = options.set.reduce<unknown>(setPath, hasPairs ? given : withoutShadow(given));
  const spec = checked(document);
  const rubric = recordedRubric(columns);
  const rubrics = [spec.judge?.rubric ?? []].flat().map((name) => ({ ...rubric, name }));
  const normalised = normaliseSpec(spec, rubrics);
  if (normalised.kind === "refused") throw invalid(normalised.problems);
  notices.push(...normalised.notices);
  const missing = normalised.plan.signals.filter(({ name, source }) => source !== "missing" && !columns.some(({ signal }) => signal === name));
  if (missing.length > 0)
    throw invalid(
      missing.map(({ name }) => ({ path: "signals", message: `holds ${name}, which the calls of both versions do not carry; remove it, or --map its field` })),
    );
  return { spec, rubrics, baseline, candidate, notices };
}

/** A spec of a real rollout names its own versions; here the recorded ones take their place. */
function named(document: unknown, baseline: Parameters<typeof namesOf>[0], candidate: Parameters<typeof namesOf>[1]): unknown {
  if (typeof document !== "object" || document === null || Array.isArray(document)) return document;
  const { versions, ...own } = specOfCalls(baseline, candidate);
  return { ...document, route: (document as { route?: unknown }).route ?? own.route, baseline: own.baseline, candidate: own.candidate, versions };
}

function withoutShadow(document: unknown): unknown {
  return typeof document === "object" && document !== null && !Array.isArray(document) ? { ...document, shadow: { share: 0 } } : document;
}

function checked(document: unknown): RolloutSpec {
  const parsed = rolloutSpec.safeParse(document);
  if (parsed.success) return parsed.data;
  throw invalid(schemaProblems(rolloutSpec, parsed.error.issues));
}

function invalid(problems: readonly Problem[]): KnownError {
  return new KnownError("SPEC_INVALID", ["the rollout cannot be run on these calls", ...showProblems(problems)].join("\n  "), {
    fix: "correct the fields above, in the spec or with --set",
  });
}
