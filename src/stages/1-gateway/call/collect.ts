import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { Endpoint, Joiner } from "../endpoints/endpoint.ts";
import { isTooDeep } from "../http/json-depth.ts";
import { errorIn } from "./error-in.ts";
import { withoutUsage } from "./hide-usage.ts";
import { SseReader } from "./sse.ts";
import { tailUsage } from "./tail-usage.ts";
import { type Answer, answerOf, noAnswer } from "./usage.ts";

/** What was gathered of a response while it passed by. */
export interface Collected extends Answer {
  /** JSON of the answer, as one completion; null when there was none or it could not be read. */
  readonly body: string | null;
  readonly isCut: boolean;
  /** Why an answer that came with a success status is none after all; empty when it is one. */
  readonly errorType: string;
}

/** Gathers a response for the log while its bytes go to the caller. */
export interface Collector {
  /** @returns true when the first content has arrived with this chunk or before */
  push(chunk: Buffer): boolean;
  /** What goes to the caller now that `chunk` was pushed: the chunk itself, unless something in it is not for the caller. */
  shown(chunk: Buffer): Buffer;
  /** Nothing more is pushed. @returns what is left to be shown */
  end(): Buffer | null;
  /** How much is kept, bytes or characters. */
  readonly kept: number;
  /** From now on nothing more is kept: what is gathered is cut. */
  stopKeeping(): void;
  finish(): Collected;
}

/** Longest answer that is kept to be checked, in bytes; the rest still goes to the caller. Its record is cut to less. */
export const MAX_COLLECTED = 32 * 1024 * 1024;

/** What is told of an answer that JSON can hold and nobody can walk. */
export const UNREADABLE = "unreadable_answer";

const asItIs = { shown: (chunk: Buffer): Buffer => chunk, end: () => null };
/** Of what keeps next to nothing. */
const keepsNothing = { kept: 0, stopKeeping: () => undefined };

/** Why an answer in JSON is none although its status says so: the Responses API tells failures in the body, and so do some proxies and servers. */
function failureIn(body: JsonObject): string {
  const error = errorIn(body);
  if (error !== null) return errorTypeOf(error, "answer_error");
  return body.object === "response" && body.status === "failed" ? "response_failed" : "";
}

class JsonCollector implements Collector {
  readonly #chunks: Buffer[] = [];
  readonly shown = asItIs.shown;
  readonly end = asItIs.end;
  kept = 0;
  #isFull = false;

  push(chunk: Buffer): boolean {
    this.#isFull ||= this.kept + chunk.length > MAX_COLLECTED;
    if (this.#isFull) return false;
    this.#chunks.push(chunk);
    this.kept += chunk.length;
    return false;
  }

  stopKeeping(): void {
    this.#isFull = true;
  }

  finish(): Collected {
    const [first] = this.#chunks;
    const body = (this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks)).toString("utf8");
    if (this.#isFull) return { ...noAnswer, body, isCut: true, errorType: "" };
    if (isTooDeep(body)) return { ...noAnswer, body, isCut: false, errorType: UNREADABLE };
    try {
      const value: unknown = JSON.parse(body);
      if (!isJsonObject(value)) return { ...noAnswer, body, isCut: false, errorType: "" };
      return { ...answerOf(value), body, isCut: false, errorType: failureIn(value) };
    } catch {
      return { ...noAnswer, body: body === "" ? null : body, isCut: false, errorType: "invalid_json" };
    }
  }
}

/** How much of each end of an answer is kept when the answer itself is not logged, bytes. */
const KEPT_END = 4 * 1024;

/** Of an answer that is no text only the usage is read: embeddings are megabytes of numbers. */
class UsageCollector implements Collector {
  readonly shown = asItIs.shown;
  readonly end = asItIs.end;
  readonly kept = keepsNothing.kept;
  readonly stopKeeping = keepsNothing.stopKeeping;
  #head: Buffer = Buffer.alloc(0);
  #tail: Buffer = Buffer.alloc(0);
  #size = 0;

  push(chunk: Buffer): boolean {
    this.#size += chunk.length;
    if (this.#head.length < KEPT_END) this.#head = Buffer.concat([this.#head, chunk.subarray(0, KEPT_END - this.#head.length)]);
    this.#tail = chunk.length >= KEPT_END ? chunk.subarray(-KEPT_END) : Buffer.concat([this.#tail, chunk]).subarray(-KEPT_END);
    return false;
  }

  finish(): Collected {
    const tail = this.#tail.toString("latin1");
    const isWhole = tail.trimEnd().endsWith("}");
    const failure = isWhole && this.#size <= KEPT_END ? failureOf(tail) : "";
    const usage = tailUsage(tail) ?? (this.#size > KEPT_END ? tailUsage(this.#head.toString("latin1")) : null);
    const answer = answerOf({ usage });
    // There is no output that could have tokens: nobody reports that, and a price asks for it.
    const outputTokens = answer.inputTokens === null ? null : (answer.outputTokens ?? 0);
    return { ...answer, outputTokens, body: null, isCut: false, errorType: isWhole ? failure : "invalid_json" };
  }
}

/** The same for a short text of which only the usage is of interest. */
function failureOf(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? failureIn(value) : "";
  } catch {
    return "";
  }
}

class StreamCollector implements Collector {
  readonly #joiner: Joiner;
  readonly #reader: SseReader;
  /** What the caller is shown of what was pushed; null: everything, as it came. */
  readonly #texts: string[] | null;
  /** An event was too deep to be joined. */
  #isUnreadable = false;

