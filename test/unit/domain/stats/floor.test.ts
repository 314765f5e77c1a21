import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { FREEZE_WEIGHTS } from "../../../../src/domain/stats/bet.ts";
import { FLOOR_ADVANCE_WEIGHTS, floorAlternatives, oneSample, oneSampleLogE } from "../../../../src/domain/stats/floor.ts";
import { binaryHistogram, emptyHistogram } from "../../../../src/domain/stats/histogram.ts";
import { mix, nano } from "../../../../src/domain/stats/nano-nats.ts";
import { histogram, sameNano, vectors } from "./vectors.ts";

describe("one-sample tests", () => {
  it("give the specification's numbers for the schema floor", () => {
    const { freeze, advance } = floorAlternatives(0.005);
    assert.deepEqual(freeze, vectors.floor.p);
    assert.deepEqual(advance, vectors.floor.p_advance);
    assert.equal(vectors.floor.cases.length, 9);
    for (const c of vectors.floor.cases) {
      const about = `${c.y} of ${c.n}`;
      const toFreeze = oneSample(binaryHistogram(c.n, c.y), c.p0, freeze);
      const toAdvance = oneSample(binaryHistogram(c.n, c.y), c.p0, advance);
      sameNano(toFreeze, c.freeze_q, about);
      sameNano(toAdvance, c.advance_q, about);
      sameNano(mix(toFreeze, FREEZE_WEIGHTS), c.log_e_q, about);
      sameNano(mix(toAdvance, FLOOR_ADVANCE_WEIGHTS), c.advance_log_e_q, about);
    }
  });

  it("give the specification's numbers on a grid, with and without a variance", () => {
    assert.equal(vectors.one_sample_grid.length, 16);
    for (const c of vectors.one_sample_grid) sameNano(nano(oneSampleLogE(histogram(c.counts), c.t, c.p, c.v)), c.q, JSON.stringify(c));
  });

  it("prove the worst of a candidate whose first two answers are both invalid", () => {
    assert.equal(Math.round(mix(oneSample(binaryHistogram(2, 2), 0.005, floorAlternatives(0.005).freeze), FREEZE_WEIGHTS) / 1e7), 685);
  });

  it("have alternatives on the right side of every floor, also of one above one half", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (t) => {
        const { freeze, advance } = floorAlternatives(t);
        const bound = Math.min(Math.max(t, 1e-6), 1 - 1e-6);
        for (const p of freeze) assert.ok(p > bound && p < 1);
        for (const p of advance) assert.ok(p < bound && p > 0);
      }),
    );
  });

  it("expect at most 1 while the null holds, by summing over every outcome", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 14 }),
        fc.double({ min: 0.001, max: 0.999, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom("freeze" as const, "advance" as const),
        (n, t, inside, use) => {
          const mean = use === "freeze" ? t * inside : t + (1 - t) * inside;
          for (const p of floorAlternatives(t)[use]) {
            let expectation = 0;
            let choose = 1;
            for (let y = 0; y <= n; y++) {
              expectation += choose * mean ** y * (1 - mean) ** (n - y) * Math.exp(oneSampleLogE(binaryHistogram(n, y), t, p));
              choose *= (n - y) / (y + 1);
            }
            assert.ok(expectation <= 1 + 1e-9, `expects ${expectation}`);
          }
        },
      ),
    );
  });

  it("test a floor of 100 % without infinite evidence", () => {
    const { freeze } = floorAlternatives(0);
    const [fine, broken] = [oneSample(binaryHistogram(100, 0), 0, freeze), oneSample(binaryHistogram(100, 1), 0, freeze)];
    assert.ok(mix(fine, FREEZE_WEIGHTS) <= 0 && mix(broken, FREEZE_WEIGHTS) > 0);
    assert.deepEqual(oneSample(emptyHistogram, 0.005, freeze), [0, 0, 0, 0, 0]);
  });
});
