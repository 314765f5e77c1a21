import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { callerHeaders } from "../http/headers.ts";
import type { Sink } from "./exchange.ts";

/** Answers up to this many bytes are joined to their head; of longer ones the copy would cost more than it saves. */
const MOST_JOINED = 16 * 1024;

/** Passes an upstream's response on. What was held back of a plain answer goes out together with its end: one packet instead of two. */
export class CallerSink implements Sink {
  readonly #response: ServerResponse;
  readonly #own: Readonly<Record<string, string>>;
  readonly #idleMs: number;
  #held: Buffer | null = null;
  #isStream = false;

  /** @param idleMs how long the caller may take nothing of its answer */
  constructor(response: ServerResponse, own: Readonly<Record<string, string>>, idleMs: number) {
    this.#response = response;
    this.#own = own;
    this.#idleMs = idleMs;
  }

  head(status: number, headers: IncomingHttpHeaders, isStream: boolean): void {
    this.#isStream = isStream;
    this.#response.writeHead(status, callerHeaders(headers, this.#own));
    if (isStream) this.#response.flushHeaders();
  }

  write(chunk: Buffer): Promise<void> | undefined {
    const next = this.#isStream ? chunk : this.#held;
    if (!this.#isStream) this.#held = chunk;
    // A caller that is gone takes nothing, and nothing will ever tell that it does: its chunk is done with.
    if (next === null || this.#response.write(next) || this.#response.closed) return undefined;
    return new Promise((resolve) => {
      // Its connection is its own problem; closing it ends the call.
      const timer = setTimeout(() => this.#response.destroy(), this.#idleMs);
      const done = () => {
        clearTimeout(timer);
        this.#response.off("drain", done);
        this.#response.off("close", done);
        resolve();
      };
      this.#response.once("drain", done);
      this.#response.once("close", done);
    });
  }

  end(): void {
    const held = this.#held;
    if (held === null) this.#response.end();
    // As text of one byte a character a short answer is joined to its head and written as one piece.
    else if (held.length <= MOST_JOINED) this.#response.end(held.toString("latin1"), "latin1");
    else this.#response.end(held);
  }
}
