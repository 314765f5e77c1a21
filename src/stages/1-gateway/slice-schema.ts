import { z } from "zod";
import { patternSteps } from "../../domain/checks/pattern-steps.ts";
import { PATTERN_CHARS, parsePath, type SliceCondition, type SliceRule, type TextTest } from "../../domain/routing/slice-rules.ts";

/**
 * Bound on the steps of one pattern on the longest text it is shown: what grows with the text alone passes, what grows with its square does not. The
 * bound is far from tight; a pattern of words that passes takes microseconds.
 */
const MOST_STEPS = 4_000_000;

function patternProblem(pattern: string): string | null {
  try {
    new RegExp(pattern, "u");
  } catch {
    return "is no regular expression (JavaScript, flag u)";
  }
  if (patternSteps(pattern, true)(PATTERN_CHARS) <= MOST_STEPS) return null;
  return "could take very long on some texts: every call waits for it. Do without repetitions of what may repeat itself, and without .* and the like in the middle";
}

const condition = z
  .strictObject({
    inputTokens: z
      .strictObject({ from: z.int().min(0).optional(), below: z.int().min(1).optional() })
      .optional()
      .describe("estimated from the request: a quarter of the characters of the prompt"),
    header: z.string().min(1).optional().describe("request header"),
    metadata: z.string().min(1).optional().describe("entry of the request's metadata"),
    field: z.string().min(1).optional().describe("path in the request, for example messages[-1].content"),
    equals: z.string().optional(),
    matches: z.string().min(1).max(1_000).optional().describe(`regular expression, tried on the first ${PATTERN_CHARS} characters`),
    ignoreCase: z.boolean().default(false),
  })
  .superRefine((given, context) => {
    const issue = (message: string, ...path: string[]) => context.addIssue({ code: "custom", message, path });
    const { inputTokens, header, metadata, field, equals, matches } = given;
    if ([inputTokens, header, metadata, field].filter((each) => each !== undefined).length !== 1)
      issue("needs exactly one of inputTokens, header, metadata, field");
    if (equals !== undefined && matches !== undefined) issue("has equals and matches: give one");
    if (inputTokens !== undefined && (equals ?? matches) !== undefined) issue("inputTokens has from and below, not equals or matches");
    if (field !== undefined && parsePath(field) === null) issue("is no path such as metadata.domain or messages[-1].content", "field");
    const problem = matches === undefined ? null : patternProblem(matches);
    if (problem !== null) issue(problem, "matches");
  });

/** Slices by rules. */
export const sliceRules = z
  .array(
    z.strictObject({
      name: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9._=/-]{0,99}$/, "must start with a letter or digit and hold at most 100 letters, digits and . _ = / -")
        .refine((name) => name !== "all", "is the name of all calls"),
      routes: z.array(z.string().min(1)).optional().describe("routes that it holds for; absent: all"),
      when: z.array(condition).min(1).max(16).describe("all of these must be true"),
    }),
  )
  .max(16)
  .default([])
  .describe("named subsets of traffic, beside those that callers name in x-headgate-slices");

function testOf({ equals, matches, ignoreCase }: z.output<typeof condition>): TextTest {
  if (matches !== undefined) return { kind: "matches", pattern: new RegExp(matches, ignoreCase ? "iu" : "u") };
  return equals === undefined ? { kind: "present" } : { kind: "equals", text: equals };
}

function conditionOf(given: z.output<typeof condition>): SliceCondition {
  const { inputTokens, header, metadata, field } = given;
  if (inputTokens !== undefined) return { kind: "tokens", from: inputTokens.from ?? 0, below: inputTokens.below ?? Number.POSITIVE_INFINITY };
  const test = testOf(given);
  if (header !== undefined) return { kind: "header", name: header.toLowerCase(), test };
  if (metadata !== undefined) return { kind: "field", path: ["metadata", metadata], test };
  return { kind: "field", path: parsePath(field ?? "") ?? [], test };
}

/** The rules of the file, compiled once. */
export function compileSlices(given: z.output<typeof sliceRules>): readonly SliceRule[] {
  return given.map(({ name, routes, when }) => ({ name, routes: routes ?? null, when: when.map(conditionOf) }));
}
