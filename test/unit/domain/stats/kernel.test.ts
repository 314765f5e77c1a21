import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { addToAdvance, advanceLogE, createAdvance } from "../../../../src/domain/stats/advance-process.ts";
import { balancedBet, betSizes, deltas, FREEZE_WEIGHTS, type Margin, nullsOf } from "../../../../src/domain/stats/bet.ts";
import { FLOOR_ADVANCE_WEIGHTS, floorAlternatives, oneSample } from "../../../../src/domain/stats/floor.ts";
import { addToFreeze, createFreeze, freezeLogE, freezeLogEMinus } from "../../../../src/domain/stats/freeze-process.ts";
import { binaryHistogram } from "../../../../src/domain/stats/histogram.ts";
import {
  addAdvance,
  addFreeze,
  advanceWeights,
  binaryBet,
  floorAdvanceWeights,
  floorTable,
  freezeWeights,
  gridBet,
  mixtureWithout,
  pairedTable,
  pairedWeights,
  tableBet,
  temperedMixture,
} from "../../../../src/domain/stats/kernel.ts";
import { mix, mixture, threshold } from "../../../../src/domain/stats/nano-nats.ts";
import { PAIRED_WEIGHTS, pairedBet } from "../../../../src/domain/stats/paired.ts";
import { sameNano, vectors } from "./vectors.ts";

const five = () => new Float64Array(5);
const margin: fc.Arbitrary<Margin> = fc.oneof(
  fc
    .record({ tolerated: fc.double({ min: 0, max: 0.04, noNaN: true }), limit: fc.double({ min: 0.041, max: 0.6, noNaN: true }) })
    .chain((margins) => fc.constantFrom<Margin>({ kind: "difference", ...margins }, { kind: "ratio", ...margins })),
  fc.constantFrom(0.5, 0.95, 0.99).map((level): Margin => ({ kind: "percentile", level })),
);
const use = fc.constantFrom<("freeze" | "advance")[]>("freeze", "advance");
const mean = fc.double({ min: 0, max: 1, noNaN: true });
const arm = fc.nat(500).chain((n) => fc.record({ n: fc.constant(n), bad: fc.nat(n) }));
const deff = fc.constantFrom(1, 1.25, 1.7, 9.3);
const block = fc.array(fc.integer({ min: -5e10, max: 5e10 }), { minLength: 5, maxLength: 5 });
const histogram = fc.array(fc.constantFrom(0, 0, 0, 1, 2, 40), { minLength: 101, maxLength: 101 });

