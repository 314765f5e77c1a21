import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeToken, encodeToken, type TokenCall } from "../../../../src/domain/outcomes/token.ts";

const hex = (length: number) => fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
const count = fc.integer({ min: 0, max: 2 ** 52 });
const name = fc.string({ unit: "grapheme", maxLength: 40 });
const calls: fc.Arbitrary<TokenCall> = fc.record(
  {
    requestId: fc.uuid(),
    subject: hex(32),
    route: name,
    rollout: name,
    attempt: count,
    step: fc.integer({ min: -1, max: 100 }),
    epoch: count,
    arm: fc.constantFrom("none", "baseline", "candidate", "holdback"),
    version: fc.string({ unit: "grapheme-ascii", maxLength: 128 }),
    exposure: fc.constantFrom("served", "shadow"),
    slices: fc.array(name, { maxLength: 16 }),
    startedAtMs: count,
    paneMs: count,
  },
  { noNullPrototype: true },
);

describe("what an outcome token holds", () => {
  it("comes back as it was put in, whatever the names and numbers", () => {
    fc.assert(fc.property(calls, (call) => assert.deepEqual(decodeToken(encodeToken(call)), call)));
  });

  it("is as long for every arm and version, in whole blocks", () => {
    const sides = fc.record({ arm: calls.map(({ arm }) => arm), version: calls.map(({ version }) => version), step: fc.constant(3) });
    fc.assert(
      fc.property(calls, sides, sides, (call, one, other) => {
        const lengths = [one, other].map((side) => encodeToken({ ...call, ...side }).length);
        assert.equal(lengths[0], lengths[1]);
        assert.equal((lengths[0] ?? 1) % 64, 0);
      }),
    );
  });

  it("of a usual call fits four blocks, and a name longer than a spec allows is still carried", () => {
    const usual: TokenCall = {
      requestId: "0195f3a0-7c1e-7abc-8def-0123456789ab",
      subject: "ab".repeat(16),
      route: "support-answer",
      rollout: "support-answer/gpt-b@2026-11",
      attempt: 2,
      step: 3,
      epoch: 1_796_000_000_000,
      arm: "candidate",
      version: "gpt-b@2026-11",
      exposure: "served",
      slices: ["context=long"],
      startedAtMs: 1_796_000_000_123,
      paneMs: 60_000,
    };
    assert.equal(encodeToken(usual).length, 256);
    const long = { ...usual, version: "v".repeat(300) };
    assert.deepEqual(decodeToken(encodeToken(long)), long);
  });

  it("is refused when bytes are cut off, of another layout or not of a token at all", () => {
    fc.assert(
      fc.property(calls, fc.uint8Array({ maxLength: 80 }), (call, noise) => {
        const bytes = encodeToken(call);
        assert.equal(decodeToken(bytes.subarray(0, 40)), null);
        assert.equal(decodeToken(Uint8Array.from([2, ...bytes.subarray(1)])), null);
        assert.doesNotThrow(() => decodeToken(Uint8Array.from([1, ...noise])));
      }),
    );
  });

  it("has no place for ids that are not 32 hex digits", () => {
    assert.throws(
      () => encodeToken({ ...fc.sample(calls, 1)[0], subject: "someone@example.com" } as TokenCall),
      /subject of an outcome token must be 32 hex digits/,
    );
  });
});
