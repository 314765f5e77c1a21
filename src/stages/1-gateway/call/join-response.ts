import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { Joiner } from "../endpoints/endpoint.ts";
import { errorIn } from "./error-in.ts";
import { charsOf } from "./json-size.ts";

/** One item of `output` as far as it has arrived. */
type Item = Record<string, unknown>;

const terminal = new Set(["response.completed", "response.incomplete", "response.failed"]);
const positionIn = (value: unknown): number => (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 10_000 ? value : 0);
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** The deltas that hold content: the field of a part of the item's `content`, or of the item itself, that each of them continues. */
const deltas: ReadonlyMap<string, { readonly part: string | null; readonly field: string }> = new Map(
  Object.entries({
    "response.output_text.delta": { part: "output_text", field: "text" },
    "response.refusal.delta": { part: "refusal", field: "refusal" },
    "response.reasoning_text.delta": { part: "reasoning_text", field: "text" },
    "response.function_call_arguments.delta": { part: null, field: "arguments" },
    "response.mcp_call_arguments.delta": { part: null, field: "arguments" },
    "response.custom_tool_call_input.delta": { part: null, field: "input" },
  }),
);

/**
 * Joins the events of a streamed response of the Responses API. A complete stream ends with the whole response, and that is the answer; of
 * one that breaks off the items are put together from what came: finished ones as they are, the others from their deltas.
 */
export class ResponseJoiner implements Joiner {
  #maxChars: number;
  /** Each item may come twice: when it begins and when it is whole. */
  #maxItemChars: number;
  readonly #items = new Map<number, Item>();
  #head: JsonObject | null = null;
  #final: JsonObject | null = null;
  #error: JsonObject | null = null;
  #chars = 0;
  #itemChars = 0;
  #done = false;
  #isStopped = false;
  #hasContent = false;

  /** @param maxChars how much text of deltas is kept; more is left out and `isCut` tells */
  constructor(maxChars: number) {
    this.#maxChars = maxChars;
    this.#maxItemChars = 2 * maxChars;
  }

  push(event: JsonObject): void {
    const type = textOf(event.type);
    const delta = deltas.get(type);
    if (delta !== undefined) this.#continue(event, delta);
    else if (type === "response.output_item.added" || type === "response.output_item.done") {
      // Copied: deltas change it.
      if (isJsonObject(event.item)) this.#keepItem(positionIn(event.output_index), event.item);
      if (type === "response.output_item.done") this.#hasContent = true;
    } else this.#state(event, type);
    if (type.endsWith(".delta")) this.#hasContent = true;
  }

  /** Events that tell how it is with the response as a whole. */
  #state(event: JsonObject, type: string): void {
    const error = errorIn(event) ?? (type === "error" ? event : null);
    if (error !== null) this.#error ??= error;
    else if (isJsonObject(event.response)) this.#whole(event.response, type);
  }

  #keepItem(position: number, item: JsonObject): void {
    this.#itemChars += charsOf(item);
    if (this.#itemChars <= this.#maxItemChars) this.#items.set(position, structuredClone(item) as Item);
  }

  #whole(response: JsonObject, type: string): void {
    this.#head = response;
    if (!terminal.has(type)) return;
    this.#final = response;
    this.#done = true;
    if (type === "response.failed") this.#error ??= isJsonObject(response.error) ? response.error : { code: "response_failed" };
  }

  #continue(event: JsonObject, { part, field }: { readonly part: string | null; readonly field: string }): void {
    const position = positionIn(event.output_index);
    const item: Item = this.#items.get(position) ?? (part === null ? { type: "function_call" } : { type: "message", role: "assistant", content: [] });
    this.#items.set(position, item);
    const to = part === null ? item : partOf(item, positionIn(event.content_index), part);
    to[field] = textOf(to[field]) + this.#kept(textOf(event.delta));
  }

  #kept(text: string): string {
    const kept = text.slice(0, Math.max(0, this.#maxChars - this.#chars));
    this.#chars += text.length;
    return kept;
  }

  done(): void {
    this.#done = true;
  }

  stopKeeping(): void {
    this.#isStopped = true;
    this.#maxChars = Math.min(this.#maxChars, this.#chars);
    this.#maxItemChars = Math.min(this.#maxItemChars, this.#itemChars);
  }

  get keptChars(): number {
    return Math.min(this.#chars, this.#maxChars) + Math.min(this.#itemChars, this.#maxItemChars);
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get isCut(): boolean {
    return this.#final === null && (this.#isStopped || this.#chars > this.#maxChars || this.#itemChars > this.#maxItemChars);
  }

  get isComplete(): boolean {
    return this.#done;
  }

  get error(): JsonObject | null {
    return this.#error;
  }

  answer(): JsonObject | null {
    if (this.#final !== null && (!Array.isArray(this.#final.output) || this.#final.output.length > 0 || this.#items.size === 0)) return this.#final;
    if (this.#head === null && this.#items.size === 0) return null;
    const output = [...this.#items].sort(([a], [b]) => a - b).map(([, item]) => item);
    return { object: "response", ...this.#head, output };
  }
}

/** The part of an item's content at a position, made when it is not there. */
function partOf(item: Item, position: number, type: string): Item {
  const content: unknown[] = Array.isArray(item.content) ? item.content : [];
  item.content = content;
  while (content.length <= Math.min(position, 1_000)) content.push({ type, [type === "refusal" ? "refusal" : "text"]: "" });
  const part = content[Math.min(position, 1_000)];
  return isJsonObject(part) ? (part as Item) : {};
}
