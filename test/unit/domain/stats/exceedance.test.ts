import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { balancedBet, deltas, nullsOf } from "../../../../src/domain/stats/bet.ts";
import { exceedances, runawayBucket, shiftedExceedances, thresholdBucket, valueCap } from "../../../../src/domain/stats/exceedance.ts";
import { binaryHistogram, emptyHistogram } from "../../../../src/domain/stats/histogram.ts";
import { bucketMidpoint, bucketShift, OVERFLOW_BUCKET } from "../../../../src/domain/stats/log-bucket.ts";
import { histogram, near, sameNano, vectors } from "./vectors.ts";

const p95 = { kind: "percentile", level: 0.95 } as const;

describe("percentiles by exceedance", () => {
  it("give the specification's threshold, counts and evidence", () => {
    const v = vectors.percentile;
    const [a, b] = [histogram(v.hist_a), histogram(v.hist_b)];
    const bucket = thresholdBucket(b, 0.95, v.need);
    assert.equal(bucket, v.t_bucket);
    assert.equal(thresholdBucket(b, 0.95), null, "too few records");
    const freeze = shiftedExceedances(a, b, v.t_bucket, bucketShift(1.02));
    const advance = shiftedExceedances(a, b, v.t_bucket, bucketShift(1.1));
    assert.deepEqual(freeze, { candidateN: v.n_a, candidateAbove: v.y_a_freeze, baselineN: v.n_b, baselineAbove: v.y_b });
    assert.equal(advance.candidateAbove, v.y_a_advance);
    const bets = (counts: typeof freeze, use: "freeze" | "advance") =>
      balancedBet(
        binaryHistogram(counts.candidateN, counts.candidateAbove),
        binaryHistogram(counts.baselineN, counts.baselineAbove),
        { pref: 0.05, v: null },
        nullsOf(p95)[use],
        deltas(p95, 0.05)[use],
      );
    sameNano(bets(freeze, "freeze"), v.freeze_q, "freeze");
    sameNano(bets(advance, "advance"), v.advance_q, "advance");
  });

  it("take the highest bucket that still has its share at or above it", () => {
    const buckets = fc.uniqueArray(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 20 }).map((x) => x.sort((a, b) => a - b));
    fc.assert(
      fc.property(buckets, fc.infiniteStream(fc.integer({ min: 1, max: 400 })), (values, dice) => {
        const h = { values, counts: values.map(() => dice.next().value) };
        const n = exceedances(h, Number.NEGATIVE_INFINITY);
        const bucket = thresholdBucket(h, 0.95, 1) ?? Number.NaN;
        const share = (1 - 0.95) * n; // as doubles have it: a little more than 0.05 n
        assert.ok(exceedances(h, bucket) >= share);
        assert.ok(exceedances(h, bucket + 1) < share);
      }),
    );
  });

  it("count what never ended as above every threshold, also above one in the overflow bucket", () => {
    const allTimedOut = { values: [OVERFLOW_BUCKET], counts: [9] };
    const someTimedOut = { values: [240, OVERFLOW_BUCKET], counts: [900, 100] };
    assert.equal(thresholdBucket(someTimedOut, 0.95), OVERFLOW_BUCKET);
    assert.deepEqual(shiftedExceedances(allTimedOut, someTimedOut, OVERFLOW_BUCKET, 5), {
      candidateN: 9,
      candidateAbove: 9,
      baselineN: 1000,
      baselineAbove: 100,
    });
    assert.equal(runawayBucket(someTimedOut), OVERFLOW_BUCKET);
  });

  it("have no threshold for an empty baseline, whatever is needed", () => {
    assert.equal(thresholdBucket(emptyHistogram, 0.95, 0), null);
    assert.equal(valueCap(emptyHistogram), null);
    assert.equal(runawayBucket(emptyHistogram), null);
  });

  it("cap a mean at the 99.9th percentile, or at twenty times the mean where that is more", () => {
    const flat = { values: [200], counts: [5000] };
    near(valueCap(flat) ?? 0, 20 * bucketMidpoint(200), "twenty times the mean");
    const heavy = { values: [0, 400], counts: [9900, 100] };
    near(valueCap(heavy) ?? 0, bucketMidpoint(400), "its own tail");
    near(valueCap({ values: [200, OVERFLOW_BUCKET], counts: [5000, 60] }) ?? 0, 20 * bucketMidpoint(200), "overflow left out");
  });

  it("look for runaway loops at twice the 99th percentile", () => {
    assert.equal(runawayBucket({ values: [100], counts: [2000] }), 100 + bucketShift(2));
  });
});
