import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { zstdCodec } from "../../../src/runtime/codec.ts";

it("returns the bytes that were compressed, small and large", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), fc.integer({ min: 1, max: 60 }), async (bytes, times) => {
      const buffer = Buffer.concat(Array.from({ length: times }, () => Buffer.from(bytes)));
      assert.deepEqual(await zstdCodec.decompress(await zstdCodec.compress({ buffer })), buffer);
    }),
    { numRuns: 50 },
  );
});
