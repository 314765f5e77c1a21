import { createHash } from "node:crypto";
import type { CheckCompilers } from "../domain/checks/schema-check.ts";
import { compileJsonSchema } from "./json-schema.ts";
import { compilePattern } from "./pattern.ts";
import { TimeLimit } from "./time-limit.ts";

/** Names a form without telling what it says: schemas come from callers. */
export interface SlowForm {
  readonly form: "json_schema" | "pattern";
  readonly sha256: string;
  readonly chars: number;
}

/** Checks that ran out of time one after the other until their form is not tried any more. */
const TRIES = 5;

/** Gives up a check that always runs out of time, and tells of each such form once. */
function givenUp<T>(about: () => SlowForm, check: (of: T) => boolean | null, onSlow: (form: SlowForm) => void): (of: T) => boolean | null {
  let told = false;
  let failures = 0;
  return (of) => {
    if (failures >= TRIES) return null;
    const result = check(of);
    failures = result === null ? failures + 1 : 0;
    if (result === null && !told) {
      told = true;
      onSlow(about());
    }
    return result;
  };
}

/**
 * The compilers of JSON Schemas and patterns. What they make runs in bounded time, whatever the schema, the pattern and the answer.
 *
 * @param onSlow told once of each form whose check ran out of time
 */
export function checkCompilers(onSlow: (form: SlowForm) => void, limit: TimeLimit = new TimeLimit()): CheckCompilers {
  const about = (form: SlowForm["form"], text: string) => () => ({ form, sha256: createHash("sha256").update(text).digest("hex"), chars: text.length });
  return {
    jsonSchema: (text) => givenUp(about("json_schema", text), compileJsonSchema(text, limit), onSlow),
    pattern: (text) => givenUp(about("pattern", text), compilePattern(text, limit), onSlow),
  };
}
