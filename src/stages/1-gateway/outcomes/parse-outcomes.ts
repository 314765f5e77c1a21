import { z } from "zod";
import { schemaProblems } from "../../../config/schema-problems.ts";
import { isJsonObject } from "../../../domain/routing/merge-parameters.ts";
import { type ApiError, apiErrors } from "../http/api-error.ts";

/** Outcomes in one request at most. */
const MOST_OUTCOMES = 500;
const MOST_LETTERS = 128;

const outcome = z.strictObject({
  token: z.string().min(1).describe("x-headgate-outcome-token of the call"),
  signal: z.string().min(1).max(MOST_LETTERS).describe("name of the signal in the route's spec"),
  value: z
    .union([z.boolean(), z.number().min(0).max(1)])
    .describe("true (good) or false (bad), or a number from 0 (worst) to 1 (best); scale other numbers to it, 4 of 5 stars for example to 0.75"),
  id: z.string().max(MOST_LETTERS).default("").describe("your own id of the event"),
  source: z.string().max(MOST_LETTERS).default("api").describe("which system tells it"),
});
const batch = z.strictObject({ outcomes: z.array(outcome).min(1).max(MOST_OUTCOMES) });

export interface GivenOutcome {
  /** Where it stands in the body, for messages: empty or `outcomes[3].`. */
  readonly path: string;
  readonly token: string;
  readonly signal: string;
  /** 0 worst, 1 best. */
  readonly value: number;
  readonly id: string;
  readonly source: string;
}

export type ParsedOutcomes = { readonly kind: "parsed"; readonly outcomes: readonly GivenOutcome[] } | { readonly kind: "wrong"; readonly error: ApiError };

/** Problems told in one message at most. */
const MOST_PROBLEMS = 5;

/** An error that names every field that is wrong; `param` is the first one. */
export function wrongFields(problems: readonly { readonly path: string; readonly message: string }[]): ApiError {
  const told = problems.slice(0, MOST_PROBLEMS).map(({ path, message }) => (path === "" ? `the body ${message}` : `${path} ${message}`));
  const more = problems.length > told.length ? `; and ${problems.length - told.length} more` : "";
  return apiErrors.badBody(problems[0]?.path || null, `${told.join("; ")}${more}. Nothing of the request was taken`);
}

/** The outcomes of a body: one, or `{outcomes: [...]}`. */
export function parseOutcomes(text: string): ParsedOutcomes {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return { kind: "wrong", error: apiErrors.badJson("unexpected end or character") };
  }
  const isBatch = isJsonObject(body) && Object.hasOwn(body, "outcomes");
  const shape = isBatch ? batch : outcome;
  const parsed = shape.safeParse(body);
  if (!parsed.success) return { kind: "wrong", error: wrongFields(schemaProblems(shape, parsed.error.issues)) };
  const given = "outcomes" in parsed.data ? parsed.data.outcomes : [parsed.data];
  const outcomes = given.map(({ value, ...rest }, i) => ({ ...rest, value: Number(value), path: isBatch ? `outcomes[${i}].` : "" }));
  return { kind: "parsed", outcomes };
}
