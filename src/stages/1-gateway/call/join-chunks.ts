import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { Joiner } from "../endpoints/endpoint.ts";
import { errorIn } from "./error-in.ts";
import { charsOf, VALUE_CHARS } from "./json-size.ts";

/** What was joined of one choice of a streamed completion. */
interface Choice {
  /** Of a chat completion. */
  readonly message: Record<string, unknown>;
  readonly toolCalls: Map<number, ToolCall>;
  /** Of a legacy completion. */
  text: string;
  finishReason: string | null;
}
interface ToolCall {
  id: string;
  type: string;
  name: string;
  arguments: string;
}

/** Beside its text an answer may have so many characters of names and lists more, so that few choices and fields never cut it. */
const FREE_CHARS = 4_096;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const indexOf = (value: unknown, fallback: number): number => (typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : fallback);
const objectsOf = (list: unknown): [number, JsonObject][] =>
  Array.isArray(list) ? list.flatMap((item: unknown, i): [number, JsonObject][] => (isJsonObject(item) ? [[i, item]] : [])) : [];
const has = (value: unknown): boolean => value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);

/** Has no prototype: names of fields come from the upstream, and `__proto__` must be one like any other. */
const emptyObject = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>;

/**
 * Joins the chunks of a streamed completion to the completion that the same call would have answered without a stream, so
 * that everything downstream reads one form. Text fields of a delta (`content`, `refusal`, `reasoning_content` and others that an upstream
 * may invent) are concatenated, tool calls are put together by their index, the last `usage` counts.
 */
export class ChunkJoiner implements Joiner {
  readonly #choices = new Map<number, Choice>();
  readonly #head: Record<string, unknown> = {};
  #maxChars: number;
  readonly #object: "chat.completion" | "text_completion";
  #usage: unknown = null;
  #error: JsonObject | null = null;
  #chars = 0;
  #valueChars = 0;
  #isStopped = false;
  #done = false;
  #hasContent = false;

  /** @param maxChars how much joined text is kept; more is cut and `isCut` tells @param object what the chunks are joined to */
  constructor(maxChars: number, object: "chat.completion" | "text_completion") {
    this.#maxChars = maxChars;
    this.#object = object;
  }

  done(): void {
    this.#done = true;
  }

  stopKeeping(): void {
    this.#isStopped = true;
    this.#maxChars = Math.min(this.#maxChars, this.#chars);
  }

  get keptChars(): number {
    return Math.min(this.#chars, this.#maxChars) + Math.min(this.#valueChars, this.#maxChars + FREE_CHARS);
  }

  push(chunk: JsonObject): void {
    this.#error ??= errorIn(chunk);
    for (const name of ["id", "created", "model", "system_fingerprint", "service_tier"]) {
      if (chunk[name] !== undefined && chunk[name] !== null) this.#head[name] ??= chunk[name];
    }
    if (isJsonObject(chunk.usage)) this.#usage = chunk.usage;
    for (const [i, choice] of objectsOf(chunk.choices)) this.#joinChoice(choice, i);
  }

  #joinChoice(from: JsonObject, position: number): void {
    const index = indexOf(from.index, position);
    const choice = this.#choices.get(index) ?? this.#newChoice(index);
    if (choice === null) return;
    if (typeof from.finish_reason === "string") choice.finishReason = from.finish_reason;
    if (typeof from.text === "string" && from.text !== "") {
      choice.text += this.#kept(from.text);
      this.#hasContent = true;
    }
    if (!isJsonObject(from.delta)) return;
    for (const [name, value] of Object.entries(from.delta)) {
      if (value === null || value === undefined) continue;
      if (name === "tool_calls") for (const [i, call] of objectsOf(value)) this.#joinToolCall(choice, call, i);
      else if (name === "role") choice.message.role = value;
      else this.#joinField(choice.message, name, value);
      this.#hasContent ||= name !== "role" && has(value);
    }
  }

