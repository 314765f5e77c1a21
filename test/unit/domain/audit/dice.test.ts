import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Dice } from "../../../../src/domain/audit/dice.ts";

/** Largest distance, in standard deviations of each cell, between counts and the probabilities of a distribution. */
function distance(draws: readonly number[], probability: (k: number) => number): number {
  const counts = new Map<number, number>();
  for (const k of draws) counts.set(k, (counts.get(k) ?? 0) + 1);
  let worst = 0;
  for (const [k] of counts) {
    const expected = draws.length * probability(k);
    if (expected >= 20) worst = Math.max(worst, Math.abs((counts.get(k) ?? 0) - expected) / Math.sqrt(expected));
  }
  return worst;
}

function lnFactorial(k: number): number {
  let sum = 0;
  for (let i = 2; i <= k; i++) sum += Math.log(i);
  return sum;
}
const binomial = (n: number, p: number) => (k: number) =>
  Math.exp(lnFactorial(n) - lnFactorial(k) - lnFactorial(n - k) + k * Math.log(p) + (n - k) * Math.log(1 - p));
const poisson = (mean: number) => (k: number) => Math.exp(k * Math.log(mean) - mean - lnFactorial(k));
const draw = (n: number, one: () => number) => Array.from({ length: n }, one);

describe("dice", () => {
  it("throw binomial and Poisson numbers by every method (each within 4.5 standard deviations; fixed seed)", () => {
    const dice = new Dice(7);
    for (const [n, p] of [
      [20, 0.1],
      [600, 0.004],
      [200, 0.3],
      [50, 0.9],
      [5_000, 0.05],
    ] as const) {
      assert.ok(
        distance(
          draw(20_000, () => dice.binomial(n, p)),
          binomial(n, p),
        ) < 4.5,
        `binomial ${n} ${p}`,
      );
    }
    for (const mean of [0.3, 6, 11.9, 12.1, 60, 540]) {
      assert.ok(
        distance(
          draw(20_000, () => dice.poisson(mean)),
          poisson(mean),
        ) < 4.5,
        `poisson ${mean}`,
      );
    }
    const uniform = draw(20_000, () => dice.below(10));
    assert.ok(distance(uniform, () => 0.1) < 4.5);
  });

  it("throw the same for the same seed and stream, others for others, and know the edges", () => {
    const numbers = (seed: number, stream: number) => {
      const dice = new Dice(seed, stream);
      return draw(4, () => dice.uniform());
    };
    assert.deepEqual(numbers(1, 2), numbers(1, 2));
    const all = [numbers(1, 2), numbers(1, 3), numbers(2, 2), numbers(2 ** 33 + 1, 2)].map(String);
    assert.equal(new Set(all).size, 4);
    const dice = new Dice(1);
    assert.deepEqual([dice.binomial(0, 0.5), dice.binomial(9, 0), dice.binomial(9, 1), dice.poisson(0)], [0, 0, 9, 0]);
  });
});
