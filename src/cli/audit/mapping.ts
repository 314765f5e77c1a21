import { KnownError } from "../../errors/known-error.ts";
import { FieldProblem, type FoundCall, first, flag, quantity, type Row } from "./formats/fields.ts";

/** Fills fields of a call from other columns of its row. */
export interface Mapping {
  fill(call: FoundCall, row: Row): FoundCall;
  /** The row without the fields that are filled: what stands in them is read by the mapping alone. */
  without(row: Row): Row;
}

type Fill = Mapping["fill"];

const flags = { error: "error", schema_valid: "schemaValid", task_pass: "taskPass", grounded: "grounded" } as const;
const quantities = { latency_ms: "latencyMs", ttft_ms: "ttftMs", cost_usd: "costUsd", output_tokens: "outputTokens" } as const;

/**
 * `task_pass=helpfulness>=0.7`: a field from a column (or a path), scores with the value from which on they pass.
 *
 * @throws {KnownError} REQUEST_INVALID
 */
export function parseMappings(texts: readonly string[]): Mapping {
  const mappings = texts.map(parseMapping);
  const filled = new Set(mappings.map(({ field }) => field));
  return {
    fill: (call, row) => mappings.reduce((done, { fill }) => fill(done, row), call),
    without: (row) => (filled.size === 0 ? row : Object.fromEntries(Object.entries(row).filter(([field]) => !filled.has(field)))),
  };
}

function parseMapping(text: string): { readonly field: string; readonly fill: Fill } {
  const [, field = "", column = "", least] = /^([a-z_]+)=([^=<>]+?)(?:>=(\d*\.?\d+))?$/.exec(text) ?? [];
  if (Object.hasOwn(flags, field)) {
    const key = flags[field as keyof typeof flags];
    return { field, fill: (call, row) => ({ ...call, [key]: least === undefined ? flag(row, [column]) : passes(row, column, Number(least)) }) };
  }
  if (Object.hasOwn(quantities, field) && least === undefined) {
    const key = quantities[field as keyof typeof quantities];
    return { field, fill: (call, row) => ({ ...call, [key]: quantity(row, [column]) }) };
  }
  throw new KnownError("REQUEST_INVALID", `--map ${text} is not understood`, {
    fix: `write FIELD=COLUMN, for example task_pass=scores.helpfulness>=0.7; fields are ${[...Object.keys(flags), ...Object.keys(quantities)].join(", ")}`,
  });
}

/** Several scores of one name are averaged, as Langfuse exports them. */
function passes(row: Row, column: string, least: number): boolean | null {
  const found = first(row, [column]);
  if (found === null) return null;
  const raw = typeof found.value === "string" && found.value.startsWith("[") ? listOf(found.value) : found.value;
  const scores = (Array.isArray(raw) ? raw : [raw]).map(Number);
  if (scores.length === 0) return null;
  if (scores.some((score) => !Number.isFinite(score))) throw new FieldProblem(column, found.value, "a score");
  return scores.reduce((sum, score) => sum + score, 0) / scores.length >= least;
}

function listOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not a list: the score itself is then refused.
    return text;
  }
}
