import { type Format, moment, quantity, type Row, text } from "./fields.ts";

const startFields = ["start_time", "startTime"];
const traceFields = ["trace_id", "traceId"];
const has = (row: Row, fields: readonly string[]) => fields.some((field) => Object.hasOwn(row, field));

/**
 * Langfuse: observations as its blob storage, API and table export them, in snake_case or camelCase, JSON or CSV. Generations are
 * calls; spans and events are not. Latency is taken from the times, since exports differ in its unit.
 *
 * @see langfuse.com, blob storage export field reference; langfuse/langfuse worker, observation-stream.ts
 */
export const langfuse: Format = {
  name: "Langfuse observations",
  knownBy: "type, trace_id (traceId) and start_time (startTime)",
  fits: (row) => Object.hasOwn(row, "type") && has(row, traceFields) && has(row, startFields),
  call(row) {
    const type = text(row, ["type"]);
    if (type !== "GENERATION" && type !== "EMBEDDING") return null;
    const startMs = moment(row, startFields);
    const endMs = moment(row, ["end_time", "endTime"]);
    const firstMs = moment(row, ["completion_start_time", "completionStartTime"]);
    const level = text(row, ["level"]);
    const isError = level === "ERROR";
    return {
      atMs: endMs ?? startMs,
      subject: text(row, ["user_id", "userId", "session_id", "sessionId"]),
      model: text(row, ["provided_model_name", "providedModelName", "model"]) ?? "",
      error: level === null ? null : isError,
      schemaValid: null,
      taskPass: null,
      grounded: null,
      latencyMs: startMs !== null && endMs !== null && endMs >= startMs ? endMs - startMs : null,
      ttftMs: startMs !== null && firstMs !== null && firstMs >= startMs ? firstMs - startMs : null,
      costUsd: isError ? null : quantity(row, ["total_cost", "totalCost", "calculatedTotalCost", "cost_details.total", "costDetails.total"]),
      outputTokens: isError ? null : quantity(row, ["usage_details.output", "usageDetails.output", "outputUsage", "usage.output", "completionTokens"]),
    };
  },
};