  #newChoice(index: number): Choice | null {
    if (!this.#hasRoomFor(VALUE_CHARS)) return null;
    const choice: Choice = { message: Object.assign(emptyObject(), { role: "assistant", content: null }), toolCalls: new Map(), text: "", finishReason: null };
    this.#choices.set(index, choice);
    return choice;
  }

  /**
   * A field of a delta put behind what there is of it: texts and lists are continued, objects field by field, anything else replaces. What there is was made
   * here, so that it is continued in place: copied for each chunk it would take time that grows with the square of the answer.
   */
  #joined(before: unknown, value: unknown): unknown {
    if (typeof value === "string") return textOf(before) + this.#kept(value);
    if (Array.isArray(value)) {
      const list: unknown[] = Array.isArray(before) ? before : [];
      for (const item of value) if (this.#hasRoomFor(charsOf(item))) list.push(item);
      return list;
    }
    if (!isJsonObject(value)) return value;
    const object = isJsonObject(before) ? (before as Record<string, unknown>) : emptyObject();
    for (const [name, field] of Object.entries(value)) this.#joinField(object, name, field);
    return object;
  }

  #joinField(object: Record<string, unknown>, name: string, value: unknown): void {
    if (object[name] === undefined && !this.#hasRoomFor(VALUE_CHARS + name.length)) return;
    object[name] = name === "id" ? value : this.#joined(object[name], value);
  }

  #joinToolCall(choice: Choice, from: JsonObject, position: number): void {
    const index = indexOf(from.index, position);
    if (!choice.toolCalls.has(index) && !this.#hasRoomFor(VALUE_CHARS)) return;
    const call = choice.toolCalls.get(index) ?? { id: "", type: "function", name: "", arguments: "" };
    choice.toolCalls.set(index, call);
    if (typeof from.id === "string" && from.id !== "") call.id = from.id;
    if (typeof from.type === "string") call.type = from.type;
    const body = from.function ?? from.custom;
    if (!isJsonObject(body)) return;
    call.name += this.#kept(textOf(body.name));
    call.arguments += this.#kept(textOf(body.arguments ?? body.input));
  }

  /** Takes room for a value that is kept whole or not at all. */
  #hasRoomFor(chars: number): boolean {
    this.#valueChars += chars;
    return this.#valueChars <= this.#maxChars + FREE_CHARS;
  }

  #kept(text: string): string {
    const kept = text.slice(0, Math.max(0, this.#maxChars - this.#chars));
    this.#chars += text.length;
    return kept;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get isCut(): boolean {
    return this.#isStopped || this.#chars > this.#maxChars || this.#valueChars > this.#maxChars + FREE_CHARS;
  }

  /** Whether the stream said that it was complete: `[DONE]`, or a finish reason for each choice. */
  get isComplete(): boolean {
    return this.#done || (this.#choices.size > 0 && [...this.#choices.values()].every(({ finishReason }) => finishReason !== null));
  }

  get error(): JsonObject | null {
    return this.#error;
  }

  answer(): JsonObject | null {
    if (this.#choices.size === 0 && this.#usage === null) return null;
    const choices = [...this.#choices].sort(([a], [b]) => a - b).map(([index, choice]) => this.#choiceOf(index, choice));
    return { ...this.#head, object: this.#object, choices, usage: this.#usage };
  }

  #choiceOf(index: number, { message, toolCalls, text, finishReason }: Choice): JsonObject {
    if (this.#object === "text_completion") return { index, text, finish_reason: finishReason };
    const calls = [...toolCalls].sort(([a], [b]) => a - b).map(([, call]) => toolCallOf(call));
    return { index, message: calls.length === 0 ? message : { ...message, tool_calls: calls }, finish_reason: finishReason };
  }
}

const toolCallOf = ({ id, type, name, arguments: text }: ToolCall) =>
  type === "custom" ? { id, type, custom: { name, input: text } } : { id, type, function: { name, arguments: text } };
