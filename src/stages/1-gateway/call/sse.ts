import { StringDecoder } from "node:string_decoder";

/** Longest line kept, in characters: an endless line must not fill memory. */
const MAX_LINE = 8 * 1024 * 1024;

/**
 * Reads server-sent events out of a byte stream that may be cut anywhere: within a UTF-8 sequence, a line, or between CR and LF.
 *
 * @see WHATWG HTML, section 9.2.6, "Interpreting an event stream"
 */
export class SseReader {
  readonly #decoder = new StringDecoder("utf8");
  readonly #onData: (data: string) => void;
  #rest = "";
  #lines: string[] = [];

  /** @param onData gets the data of each event: its `data` lines joined by newlines */
  constructor(onData: (data: string) => void) {
    this.#onData = onData;
  }

  push(chunk: Buffer): void {
    this.#take(this.#decoder.write(chunk), false);
  }

  /** The stream has ended. An event that its last blank line is missing from is delivered all the same: upstreams end like that. */
  end(): void {
    this.#take(this.#decoder.end(), true);
    if (this.#rest !== "") this.#line(this.#rest);
    this.#rest = "";
    this.#dispatch();
  }

  #take(text: string, isLast: boolean): void {
    let buffer = this.#rest + text;
    let from = 0;
    for (;;) {
      const lf = buffer.indexOf("\n", from);
      const cr = buffer.indexOf("\r", from);
      const end = lf < 0 ? cr : cr < 0 ? lf : Math.min(lf, cr);
      // A CR at the very end may be the first half of CR LF.
      if (end < 0 || (end === buffer.length - 1 && end === cr && !isLast)) break;
      this.#line(buffer.slice(from, end));
      from = end + (buffer.startsWith("\r\n", end) ? 2 : 1);
    }
    buffer = buffer.slice(from);
    this.#rest = buffer.length > MAX_LINE ? "" : buffer;
  }

  #line(line: string): void {
    if (line === "") this.#dispatch();
    else if (line.startsWith("data:")) this.#lines.push(line.slice(line.charAt(5) === " " ? 6 : 5));
    else if (line === "data") this.#lines.push("");
  }

  #dispatch(): void {
    if (this.#lines.length === 0) return;
    const data = this.#lines.length === 1 ? (this.#lines[0] ?? "") : this.#lines.join("\n");
    this.#lines = [];
    this.#onData(data);
  }
}
