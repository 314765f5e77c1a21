import { type Endpoint, plainEndpoint } from "./endpoint.ts";
import { foreignTo } from "./fields.ts";

/** Embeddings: never streamed, no place for a template, and an answer that no check or judge can read. */
export const embeddings: Endpoint = {
  ...plainEndpoint,
  endpoint: "/v1/embeddings",
  path: "/embeddings",
  operation: "embeddings",
  foreign: foreignTo("embeddings"),
  withTemplate: null,
  joiner: null,
  answersInText: false,
};