  constructor(joiner: Joiner, hidesUsage: boolean) {
    this.#joiner = joiner;
    this.#texts = hidesUsage ? [] : null;
    this.#reader = new SseReader((data, text) => this.#event(data, text), hidesUsage);
  }

  /** Data that is not JSON is passed over: it is for the caller to judge. */
  #event(data: string | null, text: string): void {
    const event = data === null ? null : this.#parsed(data);
    if (event !== null) this.#joiner.push(event);
    const shown = event === null || this.#texts === null ? text : withoutUsage(event, text, data ?? "");
    if (shown !== "") this.#texts?.push(shown);
  }

  #parsed(data: string): JsonObject | null {
    if (data.trim() === "[DONE]") {
      this.#joiner.done();
      return null;
    }
    if (isTooDeep(data)) {
      this.#isUnreadable = true;
      return null;
    }
    try {
      const value: unknown = JSON.parse(data);
      return isJsonObject(value) ? value : null;
    } catch {
      return null;
    }
  }

  push(chunk: Buffer): boolean {
    this.#reader.push(chunk);
    return this.#joiner.hasContent;
  }

  get kept(): number {
    return this.#joiner.keptChars;
  }

  stopKeeping(): void {
    this.#joiner.stopKeeping();
  }

  shown(chunk: Buffer): Buffer {
    return this.#texts === null ? chunk : Buffer.from(this.#texts.splice(0).join(""));
  }

  end(): Buffer | null {
    this.#reader.end();
    return this.#texts === null || this.#texts.length === 0 ? null : Buffer.from(this.#texts.splice(0).join(""));
  }

  /** After `end`, or instead of it when the stream broke off. */
  finish(): Collected {
    this.#reader.end();
    const answer = this.#joiner.answer();
    const { error, isComplete, isCut } = this.#joiner;
    const { overflowed } = this.#reader;
    // What ended the stream may stand in a line that was too long to be kept.
    const ended = this.#isUnreadable ? UNREADABLE : isComplete || overflowed ? "" : "incomplete_stream";
    const errorType = error !== null ? errorTypeOf(error) : ended;
    const body = answer === null ? null : JSON.stringify(answer);
    return { ...(answer === null ? noAnswer : answerOf(answer)), body, isCut: isCut || overflowed || this.#isUnreadable, errorType };
  }
}

/** A body in an encoding that nobody here can decode goes to the caller unread. */
class OpaqueCollector implements Collector {
  readonly shown = asItIs.shown;
  readonly end = asItIs.end;
  readonly kept = keepsNothing.kept;
  readonly stopKeeping = keepsNothing.stopKeeping;
  push(): boolean {
    return false;
  }
  finish(): Collected {
    return { ...noAnswer, body: null, isCut: true, errorType: "" };
  }
}

function errorTypeOf(error: JsonObject, otherwise = "stream_error"): string {
  for (const value of [error.code, error.type]) if (typeof value === "string" && /^[\w.-]{1,64}$/.test(value)) return value;
  return otherwise;
}

/** What has to be known of a response before its body comes. */
export interface ResponseHead {
  readonly status: number;
  readonly contentEncoding: string;
  /** Whether it is a stream of events. */
  readonly isStream: boolean;
}

/** Whether a response is encoded (RFC 9110, 8.4); the gateway asks for none of that. */
export function isEncoded(contentEncoding: unknown): boolean {
  return contentEncoding !== undefined && contentEncoding !== "" && contentEncoding !== "identity";
}

/** @param hidesUsage the caller did not ask for the usage of its stream: it is read and not shown */
export function collectorFor(endpoint: Endpoint, head: ResponseHead, hidesUsage: boolean): Collector {
  if (isEncoded(head.contentEncoding)) return new OpaqueCollector();
  if (head.isStream && endpoint.joiner !== null) return new StreamCollector(endpoint.joiner(MAX_COLLECTED), hidesUsage);
  return endpoint.answersInText || head.status < 200 || head.status >= 300 ? new JsonCollector() : new UsageCollector();
}
