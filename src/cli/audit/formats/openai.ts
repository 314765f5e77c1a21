import { at, type Format, first, isObject, jsonValidity, moment, objectAt, quantity, type Row, replyOf, text } from "./fields.ts";

const requestPaths = ["request.body", "request", "request_body", "reqPayload", "input", "body"];
const responsePaths = ["response.body", "response", "response_body", "respPayload", "output"];

/**
 * Logs of OpenAI-style requests and responses: a line holds the response (chat completion or response object; also the
 * batch API's `response.body`), mostly the request, and beside them status and times. Where JSON was asked for, whether the
 * reply parses is its schema validity.
 *
 * @see OpenAI API reference: chat.completion object, response object, batch output line
 */
export const openai: Format = {
  name: "OpenAI-style request/response logs",
  knownBy: "a chat completion under response, response.body, response_body or output (choices, usage), or an HTTP status with a request that has messages",
  fits: (row) => completionOf(row) !== null || (requestOf(row) !== null && statusOf(row) !== null),
  call(row) {
    const completion = completionOf(row);
    const request = requestOf(row);
    const status = statusOf(row);
    const error = completion === null || (status !== null && status >= 400) || (isObject(row.error) && Object.keys(row.error).length > 0);
    const startMs = moment(row, ["started_at", "start_time", "startTime", "requestedAt", "request_time"]);
    const endMs = moment(row, ["ended_at", "end_time", "endTime", "receivedAt", "finished_at"]);
    const measured = quantity(row, ["latency_ms", "duration_ms", "elapsed_ms", "response_time_ms", "delay_ms", "metrics_latency_ms"]);
    return {
      atMs:
        endMs ?? startMs ?? moment(row, ["timestamp", "created_at", "time"]) ?? (completion === null ? null : moment(completion, ["created", "created_at"])),
      subject: text(row, ["user", "user_id", "session_id", "request.user", "request.body.user"]),
      model: text(row, ["request.model", "request.body.model", "model", "model_id"]) ?? (completion === null ? "" : (text(completion, ["model"]) ?? "")),
      error,
      schemaValid: error ? null : jsonValidity(request, replyOf(completion)),
      taskPass: null,
      grounded: null,
      latencyMs: measured ?? (startMs !== null && endMs !== null && endMs >= startMs ? endMs - startMs : null),
      ttftMs: quantity(row, ["ttft_ms", "time_to_first_token_ms", "metrics_first_token_latency_ms"]),
      costUsd: error ? null : (quantity(row, ["cost_usd", "cost"]) ?? (completion === null ? null : quantity(completion, ["usage.cost"]))),
      outputTokens: completion === null ? null : quantity(completion, ["usage.completion_tokens", "usage.output_tokens"]),
    };
  },
};

function completionOf(row: Row): Row | null {
  for (const path of responsePaths) {
    const found = objectAt(row, path);
    if (found !== null && isCompletion(found)) return found;
  }
  return isCompletion(row) ? row : null;
}

function isCompletion(found: Row): boolean {
  const { object, choices, usage } = found;
  return Array.isArray(choices) || object === "chat.completion" || object === "text_completion" || (object === "response" && usage !== undefined);
}

function requestOf(row: Row): Row | null {
  for (const path of requestPaths) {
    const found = objectAt(row, path);
    if (found !== null && (Array.isArray(found.messages) || found.input !== undefined || found.prompt !== undefined)) return found;
  }
  return null;
}

function statusOf(row: Row): number | null {
  const found = first(row, ["status_code", "http_status", "statusCode", "response.status_code", "response.status", "status"]);
  const status = Number(found?.value);
  return found !== null && Number.isInteger(status) && status >= 100 && status < 600 ? status : at(row, "error.code") === undefined ? null : 500;
}
