import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";

const MOST_USAGE = 2_048;

/**
 * The object `usage` in a part of a JSON text, or null. For texts that hold nothing but numbers and base64 beside it: the name is looked for, not parsed for.
 */
export function tailUsage(part: string): JsonObject | null {
  const found = /"usage"\s*:\s*\{/.exec(part);
  if (found === null) return null;
  const from = found.index + found[0].length - 1;
  const most = Math.min(part.length, from + MOST_USAGE);
  for (let end = part.indexOf("}", from); end >= 0 && end < most; end = part.indexOf("}", end + 1)) {
    try {
      const value: unknown = JSON.parse(part.slice(from, end + 1));
      return isJsonObject(value) ? value : null;
    } catch {
      // An inner brace: the object ends further on.
    }
  }
  return null;
}
