import { type Format, flag, moment, quantity, text } from "./fields.ts";

/** Names of the recorded data, and the signals' own. */
const names = {
  error: ["error", "error_rate"],
  schema: ["schema_valid", "schema_validity"],
  task: ["task_pass", "task_completion"],
  grounded: ["grounded", "groundedness"],
};
const fields = [...Object.values(names).flat(), "latency_ms", "ttft_ms", "cost_usd", "output_tokens"];

/** headgate's own normalised JSONL, with the fields that `headgate backtest` reads. */
export const normalised: Format = {
  name: "headgate's normalised calls",
  knownBy: `one of ${fields.join(", ")}`,
  fits: (row) => fields.some((field) => Object.hasOwn(row, field)) && !Object.hasOwn(row, "request") && !Object.hasOwn(row, "response"),
  call: (row) => ({
    // `recorded_at` and `run_at` date a whole batch: they are no arrivals.
    atMs: moment(row, ["ended_at", "started_at", "at", "timestamp"]) ?? quantity(row, ["at_ms", "t_ms"]),
    subject: text(row, ["subject", "user", "session"]),
    model: text(row, ["model_version", "version", "model"]) ?? "",
    error: flag(row, names.error),
    schemaValid: flag(row, names.schema),
    taskPass: flag(row, names.task),
    grounded: flag(row, names.grounded),
    latencyMs: quantity(row, ["latency_ms"]),
    ttftMs: quantity(row, ["ttft_ms"]),
    costUsd: quantity(row, ["cost_usd"]),
    outputTokens: quantity(row, ["output_tokens"]),
  }),
};
