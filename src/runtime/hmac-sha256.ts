import { hash } from "node:crypto";

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;

/**
 * HMAC-SHA256 (RFC 2104) by two whole hashes. An object of Node's for each text costs several times as much as the hashing, most of it when it is collected.
 */
export class HmacSha256 {
  /** The padded key of the inner hash, and room for the text. */
  #inner: Buffer;
  /** The padded key of the outer hash, and the inner digest. */
  readonly #outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES);

  /** @param key of at most 64 bytes, as is usual: longer ones would have to be hashed first */
  constructor(key: Uint8Array) {
    if (key.length > BLOCK_BYTES) throw new RangeError("a key of HMAC-SHA256 has at most 64 bytes here");
    this.#inner = Buffer.alloc(BLOCK_BYTES + 1_024);
    for (let i = 0; i < BLOCK_BYTES; i++) {
      this.#inner[i] = (key[i] ?? 0) ^ 0x36;
      this.#outer[i] = (key[i] ?? 0) ^ 0x5c;
    }
  }

  /** @returns the 32 bytes of the digest, one to a character */
  of(bytes: Uint8Array): string {
    if (BLOCK_BYTES + bytes.length > this.#inner.length) {
      const larger = Buffer.alloc(2 * (BLOCK_BYTES + bytes.length));
      this.#inner.copy(larger, 0, 0, BLOCK_BYTES);
      this.#inner = larger;
    }
    this.#inner.set(bytes, BLOCK_BYTES);
    const digest = hash("sha256", this.#inner.subarray(0, BLOCK_BYTES + bytes.length), "binary");
    this.#outer.write(digest, BLOCK_BYTES, "latin1");
    return hash("sha256", this.#outer, "binary");
  }
}
