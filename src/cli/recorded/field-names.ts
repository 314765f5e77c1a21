import { presets } from "../../domain/rollout/spec/presets.ts";
import { KnownError } from "../../errors/known-error.ts";

/** What a call measured by itself: the field of recorded calls, and the preset signal that may stand for it. */
const measured = {
  error: "error_rate",
  schema_valid: "schema_validity",
  latency_ms: "latency_p95",
  ttft_ms: "ttft_p95",
  cost_usd: "cost_per_request",
  output_tokens: "output_tokens",
} as const;

/** Fields that are scores, with the signal that they are the score of. */
const scored: Readonly<Record<string, string>> = { task_pass: "task_completion", grounded: "groundedness" };

const plain = ["model_version", "prompt_id", "subject", "trace_id", "slices", "t_ms", "input_tokens", "error_code"] as const;

/** The fields that are read of a row, beside scores. */
export type Field = (typeof plain)[number] | keyof typeof measured;

/** Presets that a row may carry by their own name: all that a person or a judge says of an answer. */
const scoreNames = Object.entries(presets)
  .filter(([, { source }]) => source === "judge" || source === "later")
  .filter(([, { kind }]) => kind === "binary")
  .map(([name]) => name);

/** Where in a row each field and score is looked for, in order of preference. */
export interface FieldNames {
  readonly fields: Readonly<Record<Field, readonly string[]>>;
  readonly scores: ReadonlyMap<string, readonly string[]>;
}

/**
 * The names of fields of a row, renamed as `--map FIELD=NAME` says: what the rows call FIELD is read as NAME. The other order is understood too, when
 * only FIELD is a name of ours: nobody should have to remember which side is which.
 *
 * @param maps assignments FIELD=NAME
 * @param signals judged signals beside the presets, as a spec names them
 * @throws {KnownError} REQUEST_INVALID
 */
export function fieldNames(maps: readonly string[] = [], signals: readonly string[] = []): FieldNames {
  const fields = new Map<string, readonly string[]>();
  for (const name of plain) fields.set(name, [name]);
  for (const [name, signal] of Object.entries(measured)) fields.set(name, name === signal ? [name] : [name, signal]);
  const scores = new Map<string, readonly string[]>();
  for (const name of [...scoreNames, ...signals.filter((signal) => !Object.hasOwn(presets, signal))]) scores.set(name, [name]);
  for (const [field, signal] of Object.entries(scored)) scores.set(signal, [field, signal]);
  for (const map of maps) rename(map, fields, scores);
  return { fields: Object.fromEntries(fields) as FieldNames["fields"], scores };
}

type Names = Map<string, readonly string[]>;

/** A field of ours by any of its names; undefined: none has that name. */
function ownName(name: string, fields: Names, scores: Names): { readonly names: Names; readonly key: string } | undefined {
  const alias = Object.entries({ ...measured, ...scored }).find((pair) => pair.includes(name)) ?? [name];
  for (const names of [fields, scores]) {
    const key = [name, ...alias].find((each) => names.has(each));
    if (key !== undefined) return { names, key };
  }
  return undefined;
}

function rename(map: string, fields: Names, scores: Names): void {
  const at = map.indexOf("=");
  const [left, right] = [map.slice(0, Math.max(at, 0)).trim(), map.slice(at + 1).trim()];
  if (at < 0 || left === "" || right === "") {
    throw new KnownError("REQUEST_INVALID", `--map ${map} is not FIELD=NAME`, { fix: "write for example --map model=model_version" });
  }
  const target = ownName(right, fields, scores);
  const reversed = target === undefined ? ownName(left, fields, scores) : undefined;
  const found = target ?? reversed;
  if (found === undefined) {
    throw new KnownError("REQUEST_INVALID", `--map ${map} names no field that is read`, {
      fix: `map to one of ${[...fields.keys(), ...Object.keys(scored), ...scores.keys()].join(", ")}`,
    });
  }
  // A renamed field is read under its new name alone.
  found.names.set(found.key, [target === undefined ? right : left]);
}
