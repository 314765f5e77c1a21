import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";

/**
 * A number that a double may not hold: 16 digits or more, or an exponent of three. What stands before a number in JSON belongs to the pattern, so that ids and
 * base64 within texts are passed over.
 */
const unusual = /(?:[:,[\s]|^)-?(?:\d[\d.]{15}|[\d.]+[eE][-+]?\d{3})/;

/** ECMAScript 2026; TypeScript does not know it yet. */
const json = JSON as unknown as {
  parse(text: string, reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
};

/**
 * An object as it can be written anew without a change of its numbers: those that a double does not hold (`12345678901234567890`, `1e400`) stay as they were
 * written. Nearly every text has none; then this is a search.
 *
 * @param text JSON of `parsed`
 * @returns for `JSON.stringify` alone: its numbers may be no numbers
 */
export function withExactNumbers(text: string, parsed: JsonObject): JsonObject {
  if (!unusual.test(text)) return parsed;
  const exact = json.parse(text, (_, value, { source }) =>
    typeof value === "number" && source !== undefined && JSON.stringify(value) !== source ? json.rawJSON(source) : value,
  );
  return isJsonObject(exact) ? exact : parsed;
}
