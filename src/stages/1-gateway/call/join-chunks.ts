import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";

/** What was joined of one choice of a streamed chat completion. */
interface Choice {
  readonly message: Record<string, unknown>;
  readonly toolCalls: Map<number, ToolCall>;
  finishReason: string | null;
}
interface ToolCall {
  id: string;
  type: string;
  name: string;
  arguments: string;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const indexOf = (value: unknown, fallback: number): number => (typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : fallback);
const objectsOf = (list: unknown): [number, JsonObject][] =>
  Array.isArray(list) ? list.flatMap((item: unknown, i): [number, JsonObject][] => (isJsonObject(item) ? [[i, item]] : [])) : [];
const has = (value: unknown): boolean => value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);

/**
 * Joins the chunks of a streamed chat completion to the completion that the same call would have answered without a stream, so
 * that everything downstream reads one form. Text fields of a delta (`content`, `refusal`, `reasoning_content` and others that an upstream
 * may invent) are concatenated, tool calls are put together by their index, the last `usage` counts.
 */
export class ChunkJoiner {
  readonly #choices = new Map<number, Choice>();
  readonly #head: Record<string, unknown> = {};
  readonly #maxChars: number;
  #usage: unknown = null;
  #error: JsonObject | null = null;
  #chars = 0;
  #done = false;
  #hasContent = false;

  /** @param maxChars how much joined text is kept; more is cut and `isCut` tells */
  constructor(maxChars: number) {
    this.#maxChars = maxChars;
  }

  /** Takes the data of one event. Data that is not JSON is passed over: it was for the caller to judge. */
  push(data: string): void {
    if (data.trim() === "[DONE]") {
      this.#done = true;
      return;
    }
    let chunk: unknown;
    try {
      chunk = JSON.parse(data);
    } catch {
      return;
    }
    if (!isJsonObject(chunk)) return;
    if (isJsonObject(chunk.error)) this.#error ??= chunk.error;
    for (const name of ["id", "created", "model", "system_fingerprint", "service_tier"]) {
      if (chunk[name] !== undefined && chunk[name] !== null) this.#head[name] ??= chunk[name];
    }
    if (isJsonObject(chunk.usage)) this.#usage = chunk.usage;
    for (const [i, choice] of objectsOf(chunk.choices)) this.#joinChoice(choice, i);
  }

  #joinChoice(from: JsonObject, position: number): void {
    const index = indexOf(from.index, position);
    const choice: Choice = this.#choices.get(index) ?? { message: { role: "assistant", content: null }, toolCalls: new Map(), finishReason: null };
    this.#choices.set(index, choice);
    if (typeof from.finish_reason === "string") choice.finishReason = from.finish_reason;
    if (!isJsonObject(from.delta)) return;
    for (const [name, value] of Object.entries(from.delta)) {
      if (value === null || value === undefined) continue;
      if (name === "tool_calls") for (const [i, call] of objectsOf(value)) this.#joinToolCall(choice, call, i);
      else if (name === "role") choice.message.role = value;
      else if (typeof value === "string") choice.message[name] = textOf(choice.message[name]) + this.#kept(value);
      else choice.message[name] = value;
      this.#hasContent ||= name !== "role" && has(value);
    }
  }

  #joinToolCall(choice: Choice, from: JsonObject, position: number): void {
    const index = indexOf(from.index, position);
    const call = choice.toolCalls.get(index) ?? { id: "", type: "function", name: "", arguments: "" };
    choice.toolCalls.set(index, call);
    if (typeof from.id === "string" && from.id !== "") call.id = from.id;
    if (typeof from.type === "string") call.type = from.type;
    if (!isJsonObject(from.function)) return;
    call.name += this.#kept(textOf(from.function.name));
    call.arguments += this.#kept(textOf(from.function.arguments));
  }

  #kept(text: string): string {
    const kept = text.slice(0, Math.max(0, this.#maxChars - this.#chars));
    this.#chars += text.length;
    return kept;
  }

  /** Whether any content has arrived: text, a refusal, reasoning or a tool call. */
  get hasContent(): boolean {
    return this.#hasContent;
  }

  get isCut(): boolean {
    return this.#chars > this.#maxChars;
  }

  /** Whether the stream said that it was complete: `[DONE]`, or a finish reason for each choice. */
  get isComplete(): boolean {
    return this.#done || (this.#choices.size > 0 && [...this.#choices.values()].every(({ finishReason }) => finishReason !== null));
  }

  /** The first error that the upstream sent within the stream. */
  get error(): JsonObject | null {
    return this.#error;
  }

  /** The completion as far as it was joined; null when nothing of one arrived. */
  completion(): JsonObject | null {
    if (this.#choices.size === 0 && this.#usage === null) return null;
    const choices = [...this.#choices].sort(([a], [b]) => a - b);
    return {
      ...this.#head,
      object: "chat.completion",
      choices: choices.map(([index, { message, toolCalls, finishReason }]) => ({
        index,
        message: toolCalls.size === 0 ? message : { ...message, tool_calls: [...toolCalls].sort(([a], [b]) => a - b).map(([, call]) => toolCallOf(call)) },
        finish_reason: finishReason,
      })),
      usage: this.#usage,
    };
  }
}

const toolCallOf = ({ id, type, name, arguments: text }: ToolCall) => ({ id, type, function: { name, arguments: text } });
