import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BUCKETS, bucketOf, bucketsForPercent, isMirrored } from "../../../../src/domain/routing/buckets.ts";
import { type ArmRange, rangeProblems, rangesFor, rangesOfOne } from "../../../../src/domain/routing/ranges.ts";

const count = fc.integer({ min: 0, max: BUCKETS });
const split = (candidateBuckets: number, holdbackBuckets: number) => rangesFor({ baseline: "a", candidate: "b", candidateBuckets, holdbackBuckets });
const armOf = (ranges: readonly ArmRange[], bucket: number) => ranges.find(({ from, to }) => bucket >= from && bucket < to)?.arm;

describe("ranges of a rollout", () => {
  it("are disjoint and complete for any share and holdback", () => {
    fc.assert(fc.property(count, count, (candidate, holdback) => assert.deepEqual(rangeProblems(split(candidate, holdback)), [])));
    assert.deepEqual(rangeProblems(rangesOfOne("a")), []);
  });

  it("a step up only adds subjects to the candidate, a contraction returns the last added, and the holdback never moves", () => {
    fc.assert(
      fc.property(count, count, count, fc.integer({ min: 0, max: BUCKETS - 1 }), (one, other, holdback, bucket) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        const before = armOf(split(less, holdback), bucket);
        const after = armOf(split(more, holdback), bucket);
        if (before === "candidate") assert.equal(after, "candidate");
        assert.equal(before === "holdback", after === "holdback");
      }),
    );
  });

  it("the candidate at 100 % is everybody but the holdback", () => {
    assert.deepEqual(split(BUCKETS, 500), [
      { arm: "candidate", version: "b", from: 0, to: 9500 },
      { arm: "holdback", version: "a", from: 9500, to: 10_000 },
    ]);
  });

  it("overlaps, holes, empty ranges and ranges beyond the last bucket are named", () => {
    const range = (from: number, to: number): ArmRange => ({ arm: "baseline", version: "a", from, to });
    assert.deepEqual(rangeProblems([range(0, 5000), range(6000, 10_000)]), ["buckets 5000..6000 are in no range"]);
    assert.deepEqual(rangeProblems([range(0, 6000), range(5000, 10_000)]), ["range 5000..10000 of baseline overlaps another"]);
    assert.deepEqual(rangeProblems([range(0, 9000)]), ["buckets 9000..10000 are in no range"]);
    assert.deepEqual(rangeProblems([range(0, 10_001)]), ["a range ends at 10001, after the last bucket"]);
    assert.deepEqual(rangeProblems([]), ["buckets 0..10000 are in no range"]);
    assert.deepEqual(rangeProblems([range(3, 3), range(0, 10_000)]).length, 2);
  });

  it("counts that are no whole numbers in range are refused", () => {
    assert.throws(() => split(0.5, 0), RangeError);
    assert.throws(() => split(0, BUCKETS + 1), RangeError);
    assert.throws(() => bucketsForPercent(100.1), RangeError);
  });

  it("a share above zero is at least one bucket", () => {
    assert.equal(bucketsForPercent(0), 0);
    assert.equal(bucketsForPercent(0.0001), 1);
    assert.equal(bucketsForPercent(1), 100);
    assert.equal(bucketsForPercent(33.33), 3333);
    assert.equal(bucketsForPercent(100), BUCKETS);
  });

  it("subjects spread evenly over buckets, and unrelated under another salt (chi-square, 100 cells, fails by chance for 1 hash in 10^6)", () => {
    const cells = new Array<number>(100).fill(0);
    const pairs = new Array<number>(100).fill(0);
    const n = 200_000;
    for (let i = 0; i < n; i++) {
      const bucket = bucketOf("salt-1", `subject-${i}`);
      const cell = Math.floor(bucket / 100);
      cells[cell] = (cells[cell] ?? 0) + 1;
      const pair = Math.floor(bucket / 1000) * 10 + Math.floor(bucketOf("salt-2", `subject-${i}`) / 1000);
      pairs[pair] = (pairs[pair] ?? 0) + 1;
    }
    const chiSquare = (counts: number[]) => counts.reduce((sum, seen) => sum + (seen - n / 100) ** 2 / (n / 100), 0);
    // 99 degrees of freedom: P(X > 180) < 1e-6.
    assert.ok(chiSquare(cells) < 180, `chi-square ${chiSquare(cells)}`);
    assert.ok(chiSquare(pairs) < 180, `chi-square over both salts ${chiSquare(pairs)}`);
  });

  it("mirrors the stated share of requests, none at 0 and all at 1,000,000", () => {
    let mirrored = 0;
    for (let i = 0; i < 100_000; i++) {
      if (isMirrored(`request-${i}`, 250_000)) mirrored++;
      assert.equal(isMirrored(`request-${i}`, 0), false);
      assert.equal(isMirrored(`request-${i}`, 1_000_000), true);
    }
    // Six standard deviations: sqrt(100000 * 0.25 * 0.75) = 137.
    assert.ok(Math.abs(mirrored - 25_000) < 6 * 137, `${mirrored} of 100000`);
  });
});
