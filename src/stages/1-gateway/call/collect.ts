import { isJsonObject } from "../../../domain/routing/merge-parameters.ts";
import { ChunkJoiner } from "./join-chunks.ts";
import { SseReader } from "./sse.ts";
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
  finish(): Collected;
}

/** Longest answer kept for the log, in bytes; the rest still goes to the caller. */
export const MAX_COLLECTED = 8 * 1024 * 1024;

class JsonCollector implements Collector {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): boolean {
    this.#size += chunk.length;
    if (this.#size <= MAX_COLLECTED) this.#chunks.push(chunk);
    return false;
  }

  finish(): Collected {
    const body = Buffer.concat(this.#chunks).toString("utf8");
    if (this.#size > MAX_COLLECTED) return { ...noAnswer, body, isCut: true, errorType: "" };
    try {
      const value: unknown = JSON.parse(body);
      return { ...(isJsonObject(value) ? answerOf(value) : noAnswer), body, isCut: false, errorType: "" };
    } catch {
      return { ...noAnswer, body: body === "" ? null : body, isCut: false, errorType: "invalid_json" };
    }
  }
}

class StreamCollector implements Collector {
  readonly #joiner = new ChunkJoiner(MAX_COLLECTED);
  readonly #reader = new SseReader((data) => this.#joiner.push(data));

  push(chunk: Buffer): boolean {
    this.#reader.push(chunk);
    return this.#joiner.hasContent;
  }

  finish(): Collected {
    this.#reader.end();
    const completion = this.#joiner.completion();
    const error = this.#joiner.error;
    const errorType = error !== null ? errorTypeOf(error) : this.#joiner.isComplete ? "" : "incomplete_stream";
    const body = completion === null ? null : JSON.stringify(completion);
    return { ...(completion === null ? noAnswer : answerOf(completion)), body, isCut: this.#joiner.isCut, errorType };
  }
}

/** A body in an encoding that was not asked for goes to the caller unread. */
class OpaqueCollector implements Collector {
  push(): boolean {
    return false;
  }
  finish(): Collected {
    return { ...noAnswer, body: null, isCut: true, errorType: "" };
  }
}

function errorTypeOf(error: { readonly [key: string]: unknown }): string {
  for (const value of [error.code, error.type]) if (typeof value === "string" && /^[\w.-]{1,64}$/.test(value)) return value;
  return "stream_error";
}

export function collectorFor(contentType: string, contentEncoding: string): Collector {
  if (contentEncoding !== "" && contentEncoding !== "identity") return new OpaqueCollector();
  return contentType.startsWith("text/event-stream") ? new StreamCollector() : new JsonCollector();
}
