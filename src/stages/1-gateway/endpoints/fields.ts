/** Fields of each endpoint that a version's parameters may set: those of OpenAI's API without the ones that are the caller's. */
const chat = [
  "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens modalities moderation n",
  "parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort",
  "response_format seed service_tier stop store temperature tool_choice tools top_logprobs top_p verbosity web_search_options",
];
const responses = [
  "access_programs context_management image include max_output_tokens max_tool_calls moderation parallel_tool_calls prompt",
  "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning service_tier store temperature text tool_choice tools",
  "top_logprobs top_p truncation",
];
const completions = ["best_of echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stop suffix temperature top_p"];
const embeddings = ["dimensions encoding_format"];

const setOf = (lines: readonly string[]): ReadonlySet<string> => new Set(lines.join(" ").split(" "));
/** By endpoint: what a version may set there. */
export const settable = { chat: setOf(chat), responses: setOf(responses), completions: setOf(completions), embeddings: setOf(embeddings) };

/**
 * Fields that other endpoints know and this one does not: a route can be called by any endpoint, and an upstream refuses fields that it
 * does not know. Names that no endpoint knows belong to the upstream and are sent everywhere.
 */
export function foreignTo(endpoint: keyof typeof settable): ReadonlySet<string> {
  const own = settable[endpoint];
  return new Set(Object.values(settable).flatMap((names) => [...names].filter((name) => !own.has(name))));
}
