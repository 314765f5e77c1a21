import type { Request, SchemaCheck } from "../../../topics/index.ts";
import { type Answer, answerOf } from "./answer.ts";
import type { Form } from "./schema-check.ts";

/** What the deterministic checks say about one answer. null: the check does not apply to it. */
export interface CheckedAnswer {
  readonly schemaValid: boolean | null;
  readonly empty: boolean | null;
  readonly cut: boolean;
  /** The form that was asked for is not a schema or pattern, so it was not checked. */
  readonly formBroken: boolean;
  /** The check was started, or would have been, and took too long: nothing is known about the form. */
  readonly timedOut: boolean;
}

/** The side of a call that is checked: the call itself or its twin. */
export type Side = Pick<Request, "status" | "responseBody" | "finishReason">;

/** A limit ended the answer: OpenAI's `length`, Responses' `max_output_tokens`, Anthropic's and Gemini's words for it. */
const cutReasons = new Set(["length", "max_output_tokens", "max_tokens", "MAX_TOKENS"]);

function schemaValidity(form: Form, answer: Answer): Pick<CheckedAnswer, "schemaValid" | "timedOut"> {
  if (form.kind !== "check") return { schemaValid: null, timedOut: false };
  // An answer that calls tools is not the structured answer yet.
  if (answer.text === null) return { schemaValid: answer.toolCalls ? null : false, timedOut: false };
  const schemaValid = form.isValid(answer.text);
  return { schemaValid, timedOut: schemaValid === null };
}

/**
 * Checks one answered side of a call. Only an answer with status `ok` can be checked.
 *
 * @param bodyCut a body was cut at the gateway's limit: what cannot be read then is unknown, not invalid
 * @returns null when the side was not answered
 */
export function checkAnswer(
  side: Side,
  about: { readonly check: SchemaCheck; readonly responseFormat: string | null; readonly bodyCut: boolean },
  forms: (check: SchemaCheck, responseFormat: string | null) => Form,
): CheckedAnswer | null {
  if (side.status !== "ok") return null;
  const cut = cutReasons.has(side.finishReason);
  // Without a body there is nothing to say about its form, and a cut one can no longer be parsed.
  if (side.responseBody === null) return { schemaValid: null, empty: null, cut, formBroken: false, timedOut: false };
  const answer = answerOf(side.responseBody);
  if (about.bodyCut && answer.text === null && !answer.toolCalls) return { schemaValid: null, empty: null, cut, formBroken: false, timedOut: false };
  const form = forms(about.check, about.responseFormat);
  const empty = (answer.text === null || answer.text.trim() === "") && !answer.toolCalls;
  return { ...schemaValidity(form, answer), empty, cut, formBroken: form.kind === "broken" };
}
