import type { RolloutSpec, RoutingTable } from "../../../topics/index.ts";
import { presets } from "../rollout/spec/presets.ts";
import type { ArmRows, Column } from "./arm-rows.ts";

/** Name of the rubric that recorded labels are taken to come from. */
export const RECORDED_RUBRIC = "recorded@1";

const known = ({ columns }: ArmRows) => new Map(columns.map((column) => [column.signal, column]));

/** Signals that both versions' rows carry: what only one arm has cannot be compared. */
export function sharedColumns(baseline: ArmRows, candidate: ArmRows): readonly Column[] {
  const theirs = known(candidate);
  return baseline.columns.filter(({ signal }) => theirs.has(signal));
}

const isMeasured = (signal: string) => presets[signal]?.source === "call";

/** The rubric that scores what no call measures, as it is recorded. */
export function recordedRubric(columns: readonly Column[]): RoutingTable["rubrics"][number] {
  const signals = columns
    .filter(({ signal }) => !isMeasured(signal))
    .map(({ signal, kind }) => ({ name: signal, form: kind === "grid" ? ("grid" as const) : ("binary" as const) }));
  return { name: RECORDED_RUBRIC, digest: RECORDED_RUBRIC, signals };
}

/** A name as specs allow it, made of a version as its provider writes it. */
export function versionName(version: string): string {
  const name = version.replace(/[^A-Za-z0-9._@:/-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return (name === "" ? "version" : name).slice(0, 120);
}

/**
 * A rollout from the presets of the signals that the calls carry, with every default. Without a judged label nothing can be said of
 * quality, which the spec then says itself. A baseline and a candidate of the same name are told apart, so that a version can be compared with itself.
 */
export function specOfCalls(baseline: ArmRows, candidate: ArmRows): RolloutSpec {
  const columns = sharedColumns(baseline, candidate);
  const [from, to] = namesOf(baseline, candidate);
  const serve = (version: string) => ({ upstream: "recorded", model: version });
  const isJudged = columns.some(({ signal }) => !isMeasured(signal));
  return {
    route: "backtest",
    baseline: from,
    candidate: to,
    versions: { [from]: serve(baseline.version), [to]: serve(candidate.version) },
    signals: columns.map(({ signal }) => signal),
    ...(isJudged ? { judge: { rubric: RECORDED_RUBRIC } } : { confidence: "none" as const }),
  };
}

function namesOf(baseline: ArmRows, candidate: ArmRows): readonly [baseline: string, candidate: string] {
  const [from, to] = [versionName(baseline.version), versionName(candidate.version)];
  return from === to ? [from, `${to}:again`] : [from, to];
}
