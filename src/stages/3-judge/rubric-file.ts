import { parse } from "yaml";
import { z } from "zod";
import { schemaProblems } from "../../config/schema-problems.ts";
import type { Rubric } from "../../domain/judging/rubric.ts";
import { KnownError } from "../../errors/known-error.ts";

/** Names become field names in the form that the judge fills in. */
const fieldName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, "must start with a letter and hold only letters, digits, _ and -, at most 64");

const criterion = z.strictObject({
  id: fieldName.describe("short name of the question, unique in its signal"),
  question: z.string().min(1).max(2_000).describe("a question that yes or no answers, where yes is good"),
});

const signal = z.strictObject({
  name: fieldName.describe("signal that the criteria score, for example task_completion"),
  form: z.enum(["binary", "score"]).describe("binary: pass when no criterion is answered no; score: share of criteria answered yes"),
  criteria: z.array(criterion).min(1).max(20),
});

/** The form of a rubric file, as people write it in YAML or JSON. */
export const rubricFile = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9._-]+$/, "must be name@version, for example task@1"),
  instructions: z.string().min(1).max(20_000).describe("what kind of work is judged, and how strictly"),
  context: z.enum(["none", "system", "conversation"]).default("none").describe("what the judge sees beside prompt and answer"),
  signals: z.array(signal).min(1).max(10),
});

/**
 * Reads a rubric's text.
 *
 * @throws {KnownError} RUBRIC_INVALID, with each problem and its place in `details.errors`
 */
export function parseRubric(text: string): Rubric {
  const result = rubricFile.safeParse(yamlOf(text));
  if (!result.success) throw invalid(schemaProblems(rubricFile, result.error.issues));
  const repeated = [
    ...repeats(
      "signals",
      result.data.signals.map(({ name }) => name),
    ),
  ].concat(
    result.data.signals.flatMap(({ criteria }, i) =>
      repeats(
        `signals[${i}].criteria`,
        criteria.map(({ id }) => id),
      ),
    ),
  );
  if (repeated.length > 0) throw invalid(repeated);
  return result.data;
}

function yamlOf(text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw invalid([{ path: "", message: `is not YAML: ${cause instanceof Error ? cause.message : String(cause)}` }], cause);
  }
}

interface Problem {
  readonly path: string;
  readonly message: string;
}

function repeats(path: string, names: readonly string[]): Problem[] {
  return names.flatMap((name, i) => (names.indexOf(name) === i ? [] : [{ path: `${path}[${i}]`, message: `repeats ${name}; names must differ` }]));
}

function invalid(errors: readonly Problem[], cause?: unknown): KnownError {
  const lines = errors.map(({ path, message }) => `${path === "" ? "the file" : path} ${message}`);
  return new KnownError("RUBRIC_INVALID", `the rubric is not valid:\n  ${lines.join("\n  ")}`, {
    fix: "correct the fields listed; docs/judge.md describes the form",
    details: { errors },
    cause,
  });
}
