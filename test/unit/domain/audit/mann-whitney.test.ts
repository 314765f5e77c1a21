import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hodgesLehmann, isClearlyLarger, mannWhitneyZ } from "../../../../src/domain/audit/mann-whitney.ts";

describe("Mann-Whitney", () => {
  it("agrees with counting pairs, ties half, and is antisymmetric", () => {
    const values = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 5, maxLength: 25 });
    fc.assert(
      fc.property(values, values, (x, y) => {
        const z = mannWhitneyZ(x, y);
        const wins = x.reduce((sum, a) => sum + y.reduce((inner, b) => inner + (a > b ? 1 : a === b ? 0.5 : 0), 0), 0);
        const distance = wins - (x.length * y.length) / 2;
        assert.ok(Math.abs(distance) < 0.5 ? Math.abs(z) < 0.5 : z === 0 || Math.sign(z) === Math.sign(distance));
        assert.ok(Math.abs(z + mannWhitneyZ(y, x)) < 1e-9);
      }),
    );
  });

  it("gives the published score of a worked example", () => {
    // Hollander and Wolfe 1973, Nonparametric Statistical Methods, page 69: permeability of membranes; W = 35 of 10 x 5 pairs.
    const term = [0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    const early = [1.15, 0.88, 0.9, 0.74, 1.21];
    assert.ok(Math.abs(mannWhitneyZ(term, early) - (35 - 25 - 0.5) / Math.sqrt((10 * 5 * 16) / 12)) < 1e-12);
    assert.ok(Math.abs(hodgesLehmann(term, early) - 0.305) < 1e-9);
  });

  it("tolerates a quarter of the shift that it estimates, and says nothing of equal values", () => {
    const y = Array.from({ length: 60 }, (_, i) => 100 + (i % 10));
    const by = (shift: number) => y.map((value) => value + shift);
    assert.equal(isClearlyLarger(by(20), y, 0.25), true);
    assert.equal(isClearlyLarger(by(0), y, 0.25), false);
    assert.equal(isClearlyLarger(by(-20), y, 0.25), false);
    assert.equal(mannWhitneyZ([1, 1, 1], [1, 1, 1]), 0);
    // Significant, but the lower bound of the shift is within the tolerance.
    assert.ok(mannWhitneyZ(by(2), y) > 2.33);
    assert.equal(isClearlyLarger(by(2), y, 0.99), false);
  });
});
