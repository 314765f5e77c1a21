import { StringDecoder } from "node:string_decoder";

/** Longest line and longest event kept, in characters: endless ones must not fill memory. */
const MOST_CHARS = 32 * 1024 * 1024;
/** The same where whoever asked for the text waits until an event is complete. */
const MOST_HELD_CHARS = 8 * 1024 * 1024;

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
  readonly #mostChars: number;
  /** The beginning of a line that has not ended: what came of it so far, put together only when it ends or there is a CR that may end it. */
  #rest: string[] = [];
  #restChars = 0;
  #lines: string[] = [];
  #text = "";
  #overflowed = false;
  /** Characters of the event that is being read. */
  #size = 0;
  /** The event that is being read was too long: what is left of it is passed over. */
  #isSkipping = false;
  /** The line that is being read was too long: what comes until its end is no line. */
  #isWithinLine = false;

  /** @param keepsText whether `onEvent` gets the text of events; it is kept in memory until the event is complete */
  constructor(onEvent: OnEvent, keepsText = false) {
    this.#onEvent = onEvent;
    this.#keepsText = keepsText;
    this.#mostChars = keepsText ? MOST_HELD_CHARS : MOST_CHARS;
  }

  /** Whether a line or an event was too long to be kept: events are missing. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  push(chunk: Buffer): void {
    this.#take(this.#decoder.write(chunk), false);
  }

  /** The stream has ended. An event that its last blank line is missing from is delivered all the same: upstreams end like that. */
  end(): void {
    this.#take(this.#decoder.end(), true);
    const rest = this.#takeRest();
    if (rest !== "") this.#line(rest, rest);
    this.#dispatch();
  }

  /** The beginning of the line as one text; it is kept no longer. */
  #takeRest(): string {
    const rest = this.#rest.length === 1 ? (this.#rest[0] ?? "") : this.#rest.join("");
    this.#rest = [];
    this.#restChars = 0;
    return rest;
  }

  #take(text: string, isLast: boolean): void {
    const isWithin = !text.includes("\n") && !text.includes("\r") && this.#rest.at(-1)?.endsWith("\r") !== true;
    if (isWithin) this.#keepRest(text);
    else this.#takeLines(text, isLast);
  }

  #takeLines(text: string, isLast: boolean): void {
    const length = this.#restChars;
    const buffer = this.#takeRest() + text;
    let from = 0;
    // What is left over of the text before holds no end of a line, but for a CR at its end.
    let lf = buffer.indexOf("\n", length);
    let cr = buffer.indexOf("\r", Math.max(0, length - 1));
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
    this.#keepRest(from === 0 ? buffer : buffer.slice(from));
  }

  #keepRest(text: string): void {
    if (text === "") return;
    this.#rest.push(text);
    this.#restChars += text.length;
    if (this.#restChars <= this.#mostChars) return;
    const rest = this.#takeRest();
    if (this.#keepsText) this.#text += rest;
    this.#isWithinLine = true;
    this.#overflow();
  }

  /** What there is of the event is not kept: it is passed on, and the rest of it as it comes. */
  #overflow(): void {
    this.#overflowed = true;
    this.#isSkipping = true;
    this.#lines = [];
    this.#flushText();
  }

  #line(line: string, text: string): void {
    if (this.#keepsText) this.#text += text;
    this.#size += line.length;
    if (this.#isWithinLine) {
      this.#isWithinLine = false;
      this.#flushText();
    } else if (line === "") this.#dispatch();
    else if (this.#isSkipping) this.#flushText();
    else if (this.#size > this.#mostChars) this.#outgrown(line);
    else if (line.startsWith("data:")) this.#lines.push(line.slice(line.charAt(5) === " " ? 6 : 5));
    else if (line === "data") this.#lines.push("");
  }

  /** Comments without end are none of an event: only they are passed on. */
  #outgrown(line: string): void {
    if (this.#lines.length > 0 || line.startsWith("data")) this.#overflow();
    else this.#flushText();
    this.#size = 0;
  }

  #dispatch(): void {
    this.#size = 0;
    this.#isSkipping = false;
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
