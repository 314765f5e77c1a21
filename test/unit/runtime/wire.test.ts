import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { isTooLarge, requestsOf, sizeOf, topicMessages, type WireRecord } from "../../../src/runtime/kafka/wire.ts";

const record = (topic: string, partition: number, bytes: number, key: string | null = null): WireRecord => ({
  topic,
  partition,
  key,
  value: Buffer.alloc(bytes),
  headers: {},
  maxBytes: 10_000,
});

it("splits records into requests whose batches a broker accepts, keeps each once and in order per partition", () => {
  const records = fc.array(fc.record({ topic: fc.constantFrom("a", "b"), partition: fc.nat({ max: 2 }), bytes: fc.nat({ max: 9_000 }) }), { maxLength: 80 });
  fc.assert(
    fc.property(records, (wanted) => {
      const all = wanted.map(({ topic, partition, bytes }, i) => record(topic, partition, bytes, String(i)));
      const requests = requestsOf(all);
      assert.deepEqual(
        requests.flat().map(({ key }) => key),
        all.map(({ key }) => key),
      );
      for (const request of requests) {
        assert.ok(request.length > 0);
        for (const place of Map.groupBy(request, ({ topic, partition }) => `${topic}${partition}`).values()) {
          assert.ok(place.length === 1 || place.reduce((sum, one) => sum + sizeOf(one), 0) <= 10_000 * 0.95);
        }
      }
    }),
  );
});

it("sends every record with its partition", () => {
  const grouped = topicMessages([record("a", 1, 1), record("b", 0, 1), record("a", 2, 1)]);
  assert.deepEqual(
    grouped.map(({ topic, messages }) => [topic, messages.map(({ partition }) => partition)]),
    [
      ["a", [1, 2]],
      ["b", [0]],
    ],
  );
});

it("knows a record that no request can carry, headers counted", () => {
  assert.ok(!isTooLarge(record("a", 0, 9_000)));
  assert.ok(isTooLarge(record("a", 0, 9_600)));
  assert.ok(isTooLarge({ ...record("a", 0, 9_000), headers: { h: "x".repeat(600) } }));
});
