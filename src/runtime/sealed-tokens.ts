import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomFillSync } from "node:crypto";

const FORMAT = 1;
const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES;
const LEAST_BYTES = HEAD_BYTES + NONCE_BYTES + TAG_BYTES;

/** `unknown_key`: sealed under a key that is not among those given. `broken`: cut, changed, or made by somebody else. */
export type Opened =
  | { readonly kind: "opened"; readonly bytes: Uint8Array }
  | { readonly kind: "refused"; readonly why: "malformed" | "unknown_key" | "broken" };

interface Key {
  readonly id: Buffer;
  /** As bytes, each use would cost five times as much. */
  readonly secret: KeyObject;
}

function keyOf(secret: string): Key {
  // Another use of the same secret gets unrelated keys.
  const derived = Buffer.from(hkdfSync("sha256", secret, "", "headgate outcome token 1", KEY_BYTES + KEY_ID_BYTES));
  return { secret: createSecretKey(derived.subarray(0, KEY_BYTES)), id: derived.subarray(KEY_BYTES) };
}

/**
 * Seals bytes into text that only a holder of the key can read, and nobody else can make: AES-256-GCM under keys derived by HKDF-SHA256.
 *
 * As bytes: format (1), key id (4), nonce (12, random), what was sealed, tag (16); format and key id are authenticated too. The text is base64url of it. The
 * chance that two nonces under one key are ever equal is below one in a million up to 2^38 tokens: rotate the key before.
 */
export class SealedTokens {
  readonly #keys: readonly Key[];
  readonly #nonces = Buffer.alloc(NONCE_BYTES * 256);
  #used = this.#nonces.length;

  /**
   * @param secrets the first one seals, all of them open
   * @throws {RangeError} when there is none
   */
  constructor(secrets: readonly string[]) {
    if (secrets.length === 0) throw new RangeError("sealing needs a key");
    this.#keys = secrets.map(keyOf);
  }

  seal(bytes: Uint8Array): string {
    const { id, secret } = this.#keys[0] as Key;
    const sealed = Buffer.allocUnsafe(LEAST_BYTES + bytes.length);
    sealed[0] = FORMAT;
    id.copy(sealed, 1);
    this.#nonce().copy(sealed, HEAD_BYTES);
    const cipher = createCipheriv(CIPHER, secret, sealed.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES), { authTagLength: TAG_BYTES });
    cipher.setAAD(sealed.subarray(0, HEAD_BYTES));
    cipher.update(bytes).copy(sealed, HEAD_BYTES + NONCE_BYTES);
    cipher.final();
    cipher.getAuthTag().copy(sealed, sealed.length - TAG_BYTES);
    return sealed.toString("base64url");
  }

  /** Never throws: whatever comes from outside is either opened or refused. */
  open(text: string): Opened {
    const sealed = /^[A-Za-z0-9_-]+$/.test(text) ? Buffer.from(text, "base64url") : null;
    if (sealed === null || sealed.length < LEAST_BYTES || sealed[0] !== FORMAT) return { kind: "refused", why: "malformed" };
    const id = sealed.subarray(1, HEAD_BYTES);
    const key = this.#keys.find((each) => each.id.equals(id));
    if (key === undefined) return { kind: "refused", why: "unknown_key" };
    const decipher = createDecipheriv(CIPHER, key.secret, sealed.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(sealed.subarray(0, HEAD_BYTES));
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    try {
      const bytes = decipher.update(sealed.subarray(HEAD_BYTES + NONCE_BYTES, sealed.length - TAG_BYTES));
      decipher.final();
      return { kind: "opened", bytes };
    } catch {
      return { kind: "refused", why: "broken" };
    }
  }

  #nonce(): Buffer {
    if (this.#used >= this.#nonces.length) {
      randomFillSync(this.#nonces);
      this.#used = 0;
    }
    this.#used += NONCE_BYTES;
    return this.#nonces.subarray(this.#used - NONCE_BYTES, this.#used);
  }
}
