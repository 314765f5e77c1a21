import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { ResponseJoiner } from "../call/join-response.ts";
import { type Endpoint, plainEndpoint } from "./endpoint.ts";
import { foreignTo } from "./fields.ts";
import { answersIn, isReference } from "./input-items.ts";

const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== "";

function withTemplate({ instructions }: JsonObject, template: string): JsonObject {
  return { instructions: typeof instructions === "string" && instructions !== "" ? `${template}\n\n${instructions}` : template };
}

/** The Responses API: a template goes before the caller's `instructions`; a stream ends with the whole response and reports its usage unasked. */
export const responses: Endpoint = {
  ...plainEndpoint,
  endpoint: "/v1/responses",
  path: "/responses",
  operation: "chat",
  foreign: foreignTo("responses"),
  withTemplate,
  joiner: (maxChars) => new ResponseJoiner(maxChars),
  formatOf: ({ text }) => (isJsonObject(text) ? text.format : null),
  turnOf: ({ input }) => answersIn(input),
  statefulBy: (request) =>
    ["previous_response_id", "conversation"].find((name) => isSet(request[name])) ??
    (Array.isArray(request.input) && request.input.some(isReference) ? "input" : null),
  // The answer would have to be fetched later, from the upstream that has it.
  unsupportedIn: ({ background }) => (background === true ? "background" : null),
};