describe("kernels", () => {
  it("bet on pass/fail counts as bet.ts does", () => {
    const out = five();
    fc.assert(
      fc.property(margin, use, mean, arm, arm, (m, direction, pref, a, b) => {
        const want = balancedBet(
          binaryHistogram(a.n, a.bad),
          binaryHistogram(b.n, b.bad),
          { pref, v: null },
          nullsOf(m)[direction],
          deltas(m, pref)[direction],
        );
        binaryBet(out, betSizes(m, direction), pref, a.n, a.bad, b.n, b.bad);
        assert.deepEqual([...out], want);
      }),
      { numRuns: 500 },
    );
  });

  it("bet on counts per value as bet.ts does", () => {
    const out = five();
    const grid = Array.from({ length: 101 }, (_, i) => i / 100);
    const values = Float64Array.from(grid);
    fc.assert(
      fc.property(margin, use, mean, mean, histogram, histogram, (m, direction, pref, v, a, b) => {
        const want = balancedBet({ values: grid, counts: a }, { values: grid, counts: b }, { pref, v }, nullsOf(m)[direction], deltas(m, pref)[direction]);
        gridBet(out, betSizes(m, direction), pref, v, values, Float64Array.from(a), Float64Array.from(b));
        assert.deepEqual([...out], want);
      }),
    );
  });

  it("give no evidence for an empty arm", () => {
    const out = five().fill(7);
    binaryBet(out, betSizes({ kind: "percentile", level: 0.95 }, "freeze"), 0.1, 0, 0, 9, 3);
    assert.deepEqual([...out], [0, 0, 0, 0, 0]);
  });

  it("test floors and pairs from tables as floor.ts and paired.ts do", () => {
    const out = five();
    const fewer = new Float64Array(4);
    fc.assert(
      fc.property(fc.constantFrom(0, 0.005, 0.05, 0.3, 0.7, 1), arm, (t, { n, bad }) => {
        const counts = Float64Array.from([n - bad, bad]);
        tableBet(out, floorTable(t, "freeze"), counts);
        assert.deepEqual([...out], oneSample(binaryHistogram(n, bad), t, floorAlternatives(t).freeze));
        tableBet(fewer, floorTable(t, "advance"), counts);
        assert.deepEqual([...fewer], oneSample(binaryHistogram(n, bad), t, floorAlternatives(t).advance));
      }),
    );
    const differences = Array.from({ length: 201 }, (_, i) => (i - 100) / 100);
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 0.6, noNaN: true }),
        use,
        fc.array(fc.constantFrom(0, 0, 1, 8), { minLength: 201, maxLength: 201 }),
        (d, direction, counts) => {
          tableBet(out, pairedTable(d, direction), Float64Array.from(counts));
          assert.deepEqual([...out], pairedBet({ values: differences, counts }, d, direction));
        },
      ),
    );
  });

  it("mix, temper and set aside as the processes do", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 8 }), fc.integer({ min: 1, max: 4 }), deff, (blocks, aside, factor) => {
        const want = blocks.reduce(addToFreeze, createFreeze(undefined, aside));
        const q = five();
        const top = new Float64Array(5 * aside);
        for (const b of blocks) addFreeze(q, top, Float64Array.from(b));
        assert.deepEqual([...q], want.q);
        assert.deepEqual([...top], want.top.flat());
        assert.equal(temperedMixture(q, freezeWeights, factor), freezeLogE(want, factor));
        assert.equal(mixtureWithout(q, top, freezeWeights, factor), freezeLogEMinus(want, factor));
      }),
    );
    assert.equal(mixture(Float64Array.from([5e9, -1e9, 3, 2, 1]), pairedWeights), mix([5e9, -1e9, 3, 2, 1], PAIRED_WEIGHTS));
  });

  it("reflect and latch as an advance process does", () => {
    const ceiling = threshold(0.05);
    fc.assert(
      fc.property(fc.array(block, { maxLength: 12 }), deff, fc.boolean(), (blocks, factor, isFloor) => {
        const weights = isFloor ? floorAdvanceWeights : advanceWeights;
        let want = createAdvance(ceiling, isFloor ? FLOOR_ADVANCE_WEIGHTS : undefined);
        const q = new Float64Array(weights.length);
        let isSafe = false;
        for (const b of blocks) {
          want = addToAdvance(want, b, factor);
          isSafe = addAdvance(q, Float64Array.from(b), weights, ceiling, isSafe, factor);
          assert.deepEqual([...q], want.q);
          assert.equal(isSafe, want.safe);
          assert.equal(Math.min(temperedMixture(q, weights, factor), ceiling), advanceLogE(want, factor));
        }
      }),
    );
  });

  it("refuse evidence that is not finite, as every bet does", () => {
    assert.throws(() => mixture(Float64Array.from([1, Number.NaN]), Float64Array.from([0.5, 0.5])), { code: "EVALUATION_ERROR" });
    assert.throws(() => binaryBet(five(), betSizes({ kind: "percentile", level: 0.95 }, "freeze"), Number.NaN, 9, 1, 9, 1), { code: "EVALUATION_ERROR" });
  });

  it("follow the specification's sequence", () => {
    const { config, blocks } = vectors.sequence;
    const sizes = {
      freeze: betSizes({ kind: "difference", tolerated: config.d0, limit: config.d1 }, "freeze"),
      advance: betSizes({ kind: "difference", tolerated: config.d0, limit: config.d1 }, "advance"),
    };
    const [out, q, top, safe] = [five(), five(), new Float64Array(10), five()];
    let isSafe = false;
    for (const b of blocks) {
      binaryBet(out, sizes.freeze, b.pref, b.na, b.ya, b.nb, b.yb);
      sameNano([...out], b.block_q, "freeze");
      addFreeze(q, top, out);
      binaryBet(out, sizes.advance, b.pref, b.na, b.ya, b.nb, b.yb);
      sameNano([...out], b.advance_block_q, "advance");
      isSafe = addAdvance(safe, out, advanceWeights, config.ceiling_q, isSafe, 1);
      assert.equal(isSafe, b.safe);
    }
    const last = blocks.at(-1);
    assert.ok(last !== undefined && Math.abs(temperedMixture(q, freezeWeights, 1) - last.log_e_q) <= 2 * blocks.length);
    assert.equal(FREEZE_WEIGHTS.length, freezeWeights.length);
  });
});
