import { createDecipheriv, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from "node:crypto";
import { HmacSha256 } from "./hmac-sha256.ts";
import { IV_BYTES, Keystream } from "./keystream.ts";

const FORMAT = 2;
/** What begins with a byte up to this may be of another version of headgate; text that somebody took for a token hardly ever does. */
const MOST_FORMATS = 15;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
/** HMAC-SHA-256-128 (RFC 4868): the first half of the digest. */
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES;
const LEAST_BYTES = HEAD_BYTES + IV_BYTES + TAG_BYTES;

/**
 * `unknown_layout`: of another version of headgate, as it looks. `unknown_key`: sealed under a key that is not among those given. `broken`: cut, changed, or
 * made by somebody else.
 */
export type Opened =
  | { readonly kind: "opened"; readonly bytes: Uint8Array }
  | { readonly kind: "refused"; readonly why: "malformed" | "unknown_layout" | "unknown_key" | "broken" };

interface Key {
  readonly id: Buffer;
  readonly encryption: KeyObject;
  readonly authentication: HmacSha256;
}

function keyOf(secret: string): Key {
  // Another use of the same secret gets unrelated keys, and the two uses here as well.
  const derived = Buffer.from(hkdfSync("sha256", secret, "", "headgate outcome token 2", 2 * KEY_BYTES + KEY_ID_BYTES));
  return {
    encryption: createSecretKey(derived.subarray(0, KEY_BYTES)),
    authentication: new HmacSha256(derived.subarray(KEY_BYTES, 2 * KEY_BYTES)),
    id: derived.subarray(2 * KEY_BYTES),
  };
}

/**
 * Seals bytes into text that only a holder of the key can read, and nobody else can make: encrypted by AES-256 in counter mode, then authenticated, counter and
 * all, by HMAC-SHA256, under two keys derived by HKDF-SHA256 (encrypt-then-MAC: Bellare and Namprempre, 2000). One is made for each call, and Node's AES-GCM costs ten times as much
 * as this: it needs an object of OpenSSL's for each text.
 *
 * As bytes: format (1), key id (4), counter (16), what was sealed, tag (16); the tag is of all before it. The text is base64url of it.
 */
export class SealedTokens {
  readonly #keys: readonly Key[];
  readonly #keystream: Keystream;

  /**
   * @param secrets the first one seals, all of them open
   * @throws {RangeError} when there is none
   */
  constructor(secrets: readonly string[]) {
    if (secrets.length === 0) throw new RangeError("sealing needs a key");
    this.#keys = secrets.map(keyOf);
    this.#keystream = new Keystream((this.#keys[0] as Key).encryption);
  }

  seal(bytes: Uint8Array): string {
    const { id, authentication } = this.#keys[0] as Key;
    const sealed = Buffer.allocUnsafe(LEAST_BYTES + bytes.length);
    const tagAt = sealed.length - TAG_BYTES;
    sealed[0] = FORMAT;
    sealed.set(id, 1);
    sealed.set(bytes, HEAD_BYTES + IV_BYTES);
    this.#keystream.encrypt(sealed, HEAD_BYTES, tagAt);
    sealed.write(authentication.of(sealed.subarray(0, tagAt)), tagAt, TAG_BYTES, "latin1");
    return sealed.toString("base64url");
  }

  /** Never throws: whatever comes from outside is either opened or refused. */
  open(text: string): Opened {
    const sealed = Buffer.from(text, "base64url");
    // What differs in letters that mean nothing is another text: as a key it would be another call, and its outcome would count again.
    if (sealed.length < LEAST_BYTES || sealed.toString("base64url") !== text) return { kind: "refused", why: "malformed" };
    const format = sealed[0] ?? 0;
    if (format !== FORMAT) return { kind: "refused", why: format > 0 && format <= MOST_FORMATS ? "unknown_layout" : "malformed" };
    const id = sealed.subarray(1, HEAD_BYTES);
    const key = this.#keys.find((each) => each.id.equals(id));
    if (key === undefined) return { kind: "refused", why: "unknown_key" };
    const tagAt = sealed.length - TAG_BYTES;
    const tag = Buffer.from(key.authentication.of(sealed.subarray(0, tagAt)), "latin1").subarray(0, TAG_BYTES);
    if (!timingSafeEqual(tag, sealed.subarray(tagAt))) return { kind: "refused", why: "broken" };
    const decipher = createDecipheriv("aes-256-ctr", key.encryption, sealed.subarray(HEAD_BYTES, HEAD_BYTES + IV_BYTES));
    return { kind: "opened", bytes: decipher.update(sealed.subarray(HEAD_BYTES + IV_BYTES, tagAt)) };
  }
}
