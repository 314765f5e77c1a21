import { Ajv2020 } from "ajv/dist/2020.js";
import type { RolloutSpec } from "../../../topics/rollout-spec.ts";

export type GoldenPrompt = NonNullable<RolloutSpec["golden"]>["prompts"][number];

/** Longest answer that a pattern is run on, in characters; golden answers are short. */
const LONGEST = 20_000;

/** Whether an answer is what a golden prompt expects: everything that it names must hold. What cannot be checked is not right. */
export function isRight(answer: string, { exact, contains, pattern, jsonSchema }: GoldenPrompt["expect"]): boolean {
  if (answer.length > LONGEST) return false;
  if (exact !== undefined && answer.trim() !== exact.trim()) return false;
  if (contains !== undefined && !answer.includes(contains)) return false;
  if (pattern !== undefined && !new RegExp(pattern).test(answer)) return false;
  return jsonSchema === undefined || fits(answer, jsonSchema);
}

function fits(answer: string, schema: object): boolean {
  try {
    return new Ajv2020({ strict: false, validateFormats: false, logger: false }).validate(schema, JSON.parse(answer));
  } catch {
    // Not JSON, or not a schema: in both cases the answer was not shown to be right.
    return false;
  }
}
