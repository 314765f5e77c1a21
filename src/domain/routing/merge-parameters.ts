/** A JSON object: a request as its caller sent it, or the parameters of a version. */
export type JsonObject = { readonly [key: string]: unknown };

/** What a version changes in a request. */
export interface VersionChanges {
  readonly model: string;
  readonly parameters: JsonObject;
  readonly systemTemplate: string | null;
}

/** Fields that belong to the caller or to headgate; a version's parameters may not set them. */
export const RESERVED_PARAMETERS: readonly string[] = ["model", "messages", "stream", "stream_options", "user", "safety_identifier", "metadata"];

/** Reads a version's `parameters`: null when it is not a JSON object. */
export function parseParameters(json: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(json);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The request that goes upstream: the caller's, with these changes and no others.
 *
 * 1. `model` becomes the version's model.
 * 2. Each parameter of the version replaces the caller's field of that name as a whole (no deep merge); a parameter that is `null`
 *    removes the field, for models that refuse it.
 * 3. A system template becomes a system message before the caller's messages; the caller's own stay as they are.
 *
 * Fields that nobody here knows pass through, in the caller's order. The argument is not changed.
 */
export function mergeParameters(request: JsonObject, version: VersionChanges): JsonObject {
  const merged: Record<string, unknown> = { ...request, model: version.model };
  for (const [name, value] of Object.entries(version.parameters)) {
    if (RESERVED_PARAMETERS.includes(name)) continue;
    if (value === null) delete merged[name];
    else merged[name] = value;
  }
  if (version.systemTemplate !== null && Array.isArray(request.messages)) {
    merged.messages = [{ role: "system", content: version.systemTemplate }, ...request.messages];
  }
  return merged;
}

/** Whether `mergeParameters` changes nothing but `model`: then the caller's bytes can be kept. */
export function changesOnlyModel(version: VersionChanges): boolean {
  return version.systemTemplate === null && Object.keys(version.parameters).length === 0;
}
