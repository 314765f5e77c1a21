import { createHash } from "node:crypto";
import type { CheckCompilers } from "../domain/checks/schema-check.ts";
import { compileJsonSchema } from "./json-schema.ts";
import { compilePattern } from "./pattern.ts";
import { Budget, type RunLimited, TimeLimit } from "./time-limit.ts";

/** Names a form without telling what it says: schemas come from callers. */
export interface SlowForm {
  readonly form: "json_schema" | "pattern";
  readonly sha256: string;
  readonly chars: number;
}

/** Checks that ran out of time one after the other until their form is given up. */
const TRIES = 5;
/** After so long without a try a form that was given up is tried once more, and one that ran out of time is trusted like any other again; ms. */
const AGAIN_MS = 5 * 60_000;
/**
 * What the last check of a trusted form took at most, ms: with what the clock itself costs a sane one takes less than one, and a pause of the garbage
 * collector is not held against it. Whoever sends checks that are slow and end pays for them himself: two of 40 ms a second would use up what the trusted have.
 */
const SHORT_MS = 5;

/**
 * The compilers of JSON Schemas and patterns. What they make runs in bounded time, whatever the schema, the pattern and the answer.
 *
 * Forms whose checks are short have a budget of their own, so that somebody who sends a slow one with each call uses up only that of new and slow
 * ones, out of which these are checked as far as it goes. Nothing is held against a form that was not run because its budget was used up.
 *
 * @param onSlow told once of each form whose check ran out of time
 * @param nowMs any clock that does not go back, ms
 */
export function checkCompilers(onSlow: (form: SlowForm) => void, nowMs: () => number = () => performance.now()): CheckCompilers {
  const limit = new TimeLimit();
  const [trusted, others] = [new Budget(nowMs), new Budget(nowMs)];

  const limited = (form: SlowForm["form"], text: string): RunLimited => {
    let failures = 0;
    let wasShort = false;
    let isTold = false;
    let overranAtMs = Number.NEGATIVE_INFINITY;
    const tell = () => {
      if (!isTold) onSlow({ form, sha256: createHash("sha256").update(text).digest("hex"), chars: text.length });
      isTold = true;
    };
    return (check) => {
      const isLongAgo = nowMs() - overranAtMs >= AGAIN_MS;
      if (failures >= TRIES && !isLongAgo) return null;
      const startMs = nowMs();
      const result = limit.run(check, wasShort && isLongAgo ? trusted : others);
      if (result === "unpaid") return null;
      if (result !== "overran") {
        wasShort = nowMs() - startMs <= SHORT_MS;
        failures = 0;
        return result;
      }
      wasShort = false;
      failures++;
      overranAtMs = nowMs();
      tell();
      return null;
    };
  };

  return {
    jsonSchema: (text) => compileJsonSchema(text, limited("json_schema", text)),
    pattern: (text) => compilePattern(text, limited("pattern", text)),
  };
}
