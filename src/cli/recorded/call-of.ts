import type { RecordedCall } from "../../domain/backtest/recorded-call.ts";
import { presets } from "../../domain/rollout/spec/presets.ts";
import type { Field, FieldNames } from "./field-names.ts";
import { badLine, type Line, objectOf } from "./lines.ts";

/** Codes of a call that was given up because it took too long (HTTP 408, 504). */
const timeoutCodes: ReadonlySet<string> = new Set(["408", "504", "timeout"]);

const fixes = {
  boolean: "give true or false, or leave the field out",
  quantity: "give a number of at least 0, or leave the field out",
  score: "give true or false or a number of 0 to 1, or leave the field out",
  text: "give a text, or leave the field out",
  slices: "give a list of texts, or leave the field out",
} as const;

/** The first of the names under which a row has a value; null stands for none. */
function valueAt(row: Readonly<Record<string, unknown>>, names: readonly string[]): { readonly name: string; readonly value: unknown } | null {
  for (const name of names) if (Object.hasOwn(row, name) && row[name] !== null) return { name, value: row[name] };
  return null;
}

const shown = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 60);

class Row {
  readonly #line: Line;
  readonly #row: Readonly<Record<string, unknown>>;
  readonly #names: FieldNames;

  constructor(line: Line, names: FieldNames) {
    this.#line = line;
    this.#row = objectOf(line);
    this.#names = names;
  }

  #bad(field: string, value: unknown, wanted: string, fix: string): never {
    throw badLine(this.#line, field, `is ${shown(value)}, not ${wanted}`, fix);
  }

  boolean(field: Field): boolean | null {
    const found = valueAt(this.#row, this.#names.fields[field]);
    if (found === null) return null;
    const { name, value } = found;
    if (typeof value === "boolean") return value;
    return value === 0 || value === 1 ? value === 1 : this.#bad(name, value, "true or false", fixes.boolean);
  }

  quantity(field: Field): number | null {
    const found = valueAt(this.#row, this.#names.fields[field]);
    if (found === null) return null;
    const { name, value } = found;
    if (typeof value !== "number") return this.#bad(name, value, "a number", fixes.quantity);
    if (!Number.isFinite(value)) throw badLine(this.#line, name, "is not a finite number", fixes.quantity);
    return value >= 0 ? value : this.#bad(name, value, "at least 0", fixes.quantity);
  }

  text(field: Field): string | null {
    const found = valueAt(this.#row, this.#names.fields[field]);
    if (found === null) return null;
    const { name, value } = found;
    if (typeof value === "string" || (typeof value === "number" && Number.isFinite(value))) return String(value);
    return this.#bad(name, value, "a text", fixes.text);
  }

  required(field: Field): string {
    const value = this.text(field);
    if (value !== null && value !== "") return value;
    const [name = field] = this.#names.fields[field];
    throw badLine(this.#line, name, "is missing", `give it in every row, or say what the rows call it: --map THEIRS=${field}`);
  }

  slices(): readonly string[] {
    const found = valueAt(this.#row, this.#names.fields.slices);
    if (found === null) return [];
    const { name, value } = found;
    if (Array.isArray(value) && value.every((slice): slice is string => typeof slice === "string" && slice !== "")) return value;
    return this.#bad(name, value, "a list of texts", fixes.slices);
  }

  scores(): ReadonlyMap<string, number> {
    const scores = new Map<string, number>();
    for (const [signal, names] of this.#names.scores) {
      const found = valueAt(this.#row, names);
      if (found !== null) scores.set(signal, this.#quality(signal, found));
    }
    return scores;
  }

  /** Of a signal that counts something bad, such as refusals, `true` is the bad end. */
  #quality(signal: string, { name, value }: { readonly name: string; readonly value: unknown }): number {
    const isInverted = Object.hasOwn(presets, signal) && presets[signal]?.direction === "higher_is_worse";
    const score = typeof value === "boolean" ? Number(value) : value;
    if (typeof score !== "number" || !(score >= 0 && score <= 1)) return this.#bad(name, value, "true or false or a number of 0 to 1", fixes.score);
    return isInverted ? 1 - score : score;
  }
}

/**
 * The call of a line.
 *
 * @throws {KnownError} REQUEST_INVALID with file, line and field
 */
export function callOf(line: Line, names: FieldNames): RecordedCall {
  const row = new Row(line, names);
  const code = row.text("error_code");
  return {
    version: row.required("model_version"),
    promptId: row.text("prompt_id"),
    subject: row.text("subject"),
    traceId: row.text("trace_id"),
    slices: row.slices(),
    atMs: row.quantity("t_ms"),
    isError: row.boolean("error"),
    isTimeout: code !== null && timeoutCodes.has(code.toLowerCase()),
    isSchemaValid: row.boolean("schema_valid"),
    latencyMs: row.quantity("latency_ms"),
    ttftMs: row.quantity("ttft_ms"),
    costUsd: row.quantity("cost_usd"),
    inputTokens: row.quantity("input_tokens"),
    outputTokens: row.quantity("output_tokens"),
    scores: row.scores(),
  };
}
