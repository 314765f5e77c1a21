import { endOfString } from "../http/json-depth.ts";
import { fieldPlaces } from "./json-fields.ts";

const NAME = '"model"';

/**
 * Replaces the value of the top-level field `model` and keeps every other character of a request as its caller wrote it: large numbers,
 * repeated fields and spacing survive, and nothing is serialised anew.
 *
 * @param json text that `JSON.parse` has accepted as an object whose `model` is a string
 * @returns null when the field is not written plainly exactly once (escaped name, repeated field): serialise the request instead
 */
export function spliceModel(json: string, model: string): string | null {
  const key = onlyPlainKey(json) ?? topLevelKey(json);
  if (key === null) return null;
  const from = json.indexOf('"', key + 1);
  const to = endOfString(json, from) + 1;
  return json.slice(0, from) + JSON.stringify(model) + json.slice(to);
}

/** Where the name of the field ends, when the text `"model"` stands in it once and no name can be written in another way: then it is that. Else null. */
function onlyPlainKey(json: string): number | null {
  const at = json.indexOf(NAME);
  return at < 0 || json.includes(NAME, at + NAME.length) || json.includes("\\u00") ? null : at + NAME.length - 1;
}

/** The same by looking at every name of the outermost object; null when the field is not written plainly exactly once. */
function topLevelKey(json: string): number | null {
  const places = fieldPlaces(json);
  const named = places.filter(({ nameFrom, nameTo }) => json.slice(nameFrom, nameTo + 1) === NAME);
  const only = named[0];
  const isEscaped = places.some(({ nameFrom, nameTo }) => json.slice(nameFrom, nameTo).includes("\\"));
  return only === undefined || named.length > 1 || isEscaped ? null : only.nameTo;
}

/** Puts a field in front of the others of an object that has some. @param json text that `JSON.parse` has accepted as an object with a field */
export function spliceFirst(json: string, field: string): string {
  const from = json.indexOf("{") + 1;
  return `${json.slice(0, from)}${field},${json.slice(from)}`;
}
