import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { patternSteps } from "../domain/checks/pattern-steps.ts";
import type { Validator } from "../domain/checks/schema-check.ts";
import { FREE_STEPS } from "./pattern.ts";
import type { RunLimited } from "./time-limit.ts";

/** Stops a validation that is not provably short; it is then made again against the clock. */
class NotShort extends Error {}

/** Steps that the patterns of one validation may still take: all strings of an answer together, since a schema may meet thousands. */
class Steps {
  #left = Number.POSITIVE_INFINITY;

  /** ajv's `code.regExp`; it calls this when it compiles, never at run time. */
  readonly regExp = Object.assign(
    (pattern: string, flags: string) => {
      const compiled = new RegExp(pattern, flags);
      const steps = patternSteps(pattern, flags === "u");
      const test = (text: string) => {
        if (this.#left !== Number.POSITIVE_INFINITY) this.#left -= steps(text.length);
        if (this.#left < 0) throw new NotShort();
        return compiled.test(text);
      };
      // ajv tells patterns apart by this: without it a schema's second pattern would be its first.
      return { test, toString: () => String(compiled) };
    },
    { code: "new RegExp" },
  );

  within<T>(steps: number, work: () => T): T {
    this.#left = steps;
    return work();
  }
}

// Unknown keywords and formats are annotations, as JSON Schema says; a schema that is wrong does not compile and is then not checked.
const options = {
  strict: false,
  validateFormats: false,
  validateSchema: false,
  meta: false,
  addUsedSchema: false,
  logger: false,
} as const;
const growing = /"(?:\$ref|\$dynamicRef|\$recursiveRef|uniqueItems)"/;
const oldDrafts = /draft-0[467]\/schema/;

/**
 * Compiles a JSON Schema of draft 2020-12, or of drafts 6 and 7 when it says so. Each gets a compiler of its own: `$id`s of different callers do
 * not meet, and what is forgotten is freed. Validations whose patterns are provably short run as they are, all others against the clock.
 *
 * @throws {Error} when it is not a schema, or refers to one that it does not hold
 */
export function compileJsonSchema(text: string, runLimited: RunLimited): Validator {
  const schema: unknown = JSON.parse(text);
  if (typeof schema === "boolean") return () => schema;
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) throw new Error("not a JSON Schema");
  const { $schema, ...rest } = schema as Record<string, unknown>;
  const steps = new Steps();
  const withPatterns = { ...options, code: { regExp: steps.regExp } };
  const compiler = typeof $schema === "string" && oldDrafts.test($schema) ? new Ajv(withPatterns) : new Ajv2020(withPatterns);
  const validate = compiler.compile(rest);
  // References can multiply the work without any pattern (each schema names the next one twice), and uniqueItems is quadratic.
  const grows = growing.test(text);
  return (value) => {
    const isValid = () => validate(value) === true;
    if (!grows) {
      try {
        return steps.within(FREE_STEPS, isValid);
      } catch {
        // Not short, or V8 cannot run a pattern of it: the run below finds out which.
      }
    }
    return runLimited(() => steps.within(Number.POSITIVE_INFINITY, isValid));
  };
}
