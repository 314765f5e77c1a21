import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { binaryHistogram, emptyHistogram, histogramOf, mergeHistograms, momentsOf, total, withUnscored } from "../../../../src/domain/stats/histogram.ts";
import { bucketMidpoint, OVERFLOW_BUCKET, ZERO_BUCKET } from "../../../../src/domain/stats/log-bucket.ts";

const grid = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 100 }), fc.nat(9)), { selector: ([value]) => value })
  .map((pairs) => pairs.sort(([a], [b]) => a - b))
  .map((pairs) => ({ values: pairs.map(([value]) => value), counts: pairs.map(([, count]) => count) }));

describe("histograms", () => {
  it("bring the counts of a block to the scale of the bets", () => {
    assert.deepEqual(histogramOf({ kind: "binary", values: [0, 1], counts: [9, 1] }), { kind: "binary", values: [0, 1], counts: [9, 1] });
    assert.deepEqual(histogramOf({ kind: "grid", values: [5, 100], counts: [2, 3] }), { values: [0.05, 1], counts: [2, 3] });
    assert.deepEqual(histogramOf({ kind: "paired", values: [-100, 0, 30], counts: [1, 2, 3] }), { values: [-1, 0, 0.3], counts: [1, 2, 3] });
    const costs = histogramOf({ kind: "log", values: [ZERO_BUCKET, 0, 500, OVERFLOW_BUCKET], counts: [1, 2, 3, 4] }, 10);
    assert.deepEqual(costs, { values: [0, bucketMidpoint(0) / 10, 1, 1], counts: [1, 2, 3, 4] });
  });

  it("refuse log buckets without a cap and kinds without a scale", () => {
    assert.throws(() => histogramOf({ kind: "log", values: [1], counts: [1] }), RangeError);
    assert.throws(() => histogramOf({ kind: "log", values: [1], counts: [1] }, 0), RangeError);
    assert.throws(() => histogramOf({ kind: "other", values: [1], counts: [1] }), RangeError);
  });

  it("merge to the same whichever comes first, and lose no record", () => {
    fc.assert(
      fc.property(grid, grid, (a, b) => {
        const merged = mergeHistograms(a, b);
        assert.deepEqual(merged, mergeHistograms(b, a));
        assert.equal(total(merged), total(a) + total(b));
        assert.deepEqual(
          merged.values,
          [...new Set([...a.values, ...b.values])].sort((x, y) => x - y),
        );
        assert.equal(momentsOf(merged).sum, momentsOf(a).sum + momentsOf(b).sum);
      }),
    );
  });

  it("count what is unscored as failed", () => {
    assert.deepEqual(withUnscored(binaryHistogram(10, 2), 3), { values: [0, 1], counts: [8, 5] });
    assert.deepEqual(withUnscored({ values: [0.2], counts: [4] }, 3), { values: [0.2, 1], counts: [4, 3] });
    assert.equal(withUnscored(emptyHistogram, 0), emptyHistogram);
  });

  it("know their moments", () => {
    assert.deepEqual(momentsOf({ values: [0, 0.5, 1], counts: [2, 4, 1] }), { n: 7, sum: 3, sumSquares: 2 });
    assert.deepEqual(momentsOf(emptyHistogram), { n: 0, sum: 0, sumSquares: 0 });
  });
});
