import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { asWritten } from "./as-written.ts";

const emptyUsage = /,\s*"usage"\s*:\s*null(?=\s*[,}])|"usage"\s*:\s*null\s*,\s*/g;

const dataLine = /(?<=^|[\r\n])data(?::[^\r\n]*)?(?:\r\n|\n|\r)/g;

const isNothing = (value: unknown): boolean => value === undefined || value === null || value === "";

/** A choice that says nothing: LiteLLM puts one into the chunk that it sends the usage in. */
function isBlank(choice: unknown): boolean {
  if (!isJsonObject(choice)) return false;
  const { index: _, delta, ...rest } = choice;
  return Object.values(rest).every(isNothing) && (isNothing(delta) || (isJsonObject(delta) && Object.values(delta).every(isNothing)));
}

/** What a chunk says of itself and its call, beside its choices and its usage; at the end what OpenRouter, Groq and llama.cpp say of it. */
const formal = new Set(
  ["id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation", "choices", "usage"].concat("provider", "x_groq", "timings"),
);

/** Whether a chunk of usage tells something else too: an error, citations, or what else an upstream may invent. */
const saysMore = (chunk: JsonObject): boolean =>
  Object.entries(chunk).some(([name, value]) => !(formal.has(name) || isNothing(value) || (Array.isArray(value) && value.length === 0)));

/**
 * An event of a stream as it would have come if nobody had asked for its usage: the chunk that holds nothing but usage is left out, and so is
 * the `"usage": null` that the others then carry. Of a chunk without content that tells something else beside its usage only the usage is left out. Whatever
 * else an upstream says about usage stays: it says so unasked.
 *
 * @param text the event as it came, its blank line included
 * @param data its data, of which `chunk` was parsed
 */
export function withoutUsage(chunk: JsonObject, text: string, data: string): string {
  const { usage } = chunk;
  if (usage === undefined) return text;
  if (isJsonObject(usage)) {
    if (!(Array.isArray(chunk.choices) && chunk.choices.every(isBlank))) return text;
    return saysMore(chunk) ? writtenWithout(chunk, text, data) : "";
  }
  if (usage !== null) return text;
  const found = text.match(emptyUsage);
  // None on one line, or more than one: which of them is the chunk's own is not worth finding out.
  return found?.length === 1 ? text.replace(emptyUsage, "") : writtenWithout(chunk, text, data);
}

/** The event with its chunk written anew. Other lines of the event stay. */
function writtenWithout(chunk: JsonObject, text: string, data: string): string {
  const { usage: _, ...rest } = chunk;
  // On one line: within texts of JSON there are no ends of lines.
  return `data: ${asWritten(rest, { text: data, fields: chunk }).replace(/[\r\n]/g, " ")}\n${text.replace(dataLine, "")}`;
}
