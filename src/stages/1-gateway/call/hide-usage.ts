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

/**
 * An event of a stream as it would have come if nobody had asked for its usage: the chunk that holds nothing but usage is left out, and so is
 * the `"usage": null` that the others then carry. Whatever else an upstream says about usage stays: it says so unasked.
 *
 * @param text the event as it came, its blank line included
 * @param data its data, of which `chunk` was parsed
 */
export function withoutUsage(chunk: JsonObject, text: string, data: string): string {
  const { usage } = chunk;
  if (usage === undefined) return text;
  if (isJsonObject(usage)) return Array.isArray(chunk.choices) && chunk.choices.every(isBlank) ? "" : text;
  if (usage !== null) return text;
  const found = text.match(emptyUsage);
  // None on one line, or more than one: which of them is the chunk's own is not worth finding out. Other lines of the event stay.
  if (found?.length === 1) return text.replace(emptyUsage, "");
  const { usage: _, ...rest } = chunk;
  // On one line: within texts of JSON there are no ends of lines.
  return `data: ${asWritten(rest, { text: data, fields: chunk }).replace(/[\r\n]/g, " ")}\n${text.replace(dataLine, "")}`;
}
