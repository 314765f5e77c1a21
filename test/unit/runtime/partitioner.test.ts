import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { murmur2, partitionOf } from "../../../src/runtime/partitioner.ts";

it("hashes as Kafka's Java clients do (vectors of UtilsTest.testMurmur2)", () => {
  const vectors: Readonly<Record<string, number>> = {
    "21": -973932308,
    foobar: -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
    abc: 479470107,
  };
  for (const [text, hash] of Object.entries(vectors)) assert.equal(murmur2(Buffer.from(text)), hash, text);
});

it("gives every key a partition that exists, the same each time", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 500 }), (key, partitions) => {
      const partition = partitionOf(key, partitions);
      assert.ok(Number.isInteger(partition) && partition >= 0 && partition < partitions);
      assert.equal(partitionOf(key, partitions), partition);
    }),
  );
});

it("refuses a partition count that is not one", () => {
  for (const count of [0, -1, 1.5, Number.NaN]) assert.throws(() => partitionOf("key", count), RangeError);
});
