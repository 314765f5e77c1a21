import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { addToAdvance, advanceLogE, createAdvance } from "../../../../src/domain/stats/advance-process.ts";
import { balancedBet, deltas, nullsOf, predictableMean } from "../../../../src/domain/stats/bet.ts";
import {
  addToFreeze,
  createFreeze,
  type FreezeProcess,
  freezeLogE,
  freezeLogEMinus,
  isEvidenceOfHarm,
  setAsideOf,
} from "../../../../src/domain/stats/freeze-process.ts";
import { binaryHistogram } from "../../../../src/domain/stats/histogram.ts";
import { mix, NANO_MIN, threshold } from "../../../../src/domain/stats/nano-nats.ts";
import { near, sameNano, vectors } from "./vectors.ts";

const block = fc.array(fc.integer({ min: -5e10, max: 5e10 }), { minLength: 5, maxLength: 5 });
const multiply = (blocks: readonly (readonly number[])[], start: FreezeProcess = createFreeze()) => blocks.reduce(addToFreeze, start);

describe("freeze and advance processes", () => {
  it("follow the specification's sequence block by block: sums, blocks set aside, restart, tempering, reflection, latch", () => {
    const { config, blocks } = vectors.sequence;
    const margin = { kind: "difference", tolerated: config.d0, limit: config.d1 } as const;
    let freeze = createFreeze();
    let restarted: FreezeProcess | null = null;
    let advance = createAdvance(threshold(0.05));
    assert.equal(advance.ceiling, config.ceiling_q);
    let earlier = { n: 0, sum: 0 };
    assert.equal(blocks.length, 15);
    blocks.forEach((b, i) => {
      const pref = predictableMean(earlier, config.ref);
      near(pref, b.pref, `pref of block ${i}`);
      const sizes = deltas(margin, pref);
      const [candidate, baseline] = [binaryHistogram(b.na, b.ya), binaryHistogram(b.nb, b.yb)];
      if (i === config.restart_at_block) restarted = createFreeze();
      const toFreeze = balancedBet(candidate, baseline, { pref, v: null }, nullsOf(margin).freeze, sizes.freeze);
      const toAdvance = balancedBet(candidate, baseline, { pref, v: null }, nullsOf(margin).advance, sizes.advance);
      freeze = addToFreeze(freeze, toFreeze);
      restarted = restarted && addToFreeze(restarted, toFreeze);
      advance = addToAdvance(advance, toAdvance);
      earlier = { n: earlier.n + b.nb, sum: earlier.sum + b.yb };

      const about = `block ${i}`;
      const drift = (i + 1) * 2; // each block may differ by 2 from another ln
      const close = (got: number, want: number) => assert.ok(Math.abs(got - want) <= drift, `${about}: ${got}, not ${want}`);
      sameNano(toFreeze, b.block_q, about);
      sameNano(toAdvance, b.advance_block_q, about);
      assert.equal(isEvidenceOfHarm(toFreeze), b.evidence_of_harm, about);
      freeze.q.forEach((x, k) => {
        close(x, b.q[k] ?? Number.NaN);
      });
      freeze.top.forEach((largest, k) => {
        sameNano(largest, b.top_q[k] ?? [], about);
      });
      close(freezeLogE(freeze), b.log_e_q);
      close(freezeLogEMinus(freeze), b.log_e_minus_q);
      close(mix([freezeLogE(freeze), restarted === null ? 0 : freezeLogE(restarted)], [0.5, 0.5]), b.restarts_q);
      close(freezeLogE(freeze, 1.7), b.tempered_1_7_q);
      advance.q.forEach((x, k) => {
        close(x, b.advance_q[k] ?? Number.NaN);
      });
      close(advanceLogE(advance), b.advance_log_e_q);
      assert.equal(advance.safe, b.safe, about);
    });
  });

  it("follow the specification's tempered reflection", () => {
    let advance = createAdvance(vectors.reflection_tempered.ceiling_q);
    for (const step of vectors.reflection_tempered.steps) {
      advance = addToAdvance(advance, step.block_q, step.deff);
      sameNano(advance.q, step.q, JSON.stringify(step.block_q));
      sameNano(advanceLogE(advance, step.deff), step.log_e_q, JSON.stringify(step.block_q));
      assert.equal(advance.safe, step.safe);
    }
  });

  it("do not depend on the order of their blocks when freezing", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 8 }), fc.infiniteStream(fc.nat(1000)), (blocks, dice) => {
        const shuffled = blocks.map((b) => ({ b, place: dice.next().value })).sort((x, y) => x.place - y.place);
        assert.deepEqual(multiply(shuffled.map(({ b }) => b)), multiply(blocks));
      }),
    );
  });

  it("hold at most as much evidence without the most incriminating blocks, and exactly the rest", () => {
    fc.assert(
      fc.property(fc.array(block, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 4 }), fc.constantFrom(1, 1.7), (blocks, aside, deff) => {
        const process = multiply(blocks, createFreeze(undefined, aside));
        assert.ok(freezeLogEMinus(process, deff) <= freezeLogE(process, deff));
        process.q.forEach((sum, k) => {
          const largest = blocks.map((b) => b[k] ?? 0).sort((x, y) => y - x);
          const worst = largest.slice(0, aside).filter((x) => x > 0);
          assert.equal(
            setAsideOf(process, k),
            worst.reduce((x, y) => x + y, 0),
          );
          assert.equal(
            sum,
            largest.reduce((x, y) => x + y, 0),
          );
        });
      }),
    );
  });

  it("take an empty block for no evidence", () => {
    const process = multiply([[5, 4, 3, 2, 1]]);
    assert.deepEqual(addToFreeze(process, [0, 0, 0, 0, 0]), process);
    const advance = addToAdvance(createAdvance(threshold(0.05)), [5, 4, 3, 2, 1]);
    assert.deepEqual(addToAdvance(advance, [0, 0, 0, 0, 0]), advance);
  });

  it("start at 1, and neither a fresh one is evidence nor safe", () => {
    assert.equal(freezeLogE(createFreeze()), 0);
    assert.equal(freezeLogEMinus(createFreeze()), 0);
    assert.equal(advanceLogE(createAdvance(threshold(0.05))), 0);
    assert.equal(createAdvance(threshold(0.05)).safe, false);
  });

  it("never rise above the ceiling when advancing, so that old good news is worth nothing", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 12 }), fc.constantFrom(1, 1.25, 3), (blocks, deff) => {
        const ceiling = threshold(0.05);
        let safe = false;
        let process = createAdvance(ceiling);
        for (const b of blocks) {
          process = addToAdvance(process, b, deff);
          const logE = advanceLogE(process, deff);
          assert.ok(logE <= ceiling);
          // Rounding of the tempered components may leave the reflected process a few nano-nats below its ceiling.
          if (logE >= ceiling - 5) safe = safe || process.safe;
          if (logE < 0) safe = false;
          assert.equal(process.safe, safe);
        }
      }),
    );
  });

  it("saturate at the smallest evidence instead of losing exactness", () => {
    const floor = multiply(new Array(20).fill([NANO_MIN, NANO_MIN, NANO_MIN, NANO_MIN, NANO_MIN]));
    assert.deepEqual(floor.q, new Array(5).fill(NANO_MIN));
    assert.equal(addToAdvance(createAdvance(1), [NANO_MIN, 0, 0, 0, 0]).q[0], NANO_MIN);
  });

  it("refuse a block with a component missing", () => {
    assert.throws(() => freezeLogE(addToFreeze(createFreeze(), [1, 2])), { code: "EVALUATION_ERROR" });
    assert.throws(() => addToAdvance(createAdvance(1), [1, 2]), { code: "EVALUATION_ERROR" });
  });

  it("survive being written down and read back", () => {
    const process = multiply([[9, -4, 3, 2, 1]]);
    assert.deepEqual(JSON.parse(JSON.stringify(process)), process);
  });
});
