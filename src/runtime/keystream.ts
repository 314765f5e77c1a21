import { type Cipheriv, createCipheriv, type KeyObject, randomFillSync } from "node:crypto";

const CIPHER = "aes-256-ctr";
const BLOCK_BYTES = 16;
/** An initial counter block: the prefix of a stream, random, then the number of the block, big-endian. */
export const IV_BYTES = BLOCK_BYTES;
const PREFIX_BYTES = 12;
const MOST_BLOCKS = 2 ** 32;
/** Made at once: a cipher costs much more to make and to ask than what it does for some hundred bytes. */
const POOL_BYTES = 64 * 1024;

/**
 * AES-256 in counter mode (NIST SP 800-38A, 6.5) for many short texts: each takes blocks of one long stream that no other takes, and tells with which counter
 * they begin. A stream has a random prefix of 96 bits and at most 2^32 blocks; then another one begins. That two streams under one key ever have the same prefix has a chance
 * below one in a million for up to 2^38 streams.
 */
export class Keystream {
  readonly #key: KeyObject;
  readonly #mostBlocks: number;
  readonly #zeros = Buffer.alloc(POOL_BYTES);
  #iv: Buffer = Buffer.alloc(IV_BYTES);
  #cipher: Cipheriv | null = null;
  #pool: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** Number of the next block. */
  #block: number;

  /** @param key of 256 bits */
  constructor(key: KeyObject, mostBlocks = MOST_BLOCKS) {
    this.#key = key;
    this.#mostBlocks = mostBlocks;
    this.#block = mostBlocks;
  }

  /**
   * Encrypts a text in place, and writes the counter that it needs to be read again in front of it.
   *
   * @param from where the counter goes; the text is what follows it, up to `end`
   */
  encrypt(bytes: Uint8Array, from: number, end: number): void {
    // An empty text takes one too: no two have the same counter.
    const blocks = Math.max(1, Math.ceil((end - from - IV_BYTES) / BLOCK_BYTES));
    const length = blocks * BLOCK_BYTES;
    if (this.#cipher === null || this.#block + blocks > this.#mostBlocks) this.#begin();
    if (this.#at + length > this.#pool.length) this.#fill(length);
    this.#iv.writeUInt32BE(this.#block, PREFIX_BYTES);
    bytes.set(this.#iv, from);
    const text = from + IV_BYTES;
    for (let i = text; i < end; i++) bytes[i] = (bytes[i] ?? 0) ^ (this.#pool[this.#at + i - text] ?? 0);
    // Last and together: whatever failed before has taken no block, or counter and stream would be out of step for all texts after it.
    this.#block += blocks;
    this.#at += length;
  }

  #begin(): void {
    const iv = Buffer.alloc(IV_BYTES);
    randomFillSync(iv, 0, PREFIX_BYTES);
    this.#cipher = createCipheriv(CIPHER, this.#key, iv);
    this.#iv = iv;
    this.#block = 0;
    this.#pool = new Uint8Array(0);
    this.#at = 0;
  }

  /** What is left of the stream so far comes first. A stream of which something was taken that did not get here is not gone on with. */
  #fill(least: number): void {
    const cipher = this.#cipher;
    if (cipher === null) throw new Error("no stream was begun");
    this.#cipher = null;
    const left = this.#pool.subarray(this.#at);
    const more = cipher.update(least <= POOL_BYTES ? this.#zeros : Buffer.alloc(least));
    this.#pool = left.length === 0 ? more : Buffer.concat([left, more]);
    this.#at = 0;
    this.#cipher = cipher;
  }
}
