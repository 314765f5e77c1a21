import type { Request, SchemaCheck } from "../../../../topics/index.ts";
import { checkAnswer, type Side } from "../../../domain/checks/check-answer.ts";
import { defaultSchemaCheck, type schemaForms } from "../../../domain/checks/schema-check.ts";

/** What was answered, whole; a side of which the gateway itself has only a part is null: what is missing cannot be checked. */
export interface WholeAnswers {
  readonly call: { readonly route: string; readonly endpoint: { readonly operation: Request["operation"] } };
  readonly responseFormat: string | null;
  readonly answer: Side | null;
  readonly twin: Side | null;
}

export type WholeChecks = NonNullable<Request["wholeChecks"]>;
export type CheckWhole = (whole: WholeAnswers) => WholeChecks;

/**
 * The sampler's checks, on answers whose record is about to be cut: behind the cut nobody can check them any more. Only such calls pay for it, up to
 * some hundred milliseconds of the process for the longest, about what parsing the request has cost.
 *
 * @param schemaCheckOf what a route's newest table says of the form; undefined: there is no table
 */
export function wholeChecker(schemaCheckOf: (route: string) => SchemaCheck | undefined, forms: ReturnType<typeof schemaForms>): CheckWhole {
  return ({ call, responseFormat, answer, twin }) => {
    // Embeddings are no text: no check applies.
    if (call.endpoint.operation === "embeddings") return { answer: null, twin: null };
    const about = { check: schemaCheckOf(call.route) ?? defaultSchemaCheck, responseFormat, bodyCut: true };
    const of = (side: Side | null): WholeChecks["answer"] => {
      const checked = side === null ? null : checkAnswer(side, about, forms);
      if (checked === null || checked.unread) return null;
      const { schemaValid, empty, formBroken, timedOut } = checked;
      return { schemaValid, empty, formBroken, timedOut };
    };
    return { answer: of(answer), twin: of(twin) };
  };
}
