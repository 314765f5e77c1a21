import type { IncomingHttpHeaders } from "node:http";
import type { Sink } from "./exchange.ts";
import type { Mirroring } from "./mirror.ts";

/**
 * Passes an answer on and begins the call's mirror behind its first byte: that of a stream is in its head; of a plain answer one chunk is held back by the
 * caller's sink, so that bytes go out with the second or with the end.
 */
export class MirroredSink implements Sink {
  readonly #to: Sink;
  readonly #mirroring: Mirroring;
  #chunks = 0;

  constructor(to: Sink, mirroring: Mirroring) {
    this.#to = to;
    this.#mirroring = mirroring;
  }

  head(status: number, headers: IncomingHttpHeaders, isStream: boolean): void {
    this.#to.head(status, headers, isStream);
    if (isStream) this.#mirroring.begin();
  }

  write(chunk: Buffer): Promise<void> | undefined {
    const slow = this.#to.write(chunk);
    if (++this.#chunks === 2) this.#mirroring.begin();
    return slow;
  }

  end(): void {
    this.#to.end();
    this.#mirroring.begin();
  }
}
