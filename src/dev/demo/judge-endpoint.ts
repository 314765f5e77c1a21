import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { readCalls } from "./calls.ts";
import { readJson, sendError, sendJson, serveForParent } from "./http-server.ts";
import { type Random, seeded } from "./random.ts";
import { computedTruth, type FindTruth, recordedTruth, type Truth } from "./truth.ts";

/**
 * An OpenAI-compatible judge that really knows: it finds or computes the truth of the item and errs at a stated rate,
 * independently per call. It fills whatever JSON schema the request asks for.
 */
const judgeRequest = z.object({
  model: z.string(),
  messages: z.array(z.object({ role: z.string(), content: z.string() })).min(1),
  response_format: z.object({ type: z.literal("json_schema"), json_schema: z.object({ schema: z.json() }) }),
});
const item = z.object({ prompt: z.string(), answer: z.string() });

interface Schema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/** Fills a JSON schema: yes/no (pass/fail) by the verdict on the signal that is named on the way to the field. */
export function fill(schema: Schema, verdict: (signal: string | undefined) => boolean, signals: readonly string[], signal?: string): unknown {
  if (schema.enum) return schema.enum[verdict(signal) ? 0 : 1];
  if (schema.type === "object") {
    const fields = Object.entries(schema.properties ?? {});
    return Object.fromEntries(fields.map(([name, field]) => [name, fill(field, verdict, signals, signals.includes(name) ? name : signal)]));
  }
  if (schema.type === "array") return [];
  if (schema.type === "number" || schema.type === "integer") return verdict(signal) ? 1 : 0;
  if (schema.type === "boolean") return verdict(signal);
  return "checked against the known answer";
}

/** One verdict per signal of the item, wrong with probability `errorRate`, drawn anew for each call. */
export function noisyVerdicts(truth: Truth, errorRate: number, random: Random): (signal: string | undefined) => boolean {
  const [only] = Object.keys(truth);
  const drawn = Object.fromEntries(Object.entries(truth).map(([signal, right]) => [signal, random.chance(errorRate) ? !right : right]));
  return (signal) => drawn[signal ?? only ?? ""] ?? drawn[only ?? ""] ?? false;
}

async function handle(find: FindTruth, errorRate: number, random: Random, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== "POST" || request.url !== "/v1/chat/completions")
    return sendError(response, 404, `no such endpoint: ${request.method} ${request.url}`);
  const parsed = judgeRequest.safeParse(await readJson(request));
  if (!parsed.success) return sendError(response, 400, z.prettifyError(parsed.error));
  const text = parsed.data.messages.map((message) => message.content).join("\n");
  const fenced = /<item ([^>\s]+)>\n(.*)\n<\/item \1>/.exec(text)?.[2];
  if (fenced === undefined) return sendError(response, 400, "no <item NONCE> line found in the messages");
  const { prompt, answer } = item.parse(JSON.parse(fenced));
  const truth = find(prompt, answer);
  if (!truth) return sendError(response, 422, "the truth of this item is not known");
  await sleep(5 + random.exponential(15));
  const content = JSON.stringify(fill(parsed.data.response_format.json_schema.schema as Schema, noisyVerdicts(truth, errorRate, random), Object.keys(truth)));
  const choice = { index: 0, message: { role: "assistant", content, refusal: null }, finish_reason: "stop" };
  const usage = { prompt_tokens: Math.round(text.length / 4), completion_tokens: 30, total_tokens: Math.round(text.length / 4) + 30 };
  sendJson(response, 200, { id: "judge", object: "chat.completion", created: 0, model: parsed.data.model, choices: [choice], usage });
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { calls: { type: "string" }, "error-rate": { type: "string" }, seed: { type: "string" } } });
  // Without recorded calls the truth is computed from the prompt itself.
  const find = values.calls === undefined ? computedTruth : recordedTruth(await readCalls(values.calls));
  const random = seeded(Number(values.seed));
  await serveForParent((request, response) => handle(find, Number(values["error-rate"]), random, request, response));
}
