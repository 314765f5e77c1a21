import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";

/**
 * The error that an answer, or an event of a stream, tells whatever its status says; null when it tells none. Some servers write a text alone, with what kind
 * of error it is beside it: `{"error": "…", "error_type": "overloaded"}`.
 */
export function errorIn(told: JsonObject): JsonObject | null {
  const { error, code, error_type: type } = told;
  if (isJsonObject(error)) return error;
  return (Array.isArray(error) ? error.length > 0 : Boolean(error)) ? { code, type } : null;
}
