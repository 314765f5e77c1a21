import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { fieldPlaces } from "./json-fields.ts";

/** An object as it came, and as it was read. */
export interface Original {
  readonly text: string;
  /** What `JSON.parse` made of `text`, or a part of it: fields that are left out are not taken from the text. */
  readonly fields: JsonObject;
}

/** The text of each field; of a repeated one the last, which is the one that was read. */
function textsOf(text: string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const { nameFrom, nameTo, valueFrom, valueTo } of fieldPlaces(text)) {
    const name = text.slice(nameFrom + 1, nameTo);
    const read = name.includes("\\") ? String(JSON.parse(text.slice(nameFrom, nameTo + 1))) : name;
    texts.set(read, text.slice(valueFrom, valueTo).trim());
  }
  return texts;
}

/** Whether a list is another with something put in front. */
function endsWith(list: readonly unknown[], end: readonly unknown[]): boolean {
  const added = list.length - end.length;
  return added >= 0 && end.every((each, i) => each === list[added + i]);
}

function withInFront(added: readonly unknown[], list: readonly unknown[], text: string): string {
  const texts = added.map((each) => JSON.stringify(each));
  return list.length === 0 ? `[${texts.join(",")}]` : `[${texts.map((each) => `${each},`).join("")}${text.slice(text.indexOf("[") + 1)}`;
}

function textOf(value: unknown, original: unknown, text: string): string {
  if (value === original) return text;
  if (isJsonObject(value) && isJsonObject(original)) return asWritten(value, { text, fields: original });
  if (!Array.isArray(value) || !Array.isArray(original) || !endsWith(value, original)) return JSON.stringify(value);
  return withInFront(value.slice(0, value.length - original.length), original, text);
}

/**
 * An object as JSON, in which everything that is still what it was in `original` stands as it was written there: numbers that a double does not hold
 * (`12345678901234567890`, `1e400`), spacing and escapes. Values count as the same where they are the same in memory; objects are looked into, and so are lists
 * that had something put in front. It reads the original once, and writes anew only what was changed.
 */
export function asWritten(changed: JsonObject, { text, fields }: Original): string {
  const texts = textsOf(text);
  const written = Object.keys(changed).map((name) => {
    const of = Object.hasOwn(fields, name) ? texts.get(name) : undefined;
    return `${JSON.stringify(name)}:${of === undefined ? JSON.stringify(changed[name]) : textOf(changed[name], fields[name], of)}`;
  });
  return `{${written.join(",")}}`;
}
