import type { SchemaCheck } from "../../../topics/index.ts";
import { payloadOf } from "./fence.ts";

/** Whether a parsed JSON value fits a schema; null: it could not be found out within the time that a check may take. */
export type Validator = (value: unknown) => boolean | null;
/**
 * Makes the checks that are not the domain's own to run: schemas and patterns come from callers and specs, so whoever runs them
 * bounds their time. Each throws when its text cannot be compiled.
 */
export interface CheckCompilers {
  readonly jsonSchema: (schema: string) => Validator;
  readonly pattern: (pattern: string) => (text: string) => boolean | null;
}

/**
 * A form that answers are checked for. `none`: nothing was asked for. `broken`: something was, but it cannot be checked (not a
 * schema, not a pattern): such calls are not counted as valid or invalid, the caller counts them apart. `isValid` gives null when the check took too long: that
 * says nothing about the answer.
 */
export type Form = { readonly kind: "check"; readonly isValid: (text: string) => boolean | null } | { readonly kind: "none" } | { readonly kind: "broken" };

/** Longest answer that a pattern is run on, in characters. A longer one is invalid: a pattern describes short answers. */
export const PATTERN_INPUT_LIMIT = 65_536;

/** Longest JSON Schema that is compiled, in characters. */
const SCHEMA_LIMIT = 65_536;

/** Distinct compiled forms that are kept; the one that was not asked for the longest is dropped. Callers may send a new schema with each call. */
const KEPT_FORMS = 500;

const none: Form = { kind: "none" };
const broken: Form = { kind: "broken" };
const isObject = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

function jsonForm(fence: string, isValid: Validator): Form {
  return {
    kind: "check",
    isValid: (text) => {
      const payload = payloadOf(text, fence);
      if (payload === null) return false;
      let value: unknown;
      try {
        value = JSON.parse(payload);
      } catch {
        return false;
      }
      return isValid(value);
    },
  };
}

function schemaForm(schema: string, fence: string, compile: CheckCompilers): Form {
  if (schema.length > SCHEMA_LIMIT) return broken;
  try {
    return jsonForm(fence, compile.jsonSchema(schema));
  } catch {
    return broken;
  }
}

function patternForm(pattern: string, fence: string, compile: CheckCompilers): Form {
  let matches: (text: string) => boolean | null;
  try {
    matches = compile.pattern(pattern);
  } catch {
    return broken;
  }
  const isValid = (text: string) => {
    // A pattern speaks about the answer as it is. Only a fence that was asked for is taken off.
    const payload = fence === "required" ? payloadOf(text, fence) : text;
    return payload !== null && payload.length <= PATTERN_INPUT_LIMIT && matches(payload);
  };
  return { kind: "check", isValid };
}

function responseFormatForm(responseFormat: string | null, fence: string, compile: CheckCompilers): Form {
  if (responseFormat === null || responseFormat === "") return none;
  let format: unknown;
  try {
    format = JSON.parse(responseFormat);
  } catch {
    return broken;
  }
  const { type, json_schema: named, schema: bare } = format !== null && typeof format === "object" ? (format as Record<string, unknown>) : {};
  if (type === "json_object") return jsonForm(fence, isObject);
  if (type !== "json_schema") return none;
  // Chat completions nest the schema under `json_schema`; the Responses API gives it beside `type`.
  const schema = isObject(named) ? (named as Record<string, unknown>).schema : bare;
  return schema === undefined ? jsonForm(fence, isObject) : schemaForm(JSON.stringify(schema), fence, compile);
}

function formOf(check: SchemaCheck, responseFormat: string | null, compile: CheckCompilers): Form {
  switch (check.source) {
    case "off":
      return none;
    case "pattern":
      return check.pattern === null ? broken : patternForm(check.pattern, check.fence, compile);
    case "json":
      return check.jsonSchema === null ? jsonForm(check.fence, () => true) : schemaForm(check.jsonSchema, check.fence, compile);
    default:
      return responseFormatForm(responseFormat, check.fence, compile);
  }
}

/** What a route without a table is checked for: what its callers asked for, as they would parse it. */
export const defaultSchemaCheck: SchemaCheck = { source: "response_format", pattern: null, jsonSchema: null, fence: "forbidden" };

/**
 * Finds the form that a call's answer must have; schemas and patterns are compiled once and kept by their text.
 *
 * @param compile compiles JSON Schemas and patterns, and bounds the time that they run
 */
export function schemaForms(compile: CheckCompilers): (check: SchemaCheck, responseFormat: string | null) => Form {
  const kept = new Map<string, Form>();
  return (check, responseFormat) => {
    const asked = check.source === "response_format" ? responseFormat : null;
    const key = JSON.stringify([check.source, check.fence, check.pattern, check.jsonSchema, asked]);
    const known = kept.get(key);
    const form = known ?? formOf(check, asked, compile);
    // To the end, as the newest: or callers who send a new schema with each call would drop what all others use.
    if (known !== undefined) kept.delete(key);
    kept.set(key, form);
    for (const oldest of kept.keys()) {
      if (kept.size <= KEPT_FORMS) break;
      kept.delete(oldest);
    }
    return form;
  };
}
