import { createHmac } from "node:crypto";
import { Recent } from "../recent.ts";

/** Texts that are remembered, and how long one may be: at most some MiB. */
const MOST_KNOWN = 10_000;
const LONGEST_KNOWN = 128;

/**
 * HMAC-SHA256 under one key that remembers what it was asked lately: a subject comes again with each turn, and hashing it is a good part of what a
 * call costs the gateway.
 */
export class KeyedHash {
  readonly #key: string;
  readonly #known = new Recent<string>(MOST_KNOWN);

  constructor(key: string) {
    this.#key = key;
  }

  /** Texts that are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /** @returns the first 128 bits as 32 hex digits */
  of(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const hashed = this.once(text);
    if (text.length <= LONGEST_KNOWN) this.#known.set(text, hashed);
    return hashed;
  }

  /** The same for a text that will not come again: it is not remembered. */
  once(text: string): string {
    return createHmac("sha256", this.#key).update(text).digest("hex").slice(0, 32);
  }
}
