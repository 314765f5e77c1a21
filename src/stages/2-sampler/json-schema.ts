import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { CompileJsonSchema } from "../../domain/checks/schema-check.ts";

/** Longest string that a `pattern` of a schema is run on, characters: schemas come from callers, and a careless pattern must not stop the sampler. */
const PATTERN_INPUT_LIMIT = 10_000;

/** Patterns of schemas see at most the start of a string; ajv calls this at run time only (`code.regExp` with no standalone code). */
function boundedRegExp(pattern: string, flags: string) {
  const compiled = new RegExp(pattern, flags);
  return { test: (text: string) => compiled.test(text.length > PATTERN_INPUT_LIMIT ? text.slice(0, PATTERN_INPUT_LIMIT) : text) };
}
boundedRegExp.code = "new RegExp";

// Unknown keywords and formats are annotations, as JSON Schema says; a schema that is wrong does not compile and is then not checked.
const options = {
  strict: false,
  validateFormats: false,
  validateSchema: false,
  meta: false,
  addUsedSchema: false,
  logger: false,
  code: { regExp: boundedRegExp },
} as const;
const oldDrafts = /draft-0[467]\/schema/;

/**
 * Compiles a JSON Schema of draft 2020-12, or of drafts 6 and 7 when it says so. Each gets a compiler of its own: `$id`s of different callers do
 * not meet, and what is forgotten is freed.
 *
 * @throws {Error} when it is not a schema, or refers to one that it does not hold
 */
export const compileJsonSchema: CompileJsonSchema = (text) => {
  const schema: unknown = JSON.parse(text);
  if (typeof schema === "boolean") return () => schema;
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) throw new Error("not a JSON Schema");
  const { $schema, ...rest } = schema as Record<string, unknown>;
  const compiler = typeof $schema === "string" && oldDrafts.test($schema) ? new Ajv(options) : new Ajv2020(options);
  const validate = compiler.compile(rest);
  return (value) => validate(value) === true;
};
