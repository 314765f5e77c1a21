import type { Request, SchemaCheck } from "../../../topics/index.ts";
import { type Answer, answerOf } from "./answer.ts";
import { isJson } from "./is-json.ts";
import type { Form } from "./schema-check.ts";

/** What the deterministic checks say about one answer. null: the check does not apply to it. */
export interface CheckedAnswer {
  readonly schemaValid: boolean | null;
  readonly empty: boolean | null;
  readonly cut: boolean;
  /** The form that was asked for is not a schema or pattern, so it was not checked. */
  readonly formBroken: boolean;
  /** The check was started, or would have been, and took too long: nothing is known about the form. Missing, not valid. */
  readonly timedOut: boolean;
  /** A form was asked for, and nothing is known about it because the answer is longer than anybody could read: missing, not valid. */
  readonly unread: boolean;
}

/** The side of a call that is checked: the call itself or its twin. */
export type Side = Pick<Request, "status" | "responseBody" | "finishReason">;

/** What the gateway found of a whole answer (`wholeChecks` of `requests`). */
type WholeCheck = NonNullable<Request["wholeChecks"]>["answer"];

/** A limit ended the answer: OpenAI's `length`, Responses' `max_output_tokens`, Anthropic's and Gemini's words for it. */
const cutReasons = new Set(["length", "max_output_tokens", "max_tokens", "MAX_TOKENS"]);

function schemaValidity(form: Form, answer: Answer): Pick<CheckedAnswer, "schemaValid" | "timedOut"> {
  if (form.kind !== "check") return { schemaValid: null, timedOut: false };
  // An answer that calls tools is not the structured answer yet.
  if (answer.text === null) return { schemaValid: answer.toolCalls ? null : false, timedOut: false };
  const schemaValid = form.isValid(answer.text);
  return { schemaValid, timedOut: schemaValid === null };
}

type Forms = (check: SchemaCheck, responseFormat: string | null) => Form;
type About = { readonly check: SchemaCheck; readonly responseFormat: string | null; readonly bodyCut: boolean };

const nothingKnown = { schemaValid: null, empty: null, formBroken: false, timedOut: false, unread: false } as const;

/** What nobody can read is missing where a form was asked for, and of no concern where none was. */
const isMissing = (about: About, forms: Forms): boolean => forms(about.check, about.responseFormat).kind === "check";

/**
 * Checks one answered side of a call. Only an answer with status `ok` can be checked.
 *
 * @param about `bodyCut`: a body was cut, so that what cannot be read is unknown, not invalid
 * @returns null when the side was not answered
 */
export function checkAnswer(side: Side, about: About, forms: Forms): CheckedAnswer | null {
  if (side.status !== "ok") return null;
  const cut = cutReasons.has(side.finishReason);
  // Without a body there is nothing to say about its form, and a cut one can no longer be parsed.
  if (side.responseBody === null) return { ...nothingKnown, cut, unread: about.bodyCut && isMissing(about, forms) };
  const answer = answerOf(side.responseBody);
  const isNothing = answer.text === null && !answer.toolCalls;
  if (about.bodyCut && isNothing && !isJson(side.responseBody)) return { ...nothingKnown, cut, unread: isMissing(about, forms) };
  const form = forms(about.check, about.responseFormat);
  const empty = (answer.text === null || answer.text.trim() === "") && !answer.toolCalls;
  return { ...schemaValidity(form, answer), empty, cut, formBroken: form.kind === "broken", unread: false };
}

/**
 * What the checks say of one side of a call that was cut, from what the gateway found while it had the whole answer.
 *
 * @param whole null: nobody could read it whole
 * @returns null when the side was not answered
 */
export function checkedWhole(side: Side, whole: WholeCheck, about: About, forms: Forms): CheckedAnswer | null {
  if (side.status !== "ok") return null;
  const cut = cutReasons.has(side.finishReason);
  if (whole === null) return { ...nothingKnown, cut, unread: isMissing(about, forms) };
  return { ...whole, cut, unread: false };
}
