import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hash32 } from "../../../../src/domain/hash/hash32.ts";

const rotl = (x: number, r: number) => ((x << r) | (x >>> (32 - r))) >>> 0;

/** MurmurHash3 x86 32-bit as its reference describes it, byte by byte, in exact arithmetic. */
function reference(bytes: Uint8Array, seed: number): number {
  const times = (a: number, b: number) => Number((BigInt(a >>> 0) * BigInt(b >>> 0)) & 0xffff_ffffn);
  const mixed = (k: number) => times(rotl(times(k, 0xcc9e_2d51), 15), 0x1b87_3593);
  const whole = bytes.length - (bytes.length % 4);
  let h = seed >>> 0;
  for (let i = 0; i < whole; i += 4) {
    const k = ((bytes[i] ?? 0) + (bytes[i + 1] ?? 0) * 2 ** 8 + (bytes[i + 2] ?? 0) * 2 ** 16 + (bytes[i + 3] ?? 0) * 2 ** 24) >>> 0;
    h = (times(rotl((h ^ mixed(k)) >>> 0, 13), 5) + 0xe654_6b64) >>> 0;
  }
  const rest = [...bytes.slice(whole)].reduce((sum, byte, i) => sum + byte * 2 ** (8 * i), 0);
  if (rest > 0 || whole < bytes.length) h = (h ^ mixed(rest)) >>> 0;
  h = (h ^ bytes.length) >>> 0;
  h = times(h ^ (h >>> 16), 0x85eb_ca6b);
  h = times(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

describe("the hash of texts", () => {
  it("is MurmurHash3 x86 32-bit by its published vectors", () => {
    const vectors: [string, number, number][] = [
      ["", 0, 0],
      ["", 1, 0x514e_28b7],
      ["a", 0x9747_b28c, 0x7fa0_9ea6],
      ["aaaa", 0x9747_b28c, 0x5a97_808a],
      ["Hello, world!", 0x9747_b28c, 0x2488_4cba],
      ["ππππππππ", 0x9747_b28c, 0xd580_63c1],
      ["The quick brown fox jumps over the lazy dog", 0x9747_b28c, 0x2fa8_26cd],
    ];
    for (const [text, seed, hash] of vectors) assert.equal(hash32(text, seed), hash, text);
  });

  it("is the hash of the UTF-8 bytes, whether all of them are ASCII or some are not", () => {
    const text = fc.oneof(fc.string({ unit: "binary-ascii", maxLength: 70 }), fc.string({ unit: "binary", maxLength: 70 }));
    fc.assert(
      fc.property(text, fc.nat(0xffff_ffff), (value, seed) => {
        assert.equal(hash32(value, seed), reference(new TextEncoder().encode(value), seed));
      }),
      { numRuns: 2_000 },
    );
  });
});
