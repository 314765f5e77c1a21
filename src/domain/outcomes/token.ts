import type { Request } from "../../../topics/index.ts";

/**
 * What an outcome token says of the call that it was given with: everything that a later outcome must be counted under, so that
 * nothing has to be looked up. The caller keeps it sealed (`src/runtime/sealed-tokens.ts`).
 */
export type TokenCall = Pick<
  Request,
  "requestId" | "route" | "rollout" | "attempt" | "step" | "epoch" | "arm" | "version" | "exposure" | "subject" | "slices" | "startedAtMs" | "paneMs"
>;

const LAYOUT = 1;
/** A sealed token is as long as its text is: lengths are multiples of this, bytes. */
const BLOCK_BYTES = 64;
/**
 * The version is the one field that differs in length between arms. It always takes as much room as the longest name that a spec may give, or
 * the length of a token would tell the arm.
 */
const VERSION_BYTES = 128;
const ID_BYTES = 16;
const UUID_HYPHENS = [8, 12, 16, 20];

/** Their places are part of the layout: append only. */
const arms = ["none", "baseline", "candidate", "holdback"] as const satisfies readonly Request["arm"][];
const exposures = ["served", "shadow"] as const satisfies readonly Request["exposure"][];

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes that a letter of UTF-16 takes in UTF-8 at most. */
const MOST_PER_LETTER = 3;
const INTEGER_BYTES = 8;
const digitOf = (text: string, at: number): number => {
  const code = text.charCodeAt(at);
  return code <= 57 ? code - 48 : code - 87;
};

/** Writes into memory that is used again for the next token: one is made for each call. */
class Writer {
  #bytes = new Uint8Array(1_024);
  length = 0;

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.length + more));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.length++] = value;
  }

  /** A whole number from 0 to 2^53 in groups of seven bits, the lowest first. */
  integer(value: number): void {
    this.#room(INTEGER_BYTES);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.length++] = rest;
  }

  /** The length in bytes, then the bytes. */
  text(value: string): void {
    this.#room(MOST_PER_LETTER * value.length + INTEGER_BYTES);
    // Most names are short and plain ASCII, and are their own bytes.
    if (value.length < 128 && this.#ascii(value)) return;
    const bytes = encoder.encode(value);
    this.integer(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** @returns false when it is not ASCII: then nothing is written */
  #ascii(value: string): boolean {
    const from = this.length + 1;
    for (let at = 0; at < value.length; at++) {
      const code = value.charCodeAt(at);
      if (code > 127) return false;
      this.#bytes[from + at] = code;
    }
    this.#bytes[this.length] = value.length;
    this.length = from + value.length;
    return true;
  }

  /** 32 lower-case hex digits, hyphens left out. */
  id(text: string): void {
    this.#room(ID_BYTES);
    for (let at = 0; at < text.length; ) {
      if (text[at] === "-") {
        at++;
        continue;
      }
      this.#bytes[this.length++] = (digitOf(text, at) << 4) | digitOf(text, at + 1);
      at += 2;
    }
  }

  start(): void {
    this.length = 0;
  }

  /** The bytes so far, with zeros up to a length: as they are until the next start. */
  padded(length: number): Uint8Array {
    this.#room(length - this.length);
    this.#bytes.fill(0, this.length, length);
    return this.#bytes.subarray(0, length);
  }
}

const writer = new Writer();
const ids = { requestId: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, subject: /^[0-9a-f]{32}$/ } as const;

/**
 * The call as bytes. How many they are depends on route, rollout and slices, never on arm or version (of up to 128 bytes).
 *
 * @returns memory that is used again: to be sealed or copied before the next call of this
 * @throws {RangeError} when an id is not 32 hex digits, or an enum holds what this layout has no place for
 */
export function encodeToken(call: TokenCall): Uint8Array {
  const arm = (arms as readonly string[]).indexOf(call.arm);
  const exposure = (exposures as readonly string[]).indexOf(call.exposure);
  if (arm < 0 || exposure < 0) throw new RangeError(`an outcome token has no place for arm ${call.arm} and exposure ${call.exposure}`);
  const to = writer;
  to.start();
  to.byte(LAYOUT);
  to.byte(arm * exposures.length + exposure);
  for (const name of ["requestId", "subject"] as const) {
    if (!ids[name].test(call[name])) throw new RangeError(`${name} of an outcome token must be ${name === "subject" ? "32 hex digits" : "a UUID"}`);
    to.id(call[name]);
  }
  for (const number of [call.startedAtMs, call.paneMs, call.epoch, call.attempt, call.step + 1]) to.integer(number);
  to.text(call.route);
  to.text(call.rollout);
  to.integer(call.slices.length);
  for (const slice of call.slices) to.text(slice);
  const fixed = to.length;
  to.text(call.version);
  const room = Math.max(fixed + 2 + VERSION_BYTES, to.length);
  return to.padded(Math.ceil(room / BLOCK_BYTES) * BLOCK_BYTES);
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  #take(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) throw new RangeError("it ends too early");
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }

  byte(): number {
    return this.#take(1)[0] ?? 0;
  }

  integer(): number {
    let value = 0;
    for (let unit = 1; unit <= Number.MAX_SAFE_INTEGER; unit *= 128) {
      const byte = this.byte();
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
    throw new RangeError("a number in it is too large");
  }

  text(): string {
    return decoder.decode(this.#take(this.integer()));
  }

  hex(): string {
    return [...this.#take(ID_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

const uuidOf = (digits: string): string => [0, ...UUID_HYPHENS].map((from, i) => digits.slice(from, UUID_HYPHENS[i])).join("-");

/** @returns null when the bytes are not of a layout that this version knows */
export function decodeToken(bytes: Uint8Array): TokenCall | null {
  const from = new Reader(bytes);
  try {
    if (from.byte() !== LAYOUT) return null;
    const flags = from.byte();
    const arm = arms[Math.floor(flags / exposures.length)];
    const exposure = exposures[flags % exposures.length];
    if (arm === undefined || exposure === undefined) return null;
    const requestId = uuidOf(from.hex());
    const subject = from.hex();
    const [startedAtMs, paneMs, epoch, attempt, step] = [from.integer(), from.integer(), from.integer(), from.integer(), from.integer() - 1];
    const [route, rollout] = [from.text(), from.text()];
    const slices = Array.from({ length: Math.min(from.integer(), bytes.length) }, () => from.text());
    return { requestId, route, rollout, attempt, step, epoch, arm, version: from.text(), exposure, subject, slices, startedAtMs, paneMs };
  } catch {
    // What was sealed by a newer version, or by something else under the same key.
    return null;
  }
}
