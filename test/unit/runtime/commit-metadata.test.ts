import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { readMetadata, taskMetadataMaxBytes, writeMetadata } from "../../../src/runtime/tasks/commit-metadata.ts";

const offsets = fc.uniqueArray(fc.integer({ min: 0, max: 5_000 }), { maxLength: 60 });
const own = fc.string({ maxLength: 300 }).filter((text) => !text.startsWith("dlq1:"));

it("gives back what was written: parked offsets from the committed one on, and the task's own text", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5_000 }), offsets, own, (committed, parked, text) => {
      const written = writeMetadata(committed, parked, text);
      const read = readMetadata(committed, written.text);
      assert.deepEqual(read, { parked: parked.filter((offset) => offset >= committed).sort((a, b) => a - b), own: text });
      assert.equal(written.forgotten, 0);
    }),
  );
});

it("never exceeds what the broker accepts; it forgets the oldest offsets and says how many", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1_500, maxLength: 2_000 }),
      fc.integer({ min: 0, max: taskMetadataMaxBytes }),
      (parked, size) => {
        const { text, forgotten } = writeMetadata(0, parked, "x".repeat(size));
        assert.ok(Buffer.byteLength(text) <= 4_096);
        const read = readMetadata(0, text);
        assert.equal(read.parked.length + forgotten, parked.length);
        const newest = [...parked].sort((a, b) => a - b).slice(forgotten);
        assert.deepEqual(read.parked, newest);
        assert.equal(read.own, "x".repeat(size));
      },
    ),
    { numRuns: 20 },
  );
});

it("needs little room for a storm of bad records", () => {
  const storm = Array.from({ length: 100_000 }, (_, i) => 1_000_000 + i);
  assert.ok(writeMetadata(1_000_000, storm, "").text.length < 20);
});
