import type { SchemaCheck } from "../../../topics/index.ts";
import { payloadOf } from "./fence.ts";

/** Whether a parsed JSON value fits a schema. */
export type Validator = (value: unknown) => boolean;
/** Compiles a JSON Schema (as text); throws when it cannot be compiled. Given from outside: the domain has no compiler. */
export type CompileJsonSchema = (schema: string) => Validator;

/**
 * A form that answers are checked for. `none`: nothing was asked for. `broken`: something was, but it cannot be checked (not a
 * schema, not a pattern): such calls are not counted as valid or invalid, the caller counts them apart.
 */
export type Form = { readonly kind: "check"; readonly isValid: (text: string) => boolean } | { readonly kind: "none" } | { readonly kind: "broken" };

/**
 * Longest answer that a pattern is run on, in characters. A longer one is invalid: a pattern describes short answers, and the
 * time of a careless pattern grows with the length. This bounds polynomial patterns only; an exponential one, such as (a+)+$,
 * is dangerous at any length and must be refused where specs are accepted.
 */
export const PATTERN_INPUT_LIMIT = 65_536;

/** Longest JSON Schema that is compiled, in characters. */
const SCHEMA_LIMIT = 65_536;

/** Distinct compiled forms that are kept; the oldest is dropped. Callers may send a new schema with each call. */
const KEPT_FORMS = 500;

const none: Form = { kind: "none" };
const broken: Form = { kind: "broken" };
const isObject: Validator = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function jsonForm(fence: string, isValid: Validator): Form {
  return {
    kind: "check",
    isValid: (text) => {
      const payload = payloadOf(text, fence);
      if (payload === null) return false;
      try {
        return isValid(JSON.parse(payload));
      } catch {
        return false;
      }
    },
  };
}

function schemaForm(schema: string, fence: string, compile: CompileJsonSchema): Form {
  if (schema.length > SCHEMA_LIMIT) return broken;
  try {
    return jsonForm(fence, compile(schema));
  } catch {
    return broken;
  }
}

function patternForm(pattern: string, fence: string): Form {
  let compiled: RegExp;
  try {
    compiled = new RegExp(pattern);
  } catch {
    return broken;
  }
  const isValid = (text: string) => {
    // A pattern speaks about the answer as it is. Only a fence that was asked for is taken off.
    const payload = fence === "required" ? payloadOf(text, fence) : text;
    return payload !== null && payload.length <= PATTERN_INPUT_LIMIT && compiled.test(payload);
  };
  return { kind: "check", isValid };
}

function responseFormatForm(responseFormat: string | null, fence: string, compile: CompileJsonSchema): Form {
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

function formOf(check: SchemaCheck, responseFormat: string | null, compile: CompileJsonSchema): Form {
  switch (check.source) {
    case "off":
      return none;
    case "pattern":
      return check.pattern === null ? broken : patternForm(check.pattern, check.fence);
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
 * @param compile compiles JSON Schemas
 */
export function schemaForms(compile: CompileJsonSchema): (check: SchemaCheck, responseFormat: string | null) => Form {
  const kept = new Map<string, Form>();
  return (check, responseFormat) => {
    const asked = check.source === "response_format" ? responseFormat : null;
    const key = JSON.stringify([check.source, check.fence, check.pattern, check.jsonSchema, asked]);
    const known = kept.get(key);
    if (known !== undefined) return known;
    const form = formOf(check, asked, compile);
    kept.set(key, form);
    for (const oldest of kept.keys()) {
      if (kept.size <= KEPT_FORMS) break;
      kept.delete(oldest);
    }
    return form;
  };
}
