import { StringDecoder } from "node:string_decoder";

/** Longest line kept, in characters: an endless line must not fill memory. */
const MAX_LINE = 32 * 1024 * 1024;

/**
 * What a stream consists of: the data of an event (its `data` lines joined by newlines; null for blocks without data: comments, lone fields)
 * and its text as it came, the blank line included. The text is empty unless it was asked for.
 */
export type OnEvent = (data: string | null, text: string) => void;

/** The smaller of two positions; -1 is none. */
const firstOf = (a: number, b: number): number => (a < 0 || b < 0 ? Math.max(a, b) : Math.min(a, b));

/**
 * Reads server-sent events out of a byte stream that may be cut anywhere: within a UTF-8 sequence, a line, or between CR and LF.
 *
 * @see WHATWG HTML, section 9.2.6, "Interpreting an event stream"
 */
export class SseReader {
  readonly #decoder = new StringDecoder("utf8");
  readonly #onEvent: OnEvent;
  readonly #keepsText: boolean;
  #rest = "";
  #lines: string[] = [];
  #text = "";
  #overflowed = false;

  /** @param keepsText whether `onEvent` gets the text of events; it is kept in memory until the event is complete */
  constructor(onEvent: OnEvent, keepsText = false) {
    this.#onEvent = onEvent;
    this.#keepsText = keepsText;
  }

  /** Whether a line was too long to be kept: events are missing. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  push(chunk: Buffer): void {
    this.#take(this.#decoder.write(chunk), false);
  }

  /** The stream has ended. An event that its last blank line is missing from is delivered all the same: upstreams end like that. */
  end(): void {
    this.#take(this.#decoder.end(), true);
    if (this.#rest !== "") this.#line(this.#rest, this.#rest);
    this.#rest = "";
    this.#dispatch();
  }

  #take(text: string, isLast: boolean): void {
    const buffer = this.#rest + text;
    let from = 0;
    // What is left over of the text before holds no end of a line, but for a CR at its end.
    let lf = buffer.indexOf("\n", this.#rest.length);
    let cr = buffer.indexOf("\r", Math.max(0, this.#rest.length - 1));
    for (;;) {
      if (lf >= 0 && lf < from) lf = buffer.indexOf("\n", from);
      if (cr >= 0 && cr < from) cr = buffer.indexOf("\r", from);
      const end = firstOf(lf, cr);
      // A CR at the very end may be the first half of CR LF.
      if (end < 0 || (end === buffer.length - 1 && end === cr && !isLast)) break;
      const next = end + (end === cr && lf === end + 1 ? 2 : 1);
      this.#line(buffer.slice(from, end), this.#keepsText ? buffer.slice(from, next) : "");
      from = next;
    }
    this.#rest = from === 0 ? buffer : buffer.slice(from);
    if (this.#rest.length > MAX_LINE) this.#overflow();
  }

  #overflow(): void {
    this.#overflowed = true;
    if (this.#keepsText) this.#text += this.#rest;
    this.#rest = "";
    this.#flushText();
  }

  #line(line: string, text: string): void {
    if (this.#keepsText) this.#text += text;
    if (line === "") this.#dispatch();
    else if (line.startsWith("data:")) this.#lines.push(line.slice(line.charAt(5) === " " ? 6 : 5));
    else if (line === "data") this.#lines.push("");
  }

  #dispatch(): void {
    if (this.#lines.length === 0) {
      this.#flushText();
      return;
    }
    const data = this.#lines.length === 1 ? (this.#lines[0] ?? "") : this.#lines.join("\n");
    const text = this.#text;
    this.#lines = [];
    this.#text = "";
    this.#onEvent(data, text);
  }

  /** Passes on what belongs to no event. */
  #flushText(): void {
    if (this.#text === "") return;
    const text = this.#text;
    this.#text = "";
    this.#onEvent(null, text);
  }
}
