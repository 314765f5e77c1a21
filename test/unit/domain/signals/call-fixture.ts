import type { Request, Score } from "../../../../topics/index.ts";

/** A body with one answer, as an upstream sends it. */
export const bodyWith = (content: unknown): string => JSON.stringify({ choices: [{ index: 0, message: { role: "assistant", content } }] });

/** A call that was answered in 100 ms. */
export function callWith(changes: Partial<Request> = {}): Request {
  return {
    kind: "call",
    requestId: "0198c0de-0000-7000-8000-000000000001",
    route: "support-answer",
    rollout: "support-answer-b",
    attempt: 1,
    step: 1,
    epoch: 7,
    arm: "candidate",
    version: "b@2",
    exposure: "served",
    subject: "subject-1",
    traceId: "trace-1",
    slices: [],
    endedAtMs: 1_000_000,
    paneMs: 10_000,
    samplePpm: 1_000_000,
    startedAtMs: 999_900,
    instance: "gateway-1",
    seq: 1,
    markMs: 999_000,
    turn: 0,
    endpoint: "/v1/chat/completions",
    operation: "chat",
    stream: false,
    status: "ok",
    errorType: "",
    httpStatus: 200,
    finishReason: "stop",
    latencyMs: 100,
    ttftMs: null,
    inputTokens: 10,
    outputTokens: 20,
    costUsd: 0.001,
    attempts: 1,
    firstErrorType: "",
    shieldedBy: "",
    pinned: false,
    caller: "",
    traceState: "",
    upstream: "two",
    upstreamModel: "model-b",
    bodies: "full",
    cut: false,
    wholeChecks: null,
    requestBody: '{"messages":[{"role":"user","content":"Is 7 a prime number?"}]}',
    responseBody: bodyWith("[Yes]"),
    responseFormat: null,
    reference: null,
    twin: null,
    ...changes,
  };
}

/** The served side of a mirrored call. */
export const twinWith = (changes: Partial<NonNullable<Request["twin"]>> = {}): NonNullable<Request["twin"]> => ({
  version: "a@1",
  status: "ok",
  firstErrorType: "",
  responseBody: bodyWith("[Yes]"),
  finishReason: "stop",
  latencyMs: 90,
  ttftMs: null,
  outputTokens: 21,
  costUsd: 0.001,
  ...changes,
});

/** What a judge made of a call. */
export function scoreWith(changes: Partial<Score> = {}): Score {
  const { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, traceId, slices, endedAtMs, paneMs, samplePpm } = callWith();
  return {
    scoreId: `score of ${changes.requestId ?? requestId}`,
    ...{ requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, traceId, slices, endedAtMs, paneMs, samplePpm },
    evaluator: "task@1",
    evaluatorVersion: "v1",
    weight: 1,
    costUsd: null,
    judgeLatencyMs: 10,
    results: [{ signal: "task_completion", form: "binary", status: "scored", value: 1, twinValue: null, rationale: "" }],
    ...changes,
  };
}
