import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { prepareKafkajs, zstdCodec } from "../../../src/runtime/codec.ts";

it("returns the bytes that were compressed, small and large", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), fc.integer({ min: 1, max: 60 }), async (bytes, times) => {
      const buffer = Buffer.concat(Array.from({ length: times }, () => Buffer.from(bytes)));
      assert.deepEqual(await zstdCodec.decompress(await zstdCodec.compress({ buffer })), buffer);
    }),
    { numRuns: 50 },
  );
});

it("silences kafkajs's harmless warning and no other", () => {
  prepareKafkajs();
  const seen: string[] = [];
  // Other tests of the same process may have caused warnings of their own, which arrive meanwhile.
  const ours = ["TimeoutNegativeWarning", "HeadgateTestWarning"];
  const listener = (warning: Error) => {
    if (ours.includes(warning.name)) seen.push(warning.name);
  };
  process.on("warning", listener);
  process.emitWarning("negative", "TimeoutNegativeWarning");
  process.emitWarning("other", "HeadgateTestWarning");
  return new Promise<void>((resolve) => {
    setImmediate(() => {
      process.off("warning", listener);
      assert.deepEqual(seen, ["HeadgateTestWarning"]);
      resolve();
    });
  });
});
