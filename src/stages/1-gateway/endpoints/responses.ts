import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { ResponseJoiner } from "../call/join-response.ts";
import { type Endpoint, plainEndpoint } from "./endpoint.ts";
import { foreignTo } from "./fields.ts";

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
  turnOf: ({ input }) => (Array.isArray(input) ? input.filter((item: unknown) => isJsonObject(item) && item.role === "assistant").length : 0),
  statefulBy: (request) => ["previous_response_id", "conversation"].find((name) => isSet(request[name])) ?? null,
  // The answer would have to be fetched later, from the upstream that has it.
  unsupportedIn: ({ background }) => (background === true ? "background" : null),
};
