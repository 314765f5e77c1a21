import { type Format, jsonValidity, moment, objectAt, quantity, type Row, replyOf, text } from "./fields.ts";

/**
 * LiteLLM: rows of its table `LiteLLM_SpendLogs`, and the `StandardLoggingPayload` of its callbacks. Times are epoch seconds in
 * the payload and timestamps in the table; the first token's time equals the end when nothing was streamed.
 *
 * @see BerriAI/litellm: schema.prisma, model LiteLLM_SpendLogs; docs.litellm.ai, StandardLoggingPayload specification
 */
export const litellm: Format = {
  name: "LiteLLM logs",
  knownBy: "startTime, endTime and one of spend, response_cost, prompt_tokens (LiteLLM_SpendLogs, StandardLoggingPayload)",
  fits: (row) =>
    ["startTime", "endTime"].every((field) => Object.hasOwn(row, field)) &&
    ["spend", "response_cost", "prompt_tokens"].some((field) => Object.hasOwn(row, field)),
  call(row) {
    const startMs = moment(row, ["startTime"]);
    const endMs = moment(row, ["endTime"]);
    const firstMs = moment(row, ["completionStartTime"]);
    const isStreamed = startMs !== null && firstMs !== null && firstMs > startMs && (endMs === null || firstMs < endMs);
    const error = failed(row);
    const request = objectAt(row, "model_parameters") ?? objectAt(row, "proxy_server_request");
    return {
      atMs: endMs ?? startMs,
      subject: text(row, ["end_user", "session_id", "user", "metadata.user_api_key_end_user_id", "metadata.user_api_key_user_id"]),
      model: text(row, ["model_group", "model"]) ?? "",
      error,
      schemaValid: error === true ? null : jsonValidity(request, replyOf(objectAt(row, "response"))),
      taskPass: null,
      grounded: null,
      latencyMs: quantity(row, ["request_duration_ms"]) ?? (startMs !== null && endMs !== null && endMs >= startMs ? endMs - startMs : null),
      ttftMs: isStreamed ? firstMs - startMs : null,
      // A failed call has cost nothing, which is no saving.
      costUsd: error === true ? null : quantity(row, ["spend", "response_cost"]),
      outputTokens: error === true ? null : quantity(row, ["completion_tokens"]),
    };
  },
};

/** Older tables have no status and hold successes only. */
function failed(row: Row): boolean | null {
  const status = text(row, ["status", "metadata.status"]);
  return status === null ? null : status !== "success";
}
