import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { ChunkJoiner } from "../call/join-chunks.ts";
import { type Endpoint, plainEndpoint } from "./endpoint.ts";
import { foreignTo } from "./fields.ts";

/** Chat completions: a template becomes a system message before the caller's. */
export const chat: Endpoint = {
  ...plainEndpoint,
  endpoint: "/v1/chat/completions",
  path: "/chat/completions",
  operation: "chat",
  foreign: foreignTo("chat"),
  withTemplate: ({ messages }, template): JsonObject => (Array.isArray(messages) ? { messages: [{ role: "system", content: template }, ...messages] } : {}),
  joiner: (maxChars) => new ChunkJoiner(maxChars, "chat.completion"),
  usageOnDemand: true,
  formatOf: (request) => request.response_format,
  turnOf: ({ messages }) => (Array.isArray(messages) ? messages.filter((message: unknown) => isJsonObject(message) && message.role === "assistant").length : 0),
};
