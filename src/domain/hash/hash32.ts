const encoder = new TextEncoder();
const rotl = (x: number, r: number) => (x << r) | (x >>> (32 - r));
const mixBlock = (k: number) => Math.imul(rotl(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593);

/**
 * MurmurHash3 x86 32-bit of the UTF-8 bytes of a text: what decides arms, samples and subject buckets. Chosen because
 * every language has it, so that a foreign gateway can assign alike.
 *
 * @param seed separates uses: equal texts under different seeds are unrelated
 * @returns unsigned 32-bit integer
 * @see Appleby, MurmurHash3 (public domain); flagd uses the same function for fractional targeting
 */
export function hash32(text: string, seed = 0): number {
  const length = text.length;
  const tail = length & ~3;
  let h = seed | 0;
  // Most texts are plain ASCII, and are their own bytes.
  let all = 0;
  for (let i = 0; i < tail; i += 4) {
    const a = text.charCodeAt(i);
    const b = text.charCodeAt(i + 1);
    const c = text.charCodeAt(i + 2);
    const d = text.charCodeAt(i + 3);
    all |= a | b | c | d;
    h = (Math.imul(rotl(h ^ mixBlock(a | (b << 8) | (c << 16) | (d << 24)), 13), 5) + 0xe6546b64) | 0;
  }
  let k = 0;
  for (let i = length - 1; i >= tail; i--) {
    const byte = text.charCodeAt(i);
    all |= byte;
    k = (k << 8) | byte;
  }
  if (all > 0x7f) return hashBytes(encoder.encode(text), seed);
  return finish((tail < length ? h ^ mixBlock(k) : h) ^ length);
}

/** The same of bytes: texts that are not plain ASCII. */
function hashBytes(bytes: Uint8Array, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tail = bytes.length & ~3;
  let h = seed | 0;
  for (let i = 0; i < tail; i += 4) h = (Math.imul(rotl(h ^ mixBlock(view.getInt32(i, true)), 13), 5) + 0xe6546b64) | 0;
  let k = 0;
  for (let i = bytes.length - 1; i >= tail; i--) k = (k << 8) | (bytes[i] ?? 0);
  if (tail < bytes.length) h ^= mixBlock(k);
  return finish(h ^ bytes.length);
}

function finish(mixed: number): number {
  let h = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
