import type { IncomingHttpHeaders } from "node:http";
import type { Sink } from "./exchange.ts";

/** Longest answer of a failed attempt that is held back, bytes; a longer one is passed on, and is then the answer. */
const MOST_HELD = 1024 * 1024;

/**
 * Holds back what may still be replaced by another attempt: the answer of a failed one, and on wish the head of a good one until its first byte. What is
 * released has been shown to the caller, who can then get no other answer.
 */
export class HoldingSink implements Sink {
  readonly #to: Sink;
  #head: { readonly status: number; readonly headers: IncomingHttpHeaders; readonly isStream: boolean } | null = null;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isEnded = false;
  #isShown = false;

  readonly #holdsGoodHead: boolean;

  /** @param holdsGoodHead whether a call that breaks between a good head and its first byte may get another answer; else the head goes on at once */
  constructor(to: Sink, holdsGoodHead: boolean) {
    this.#to = to;
    this.#holdsGoodHead = holdsGoodHead;
  }

  /** Whether the caller has seen anything of an answer. */
  get isShown(): boolean {
    return this.#isShown;
  }

  get status(): number {
    return this.#head?.status ?? 0;
  }

  /** Headers of the answer that is held back; empty when there is none. */
  get headers(): IncomingHttpHeaders {
    return this.#head?.headers ?? {};
  }

  get #isGood(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  head(status: number, headers: IncomingHttpHeaders, isStream: boolean): void {
    this.#head = { status, headers, isStream };
    if (this.#isGood && !this.#holdsGoodHead) this.#show();
  }

  write(chunk: Buffer): Promise<void> | undefined {
    if (!this.#isShown && !this.#isGood) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      return this.#heldBytes > MOST_HELD ? this.release() : undefined;
    }
    this.#show();
    return this.#to.write(chunk);
  }

  end(): void {
    this.#isEnded = true;
    if (!this.#isShown && !this.#isGood) return;
    this.#show();
    this.#to.end();
  }

  cutShort(): boolean {
    if (this.#head === null || this.#isShown || this.#isGood) return false;
    // It was the length of the whole.
    delete this.#head.headers["content-length"];
    this.#isEnded = true;
    return true;
  }

  /** Passes on what is held: it is the answer. Does nothing when there is none. */
  release(): Promise<void> | undefined {
    if (this.#head === null || this.#isShown) return undefined;
    this.#show();
    let slow: Promise<void> | undefined;
    for (const chunk of this.#held) slow = this.#to.write(chunk) ?? slow;
    this.#held = [];
    if (this.#isEnded) this.#to.end();
    return slow;
  }

  /** Forgets what is held: another attempt takes its place. */
  discard(): void {
    this.#head = null;
    this.#held = [];
    this.#heldBytes = 0;
    this.#isEnded = false;
  }

  #show(): void {
    if (this.#isShown || this.#head === null) return;
    this.#isShown = true;
    this.#to.head(this.#head.status, this.#head.headers, this.#head.isStream);
  }
}
