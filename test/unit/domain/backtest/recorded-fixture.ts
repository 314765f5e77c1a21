import type { RecordedCall } from "../../../../src/domain/backtest/recorded-call.ts";

/** A recorded call of which nothing is known but what is given. */
export function recorded(given: Partial<RecordedCall> = {}): RecordedCall {
  return {
    version: "a",
    promptId: null,
    subject: null,
    traceId: null,
    slices: [],
    atMs: null,
    isError: null,
    isTimeout: false,
    isSchemaValid: null,
    latencyMs: null,
    ttftMs: null,
    costUsd: null,
    inputTokens: null,
    outputTokens: null,
    scores: new Map(),
    ...given,
  };
}
