/**
 * How much of all running answers together is kept for the log. One long answer is bounded by itself; hundreds at once would still exhaust memory. What
 * finds no room is passed on all the same and not kept: its record is cut, and counted so.
 */
export class AnswerMemory {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes, or characters of joined text, that are kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns false when that would be too much: nothing is taken then */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}
