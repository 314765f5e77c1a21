import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { addToClusters, bucketsOf, type Clusters, deffIn } from "../../../../src/domain/rollout/evidence/clusters.ts";

/** Records of 32 buckets of subjects, all bad ones in the first. */
const alike = (n: number, bad: number) =>
  bucketsOf(new Array<number>(32).fill(n / 32), [bad, ...new Array<number>(31).fill(0)], { n, sum: bad, sumSquares: bad });
const asked = { use: "freeze", arms: "two", isBinary: true, unit: 1 } as const;
const staysIn = (clusters: Clusters, step: number) => clusters.filter((stay) => stay.step === step);
const add = (clusters: Clusters, step: number, epoch: number, n = 640) => addToClusters(clusters, { step, epoch }, alike(n, n / 20), alike(n, n / 20));

describe("subjects counted by stay", () => {
  it("keeps a step's records with it when panes of an earlier step come late", () => {
    let clusters = add(add([], 0, 10), 1, 20, 64_000);
    const before = deffIn(clusters, 1, asked);
    for (let i = 0; i < 30; i++) clusters = add(add(clusters, 0, 10, 32), 1, 20, 32);
    assert.deepEqual(
      clusters.map(({ step, fromEpoch }) => [step, fromEpoch]),
      [
        [0, 10],
        [1, 20],
      ],
    );
    assert.ok(deffIn(clusters, 1, asked) > 0.9 * before);
    assert.equal(staysIn(clusters, 0)[0]?.candidate.moments.n, 640 + 30 * 32);
  });

  it("joins what epochs of one stay count, tells a later stay in the same step apart, and merges stays of one step only", () => {
    let clusters = add(add(add([], 0, 10), 0, 15), 1, 20);
    assert.equal(clusters.length, 2, "an epoch with other rates is no other stay");
    for (let i = 0; i < 10; i++) clusters = add(add(clusters, 0, 30 + 20 * i), 1, 40 + 20 * i);
    assert.ok(clusters.length <= 12);
    const n = (of: Clusters) => of.reduce((sum, { candidate }) => sum + candidate.moments.n, 0);
    assert.deepEqual([n(staysIn(clusters, 0)), n(staysIn(clusters, 1))], [12 * 640, 11 * 640]);
    assert.ok(n(clusters.filter(({ fromEpoch }) => fromEpoch >= 40)) >= 20 * 640, "a process never loses what it has taken");
  });
});
