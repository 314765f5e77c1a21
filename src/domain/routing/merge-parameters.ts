/** A JSON object: a request as its caller sent it, or the parameters of a version. */
export type JsonObject = { readonly [key: string]: unknown };

/** What a version changes in a request. */
export interface VersionChanges {
  readonly model: string;
  readonly parameters: JsonObject;
  readonly systemTemplate: string | null;
}

/** How versions change requests of one endpoint of the API. */
export interface MergeRules {
  /** Fields of other endpoints that this one does not know, or that are its caller's: a version's parameters of these names are not sent here. */
  readonly foreign: ReadonlySet<string>;
  /** The fields that a system template changes in a request; null: a request of this endpoint has no place for one. */
  readonly withTemplate: ((request: JsonObject, template: string) => JsonObject) | null;
}

/** Fields that belong to the caller or to headgate, whatever the endpoint; a version's parameters may not set them. */
export const RESERVED_PARAMETERS: readonly string[] = [
  "model",
  "messages",
  "input",
  "instructions",
  "previous_response_id",
  "conversation",
  "background",
  "stream",
  "stream_options",
  "user",
  "safety_identifier",
  "metadata",
];

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

const isApplied = (name: string, rules: MergeRules): boolean => !RESERVED_PARAMETERS.includes(name) && !rules.foreign.has(name);

/**
 * The request that goes upstream: the caller's, with these changes and no others.
 *
 * 1. `model` becomes the version's model.
 * 2. Each parameter of the version replaces the caller's field of that name as a whole (no deep merge); a parameter that is `null`
 *    removes the field, for models that refuse it. Parameters that the endpoint does not know are left out.
 * 3. A system template is put where the endpoint has a place for it; what the caller wrote there stays behind it.
 *
 * Fields that nobody here knows pass through, in the caller's order. The argument is not changed.
 */
export function mergeParameters(request: JsonObject, version: VersionChanges, rules: MergeRules): JsonObject {
  const merged: Record<string, unknown> = { ...request, model: version.model };
  for (const [name, value] of Object.entries(version.parameters)) {
    if (!isApplied(name, rules)) continue;
    if (value === null) delete merged[name];
    else merged[name] = value;
  }
  if (version.systemTemplate !== null && rules.withTemplate !== null) Object.assign(merged, rules.withTemplate(request, version.systemTemplate));
  return merged;
}

/** The request without the fields that a version's parameters replace or remove: what is left comes from its caller. */
export function withoutReplaced(request: JsonObject, { parameters }: VersionChanges, rules: MergeRules): JsonObject {
  const left: Record<string, unknown> = { ...request };
  for (const name of Object.keys(parameters)) if (isApplied(name, rules)) delete left[name];
  return left;
}

/** Whether `mergeParameters` changes nothing but `model`: then the caller's bytes can be kept. */
export function changesOnlyModel(version: VersionChanges, rules: MergeRules): boolean {
  if (version.systemTemplate !== null && rules.withTemplate !== null) return false;
  for (const name of Object.keys(version.parameters)) if (isApplied(name, rules)) return false;
  return true;
}
