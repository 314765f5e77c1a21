/** Which close a signal waits for: checks and calls close early, judged signals when their scores are in. */
export type Group = "calls" | "judge";

/** Signals that the sampler computes on every call. A rubric may not use these names. */
export const callSignals = {
  errorRate: "error_rate",
  timeouts: "error_timeout",
  rateLimits: "error_rate_limit",
  clientErrors: "error_client",
  serverErrors: "error_server",
  schemaValidity: "schema_validity",
  emptyOutput: "empty_output",
  cutOutput: "cut_output",
  latency: "latency_p95",
  ttft: "ttft_p95",
  cost: "cost_per_request",
  outputTokens: "output_tokens",
} as const;

/** Signals that are shown to people and never gate. */
const shownOnly: ReadonlySet<string> = new Set([
  callSignals.timeouts,
  callSignals.rateLimits,
  callSignals.clientErrors,
  callSignals.serverErrors,
  callSignals.emptyOutput,
  callSignals.cutOutput,
]);

/** Whether a signal is counted in each slice: only what can gate is, so that a route's series stay few. */
export const isSliced = (signal: string): boolean => !shownOnly.has(signal);

const calls: ReadonlySet<string> = new Set(Object.values(callSignals));

/** Every signal that does not come from the call itself comes from a judge. */
export function groupOf(signal: string): Group {
  return calls.has(signal) ? "calls" : "judge";
}
