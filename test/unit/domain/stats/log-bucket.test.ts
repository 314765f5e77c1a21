import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { bucketFloor, bucketMidpoint, bucketShift, GAMMA_LN, logBucket, OVERFLOW_BUCKET, ZERO_BUCKET } from "../../../../src/domain/stats/log-bucket.ts";

describe("log buckets", () => {
  it("are those of the specification's vectors", () => {
    assert.deepEqual([1, 1.5, 100, 101.9, 600000].map(logBucket), [0, 21, 241, 242, 697]);
  });

  it("hold every value between their floor and the next one's", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1e12, noNaN: true }), (x) => {
        const bucket = logBucket(x);
        assert.ok(bucketFloor(bucket) <= x * (1 + 1e-12) && x <= bucketFloor(bucket + 1) * (1 + 1e-12));
        assert.ok(Math.abs(bucketMidpoint(bucket) / x - 1) < 0.0097);
      }),
    );
  });

  it("never fall when the value rises", () => {
    const anything = fc.double({ noNaN: true });
    fc.assert(fc.property(anything, anything, (a, b) => assert.ok(logBucket(Math.min(a, b)) <= logBucket(Math.max(a, b)))));
  });

  it("put zero, negative and tiny values into one bucket and what never ended above everything", () => {
    assert.deepEqual([0, -5, 1e-300, Number.NEGATIVE_INFINITY].map(logBucket), [ZERO_BUCKET, ZERO_BUCKET, ZERO_BUCKET, ZERO_BUCKET]);
    assert.equal(logBucket(Number.POSITIVE_INFINITY), OVERFLOW_BUCKET);
    assert.ok(logBucket(Number.MAX_VALUE) < OVERFLOW_BUCKET);
    assert.equal(bucketMidpoint(ZERO_BUCKET), 0);
    assert.equal(bucketFloor(ZERO_BUCKET), 0);
    assert.equal(bucketMidpoint(OVERFLOW_BUCKET), Number.POSITIVE_INFINITY);
    assert.equal(bucketFloor(OVERFLOW_BUCKET), Number.POSITIVE_INFINITY);
  });

  it("refuse what is not a number", () => {
    assert.throws(() => logBucket(Number.NaN), { code: "EVALUATION_ERROR" });
  });

  it("make ten percent exactly five buckets and two percent one", () => {
    assert.deepEqual([1.1, 1.02, 1, 1.15, 1.3].map(bucketShift), [5, 1, 0, 7, 14]);
    assert.ok(Math.abs(GAMMA_LN - 0.01906203596086497) < 1e-16);
  });
});
