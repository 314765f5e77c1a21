import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BinaryTest, FloorTest, KEPT_PER_MINUTE, MeanTest } from "../../../../src/domain/audit/headgate-tests.ts";
import { balancedBet, decayAndAdd, deltas, nullsOf, predictableMean, predictableVariance } from "../../../../src/domain/stats/bet.ts";
import { floorAlternatives, oneSample } from "../../../../src/domain/stats/floor.ts";
import { addToFreeze, createFreeze, freezeLogE, freezeLogEMinus, isEvidenceOfHarm } from "../../../../src/domain/stats/freeze-process.ts";
import { addMoments, binaryHistogram, type Moments, momentsOf, noMoments } from "../../../../src/domain/stats/histogram.ts";
import { NANO } from "../../../../src/domain/stats/nano-nats.ts";
import { dice } from "../../../fixtures/rollout-world.ts";

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), `${actual} is not ${expected}`);

describe("headgate in an audit", () => {
  it("bets on counts exactly as the product's statistics do, with what is set aside and what is recent", () => {
    const random = dice(3);
    const margin = { kind: "difference", tolerated: 0.01, limit: 0.05 } as const;
    const test = new BinaryTest(margin, 0.15);
    let process = createFreeze();
    let prior: Moments = noMoments;
    const harm: boolean[] = [];
    for (let minute = 1; minute <= 40; minute++) {
      const [na, nb] = [5 + Math.floor(20 * random()), 20 + Math.floor(80 * random())];
      const [ya, yb] = [Math.floor(na * 0.3 * random()), Math.floor(nb * 0.3 * random())];
      const block = balancedBet(
        binaryHistogram(na, ya),
        binaryHistogram(nb, yb),
        { pref: predictableMean(prior, 0.15), v: null },
        nullsOf(margin).freeze,
        deltas(margin, 0).freeze,
      );
      process = addToFreeze(process, block);
      harm.push(isEvidenceOfHarm(block));
      prior = decayAndAdd(prior, 60_000, momentsOf(binaryHistogram(nb, yb)));
      test.add(minute, na, ya, nb, yb);
      test.learn(nb, yb);
      assert.deepEqual([...test.sums.q], process.q);
      near(test.sums.value(false), Math.exp(freezeLogE(process) / NANO));
      near(test.sums.value(true), Math.exp(freezeLogEMinus(process) / NANO));
      assert.equal(test.sums.recentHarm(minute, 15), harm.slice(-15).filter(Boolean).length);
    }
    near(KEPT_PER_MINUTE, 0.5 ** (1 / 360));
  });

  it("merges minutes until both arms have five records, and takes a block as it is after 15 minutes", () => {
    const test = new BinaryTest({ kind: "difference", tolerated: 0.01, limit: 0.05 }, 0.15);
    test.add(1, 2, 1, 40, 3);
    test.add(2, 2, 1, 40, 3);
    assert.deepEqual([...test.sums.q], [0, 0, 0, 0, 0]);
    test.add(3, 1, 1, 40, 3);
    assert.ok(test.sums.most() > 0);
    const waiting = new BinaryTest({ kind: "difference", tolerated: 0.01, limit: 0.05 }, 0.15);
    for (let minute = 1; minute <= 15; minute++) waiting.add(minute, minute === 1 ? 1 : 0, minute === 1 ? 1 : 0, 9, 0);
    assert.equal(waiting.sums.most(), 0);
    waiting.add(16, 0, 0, 9, 0);
    assert.ok(waiting.sums.most() > 0);
  });

  it("tests floors and capped means exactly as the product's statistics do", () => {
    const floor = new FloorTest(0.995);
    floor.add(1, 60, 2);
    const { freeze } = floorAlternatives(1 - 0.995);
    const expected = oneSample(binaryHistogram(60, 2), 1 - 0.995, freeze);
    for (const [k, q] of [...floor.sums.q].entries()) assert.ok(Math.abs(q - (expected[k] ?? 0)) <= 60, `${q} ${expected[k]}`);

    const values = Float64Array.from([0, 0.02, 0.05, 0.3, 1]);
    const limits = { tolerated: 0.04, limit: 0.2 };
    const first = { n: 1_000, sum: 50, sumSquares: 8 };
    const mean = new MeanTest(limits, { reference: 0.05, referenceVariance: 0.0043, classes: 5 });
    mean.start(values, first);
    let [prior, spread]: [Moments, Moments] = [first, first];
    let process = createFreeze();
    for (let block = 0; block < 3; block++) {
      const [a, b] = [
        [1, 30, 20, 8, 1],
        [2, 270, 200, 20, 3],
      ] as const;
      for (let minute = 1; minute <= MeanTest.BLOCK_MINUTES; minute++) mean.add(5 * block + minute, Int32Array.from(a), Int32Array.from(b));
      const five = (counts: readonly number[]) => ({ values: [...values], counts: counts.map((n) => 5 * n) });
      const margin = { kind: "ratio", ...limits } as const;
      const pref = predictableMean(prior, 0.05);
      const known = { pref, v: predictableVariance(spread, 0.0043) };
      process = addToFreeze(process, balancedBet(five(a), five(b), known, nullsOf(margin).freeze, deltas(margin, pref).freeze));
      prior = decayAndAdd(prior, 300_000, momentsOf(five(b)));
      spread = decayAndAdd(spread, 300_000, addMoments(momentsOf(five(a)), momentsOf(five(b))));
      for (const [k, q] of [...mean.sums.q].entries()) assert.ok(Math.abs(q - (process.q[k] ?? 0)) <= 5, `${q} ${process.q[k]}`);
    }
  });
});
