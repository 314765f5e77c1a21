import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { saltOf } from "../../../../src/domain/rollout/routing-table.ts";
import { assign, assignContinued } from "../../../../src/domain/routing/assign.ts";
import { BUCKETS, bucketOf } from "../../../../src/domain/routing/buckets.ts";
import { type ArmRange, rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { compiled } from "./table-fixture.ts";

const SUBJECTS = 1_000_000;
const salts = ["support-answer-b", "support-answer-c"].map((rollout) => saltOf({ route: "support-answer", rollout }));
/** Buckets of a million subjects, hashed as the gateway hashes them, under the salts of two rollouts of one route. */
const [first, second] = salts.map((salt) => Uint16Array.from({ length: SUBJECTS }, (_, i) => bucketOf(salt, `subject-${i}`))) as [Uint16Array, Uint16Array];

const HOLDBACK = 500;
const ranges = (candidateBuckets: number) => rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets, holdbackBuckets: HOLDBACK });
const armAt = (table: readonly ArmRange[]): Uint8Array => {
  const codes = { candidate: 1, baseline: 2, holdback: 3, none: 0, other: 0 };
  const byBucket = new Uint8Array(BUCKETS);
  for (const { arm, from, to } of table) byBucket.fill(codes[arm], from, to);
  return byBucket;
};
/** What one table after another does to a million subjects; `joinedAt` keeps which step brought each to the candidate. */
function moves({ before, after, at, joinedAt }: { before: Uint8Array; after: Uint8Array; at: number; joinedAt: Int32Array }) {
  let [latestStaying, earliestLeaving, holdbackMoved] = [-1, SUBJECTS, false];
  for (let i = 0; i < SUBJECTS; i++) {
    const bucket = first[i] as number;
    const [was, is] = [before[bucket], after[bucket]];
    if ((was === 3) !== (is === 3)) holdbackMoved = true;
    if (was === 1) {
      if (is === 1) latestStaying = Math.max(latestStaying, joinedAt[i] as number);
      else earliestLeaving = Math.min(earliestLeaving, joinedAt[i] as number);
    } else if (is === 1) joinedAt[i] = at;
  }
  return { latestStaying, earliestLeaving, holdbackMoved };
}

const ladder = fc.array(fc.integer({ min: 0, max: BUCKETS }), { minLength: 2, maxLength: 12 });

describe("a million subjects", () => {
  it("only join the candidate in a step up, the last added leave first in a contraction, and the holdback never moves", () => {
    fc.assert(
      fc.property(ladder, (shares) => {
        const joinedAt = new Int32Array(SUBJECTS).fill(-1);
        let before = armAt(ranges(0));
        shares.forEach((share, at) => {
          const after = armAt(ranges(share));
          const { latestStaying, earliestLeaving, holdbackMoved } = moves({ before, after, at, joinedAt });
          assert.equal(holdbackMoved, false);
          assert.ok(latestStaying <= earliestLeaving, "somebody left who had joined before one who stayed");
          before = after;
        });
      }),
      { numRuns: 5 },
    );
  });

  it("are counted in the arms as the ranges say (chi-square with 2 degrees of freedom, fails by chance for 1 hash in 10^6 for each share)", () => {
    for (const percent of [1, 5, 10, 25, 50]) {
      const byBucket = armAt(ranges(percent * 100));
      const seen = [0, 0, 0, 0];
      for (const bucket of first) seen[byBucket[bucket] as number] = (seen[byBucket[bucket] as number] ?? 0) + 1;
      const expected = [0, percent / 100, 1 - percent / 100 - HOLDBACK / BUCKETS, HOLDBACK / BUCKETS].map((part) => part * SUBJECTS);
      const chiSquare = [1, 2, 3].reduce((sum, arm) => sum + ((seen[arm] ?? 0) - (expected[arm] ?? 0)) ** 2 / (expected[arm] ?? 1), 0);
      assert.ok(chiSquare < 27.6 && seen[0] === 0, `${percent} %: chi-square ${chiSquare}`);
    }
  });

  it("are dealt anew by the next rollout: who was on one candidate is no likelier on the next (chi-square, 1 degree of freedom, 1 in 10^6)", () => {
    const share = 1_000;
    const cells = [0, 0, 0, 0];
    for (let i = 0; i < SUBJECTS; i++) {
      const cell = Number((first[i] as number) < share) * 2 + Number((second[i] as number) < share);
      cells[cell] = (cells[cell] ?? 0) + 1;
    }
    const [neither = 0, onlySecond = 0, onlyFirst = 0, both = 0] = cells;
    const [one, other] = [onlyFirst + both, onlySecond + both];
    const chiSquare = (SUBJECTS * (neither * both - onlySecond * onlyFirst) ** 2) / (one * other * (SUBJECTS - one) * (SUBJECTS - other));
    assert.ok(chiSquare < 24, `chi-square ${chiSquare}`);
  });
});

describe("a conversation through any tables", () => {
  it("changes its version only away from the candidate or from one that serves nobody, and never exceeds the table", () => {
    const table = fc.oneof(
      fc.integer({ min: 0, max: BUCKETS }).map((share) => compiled({ ranges: ranges(share) })),
      fc.constantFrom("a@1", "b@2").map((version) => compiled({ ranges: [{ arm: "none", version, from: 0, to: BUCKETS }] })),
    );
    const hold = fc.constantFrom(null, null, null, "braked" as const, "stale" as const);
    fc.assert(
      fc.property(fc.string(), fc.array(fc.record({ routeTable: table, hold }), { minLength: 1, maxLength: 20 }), (subject, tables) => {
        let last: string | undefined;
        for (const effective of tables) {
          const assigned = assign(effective, subject);
          const now = assignContinued(effective, assigned, last);
          const served = new Set(effective.routeTable.table.ranges.map(({ version }) => version));
          if (last !== undefined && now.version.name !== last) assert.ok(last === "b@2" || !served.has(last));
          if (now.version.name === "b@2") assert.deepEqual(now, assigned, "more of the candidate than the table gives");
          if (now.version.name !== assigned.version.name) assert.deepEqual([now.version.name, now.arm, now.samplePpm], ["a@1", "none", 0]);
          last = now.version.name;
        }
      }),
    );
  });
});
