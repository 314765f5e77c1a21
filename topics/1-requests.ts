import { z } from "zod";
import { atMs, count, days, defineTopic, maybe, openEnum, type ValueOf } from "./define.ts";
import { attribution, twin, wholeChecks } from "./parts.ts";

/** One completed LLM call, or a mark of an instance that has nothing to say. Written by gateways and adapters. */
export const requests = defineTopic({
  name: "requests",
  about: "One completed LLM call as the gateway saw it, or a mark-only record of a silent gateway. Event time is the end of the call.",
  shape: z.object({
    kind: openEnum("call", "mark"),
    ...attribution,
    startedAtMs: atMs(),
    instance: z.string().describe("gateway process that wrote the record"),
    seq: count().describe("contiguous per instance and partition, from 1: a repeat is a duplicate, a gap is a loss"),
    markMs: atMs().describe("everything this instance completed before this time is already in this partition"),
    turn: count().describe("position of the call in its trace, from 0"),
    endpoint: z.string().describe("path that was called, for example /v1/chat/completions"),
    operation: openEnum("chat", "text_completion", "embeddings").describe("gen_ai.operation.name; `other` in records of older gateways"),
    stream: z.boolean(),
    status: openEnum("ok", "error", "timeout", "cancelled"),
    errorType: z.string().describe("error.type of OpenTelemetry; empty when ok"),
    httpStatus: count(),
    finishReason: z.string(),
    latencyMs: z.number().describe("start of the call to the last byte, ms"),
    ttftMs: maybe(z.number()).describe("start of the call to the first content byte, ms"),
    inputTokens: maybe(count()),
    outputTokens: maybe(count()),
    costUsd: maybe(z.number()).describe("cost of the call in USD, when usage and price are known"),
    attempts: count().describe("times that the version was asked; above 1 when a failed attempt was repeated before the caller saw anything of it"),
    firstErrorType: z
      .string()
      .describe("errorType of the first attempt when it failed: retries do not hide a failing version, so `error_rate` counts it; empty when it did not"),
    shieldedBy: z.string().describe("version that answered the caller when this one failed and the route has a shield; empty: this one did"),
    pinned: z.boolean().describe("an authorized header chose the version: the call is no evidence and in no signal"),
    caller: z.string().describe("name of the caller's key; empty where the gateway has no list of callers"),
    traceState: z.string().describe("W3C tracestate of the call, as it was sent upstream"),
    upstream: z.string(),
    upstreamModel: z.string().describe("gen_ai.request.model as sent upstream"),
    bodies: openEnum("full", "redacted", "none").describe("what the two bodies hold"),
    cut: z.boolean().describe("a body was longer than the limit and was cut"),
    wholeChecks: wholeChecks.describe("of a cut call: what the checks said of the whole answers before they were cut; null: whoever reads the record checks"),
    requestBody: maybe(z.string()).describe("JSON as the caller sent it"),
    responseBody: maybe(z.string()).describe("JSON as the upstream answered; for streams, the joined answer"),
    responseFormat: maybe(z.string()).describe("JSON of response_format, when the caller asked for one"),
    reference: maybe(z.string()).describe("reference answer, when the caller gave one"),
    twin: twin.describe("only on shadow records: the served side of the same prompt"),
  }),
  key: "subject",
  partitions: 6,
  retention: { cleanup: "delete", retentionMs: days(7) },
  timestamps: "append",
  maxBytes: 8 * 1024 * 1024,
  writers: ["gateway"],
  readers: ["sampler"],
});
export type Request = ValueOf<typeof requests>;
