import type { JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { ChunkJoiner } from "../call/join-chunks.ts";
import { type Endpoint, plainEndpoint } from "./endpoint.ts";
import { foreignTo } from "./fields.ts";

const isText = (value: unknown): value is string => typeof value === "string";

/** Puts a template before each prompt. Prompts that are token ids stay as they are: a text cannot be put before them. */
function withTemplate({ prompt }: JsonObject, template: string): JsonObject {
  if (isText(prompt)) return { prompt: `${template}\n\n${prompt}` };
  return Array.isArray(prompt) && prompt.every(isText) ? { prompt: prompt.map((text) => `${template}\n\n${text}`) } : {};
}

/** Legacy completions: one text goes in, it is continued. */
export const completions: Endpoint = {
  ...plainEndpoint,
  endpoint: "/v1/completions",
  path: "/completions",
  operation: "text_completion",
  foreign: foreignTo("completions"),
  withTemplate,
  joiner: (maxChars) => new ChunkJoiner(maxChars, "text_completion"),
  usageOnDemand: true,
};
