import type { Entry } from "../../../topics/index.ts";

/** Which close a signal waits for: checks and calls close early, judged signals when their scores are in, outcomes when they had the time to come. */
export type Group = "calls" | "judge" | "outcome";

/** Stands for the evaluator version of what downstream outcomes say. */
export const OUTCOME_EVALUATOR = "outcome";

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

/** Whether the sampler computes a signal on every call. */
export const isCallSignal = (signal: string): boolean => calls.has(signal);

/** Every series that comes neither from the call itself nor from an outcome comes from a judge. */
export function groupOf({ signal, evaluatorVersion }: Pick<Entry, "signal" | "evaluatorVersion">): Group {
  if (evaluatorVersion === OUTCOME_EVALUATOR) return "outcome";
  return isCallSignal(signal) ? "calls" : "judge";
}
