import type { AuditCall } from "../../../domain/audit/signals.ts";

/** A row of an export, as parsed. */
export type Row = Readonly<Record<string, unknown>>;

/** A call with what audits choose by. */
export interface FoundCall extends AuditCall {
  /** Model or version as its source names it; empty when it does not. */
  readonly model: string;
}

/** One shape of recorded calls. */
export interface Format {
  /** For people: `LiteLLM spend logs`. */
  readonly name: string;
  /** Fields that it is known by, for the message when nothing fits. */
  readonly knownBy: string;
  /** Whether a row has this shape. */
  fits(row: Row): boolean;
  /**
   * @returns null for rows that are no calls (spans, events)
   * @throws {FieldProblem} when a field holds what it cannot hold
   */
  call(row: Row): FoundCall | null;
}

/** A field that cannot be read. The reader adds file and line. */
export class FieldProblem extends Error {
  readonly field: string;
  constructor(field: string, value: unknown, wanted: string) {
    super(`${field} is ${shorten(JSON.stringify(value) ?? "undefined")}, where ${wanted} is expected`);
    this.name = "FieldProblem";
    this.field = field;
  }
}

const shorten = (text: string) => (text.length > 60 ? `${text.slice(0, 57)}...` : text);

export const isObject = (value: unknown): value is Row => typeof value === "object" && value !== null && !Array.isArray(value);
const isNothing = (value: unknown) => value === undefined || value === null || value === "";

/** The first of some fields that is there; fields may be paths: `usage.completion_tokens`. */
export function first(row: Row, fields: readonly string[]): { readonly field: string; readonly value: unknown } | null {
  for (const field of fields) {
    const value = at(row, field);
    if (!isNothing(value)) return { field, value };
  }
  return null;
}

/** The value at a path of keys. A key that itself holds dots is found as well. Text that holds JSON is looked into. */
export function at(row: Row, path: string): unknown {
  if (Object.hasOwn(row, path)) return row[path];
  let value: unknown = row;
  for (const key of path.split(".")) {
    if (typeof value === "string" && value.startsWith("{")) value = parsed(value);
    if (!isObject(value)) return undefined;
    value = value[key];
  }
  return value;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Text that only looks like JSON has no fields.
    return undefined;
  }
}

/** An object, also where an export holds it as text. */
export function objectAt(row: Row, path: string): Row | null {
  const value = at(row, path);
  const found = typeof value === "string" ? parsed(value) : value;
  return isObject(found) ? found : null;
}

/** A quantity, at least 0; numbers may be text (CSV). */
export function quantity(row: Row, fields: readonly string[], factor = 1): number | null {
  const found = first(row, fields);
  if (found === null) return null;
  const amount = typeof found.value === "string" ? Number(found.value) : found.value;
  if (typeof amount !== "number" || !Number.isFinite(amount) || amount < 0) throw new FieldProblem(found.field, found.value, "a number of at least 0");
  return amount * factor;
}

/** Yes or no: true, false, 1, 0, also as text. */
export function flag(row: Row, fields: readonly string[]): boolean | null {
  const found = first(row, fields);
  if (found === null) return null;
  const { value } = found;
  if (value === true || value === 1 || value === "true" || value === "1" || value === "True") return true;
  if (value === false || value === 0 || value === "false" || value === "0" || value === "False") return false;
  throw new FieldProblem(found.field, value, "true, false, 1 or 0");
}

export function text(row: Row, fields: readonly string[]): string | null {
  const found = first(row, fields);
  return found === null ? null : String(found.value);
}

/**
 * A moment as epoch ms: ISO 8601, `2024-05-29 13:46:19.963000` (UTC, as databases export it), or an epoch number in
 * seconds or milliseconds (told apart by size: 1e11 seconds are the year 5138).
 */
export function moment(row: Row, fields: readonly string[]): number | null {
  const found = first(row, fields);
  if (found === null) return null;
  const { value } = found;
  const number = typeof value === "string" && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number) && number > 0) return number < 1e11 ? number * 1_000 : number;
  const ms = typeof value === "string" ? Date.parse(utc(value)) : Number.NaN;
  if (Number.isNaN(ms)) throw new FieldProblem(found.field, value, "a time (ISO 8601, or epoch seconds or milliseconds)");
  return ms;
}

/** A time without a zone is UTC, as the exports say. */
function utc(text: string): string {
  const iso = text.trim().replace(/^(\d{4}-\d{2}-\d{2}) (\d)/, "$1T$2");
  return /(?:Z|[+-]\d{2}:?\d{2})$/.test(iso) || !iso.includes("T") ? iso : `${iso}Z`;
}

/** Whether a reply that was asked for as JSON is JSON; null when it was not asked for, or is not there. */
export function jsonValidity(request: Row | null, reply: unknown): boolean | null {
  if (request === null) return null;
  const form = at(request, "response_format.type") ?? at(request, "text.format.type");
  if ((form !== "json_object" && form !== "json_schema") || typeof reply !== "string") return null;
  return parsed(reply) !== undefined;
}

/** Text of the first choice of a chat completion, or of a response. */
export function replyOf(completion: Row | null): unknown {
  if (completion === null) return undefined;
  const { choices, output } = completion;
  if (Array.isArray(choices) && isObject(choices[0])) return at(choices[0], "message.content");
  if (!Array.isArray(output)) return undefined;
  const message = output.find((item) => isObject(item) && item.type === "message");
  return isObject(message) && Array.isArray(message.content) && isObject(message.content[0]) ? message.content[0].text : undefined;
}
