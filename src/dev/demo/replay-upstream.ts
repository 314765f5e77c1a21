import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { type RecordedCall, readCalls } from "./calls.ts";
import { readJson, sendError, sendJson, serveForParent } from "./http-server.ts";
import { type Random, seeded } from "./random.ts";
import type { Turn } from "./stories.ts";

/**
 * An OpenAI-compatible upstream that replays recorded calls: `model` is a recorded version, the answer is the recorded
 * one to the same prompt; a version that never saw the prompt answers with a seeded draw of its rows. It takes the
 * recorded time, divided by one factor.
 */
const chatRequest = z.object({
  model: z.string(),
  stream: z.boolean().optional(),
  stream_options: z.object({ include_usage: z.boolean().optional() }).optional(),
  messages: z.array(z.object({ role: z.string(), content: z.union([z.string(), z.array(z.object({ text: z.string().optional() }))]).nullish() })).min(1),
});
type ChatRequest = z.output<typeof chatRequest>;

interface Answer {
  readonly content: string;
  readonly latencyMs: number;
  readonly ttftMs: number;
  readonly usage: Readonly<Record<string, number>>;
}

const turnRequest = z.object({ model: z.string(), becomes: z.string() });
/** Where the demo plays the provider who changes a model. Not part of the API. */
export const turnPath = "/demo/turn";

const filler = "word ";

interface VersionCalls {
  readonly all: RecordedCall[];
  readonly byPrompt: Map<string, RecordedCall[]>;
}

export class Replay {
  readonly #byVersion = new Map<string, VersionCalls>();
  readonly #random: Random;
  readonly #factor: number;
  /** Version that really answers calls of a model whose provider changed it. */
  readonly #behind = new Map<string, string>();

  constructor(calls: readonly RecordedCall[], factor: number, seed: number) {
    this.#random = seeded(seed);
    this.#factor = factor;
    for (const call of calls) {
      const known: VersionCalls = this.#byVersion.get(call.model_version) ?? { all: [], byPrompt: new Map() };
      this.#byVersion.set(call.model_version, known);
      known.all.push(call);
      if (call.prompt !== undefined) known.byPrompt.set(call.prompt, [...(known.byPrompt.get(call.prompt) ?? []), call]);
    }
  }

  /** The recorded call that answers, or undefined for an unknown version. */
  find(version: string, prompt: string): RecordedCall | undefined {
    const known = this.#byVersion.get(this.#behind.get(version) ?? version);
    return known && this.#random.pick(known.byPrompt.get(prompt) ?? known.all);
  }

  /** From now on calls of `model` are answered by another recorded version, under the same name; false when there is no such version. */
  turn({ model, becomes }: Turn): boolean {
    if (!this.#byVersion.has(becomes)) return false;
    this.#behind.set(model, becomes);
    return true;
  }

  answer(call: RecordedCall): Answer {
    const outputTokens = call.output_tokens ?? Math.max(1, Math.round((call.output ?? "").length / 4));
    const latencyMs = (call.latency_ms ?? 300) / this.#factor;
    const inputTokens = call.input_tokens ?? Math.round((call.prompt ?? "").length / 4);
    return {
      content: call.output ?? filler.repeat(outputTokens).trim(),
      latencyMs,
      ttftMs: Math.min(latencyMs, (call.ttft_ms ?? (call.latency_ms ?? 300) / 4) / this.#factor),
      usage: {
        prompt_tokens: Math.round(inputTokens),
        completion_tokens: Math.round(outputTokens),
        total_tokens: Math.round(inputTokens + outputTokens),
        ...(call.cost_usd === undefined ? {} : { cost: call.cost_usd }),
      },
    };
  }
}

function lastUserText(request: ChatRequest): string {
  const content = request.messages.findLast((message) => message.role === "user")?.content;
  return typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");
}

let served = 0;

async function respond(request: ChatRequest, answer: Answer, response: ServerResponse, signal: AbortSignal): Promise<void> {
  const head = { id: `chatcmpl-${++served}`, created: Math.floor(Date.now() / 1000), model: request.model };
  if (request.stream !== true) {
    await sleep(answer.latencyMs, undefined, { signal });
    const choice = { index: 0, message: { role: "assistant", content: answer.content }, finish_reason: "stop" };
    sendJson(response, 200, { ...head, object: "chat.completion", choices: [choice], usage: answer.usage });
    return;
  }
  const chunk = (delta: object, finish: string | null) =>
    response.write(`data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
  await sleep(answer.ttftMs, undefined, { signal });
  response.writeHead(200, { "content-type": "text/event-stream" });
  const half = Math.ceil(answer.content.length / 2);
  chunk({ role: "assistant", content: answer.content.slice(0, half) }, null);
  await sleep(Math.max(0, answer.latencyMs - answer.ttftMs), undefined, { signal });
  chunk({ content: answer.content.slice(half) }, null);
  chunk({}, "stop");
  if (request.stream_options?.include_usage) {
    response.write(`data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices: [], usage: answer.usage })}\n\n`);
  }
  response.end("data: [DONE]\n\n");
}

async function handle(replay: Replay, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === "POST" && request.url === turnPath) {
    const turn = turnRequest.parse(await readJson(request));
    return replay.turn(turn) ? sendJson(response, 200, turn) : sendError(response, 404, `no recorded version ${turn.becomes}`);
  }
  if (request.method !== "POST" || request.url !== "/v1/chat/completions")
    return sendError(response, 404, `no such endpoint: ${request.method} ${request.url}`);
  const parsed = chatRequest.safeParse(await readJson(request));
  if (!parsed.success) return sendError(response, 400, z.prettifyError(parsed.error));
  const call = replay.find(parsed.data.model, lastUserText(parsed.data));
  if (!call) return sendError(response, 404, `no recorded version ${parsed.data.model}`);
  const answer = replay.answer(call);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    if (call.error === true) {
      await sleep(answer.latencyMs, undefined, { signal: gone.signal });
      return sendError(response, 500, "the recorded call failed", "server_error");
    }
    await respond(parsed.data, answer, response, gone.signal);
  } catch (error) {
    // The caller left before the answer was due: nothing to send.
    if (!gone.signal.aborted) throw error;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { calls: { type: "string" }, factor: { type: "string" }, seed: { type: "string" } } });
  const replay = new Replay(await readCalls(values.calls ?? ""), Number(values.factor), Number(values.seed));
  await serveForParent((request, response) => handle(replay, request, response));
}
