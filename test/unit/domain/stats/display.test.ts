import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hajek } from "../../../../src/domain/stats/hajek.ts";
import { addToInterval, emptyInterval, interval } from "../../../../src/domain/stats/interval.ts";
import { near, vectors } from "./vectors.ts";

describe("what people are shown", () => {
  it("gives the specification's weighted mean and variance", () => {
    for (const c of vectors.hajek) {
      const [w, w2, wy, w2y, w2y2] = c.sums;
      const got = hajek({ w, w2, wy, w2y, w2y2 });
      if (c.mean === null) assert.equal(got, null);
      else {
        near(got?.mean ?? Number.NaN, c.mean, "mean");
        near(got?.variance ?? Number.NaN, c.var ?? Number.NaN, "variance");
      }
    }
  });

  it("draws an interval around the weighted difference that narrows with records", () => {
    const arms = (n: number) =>
      [
        { n, mean: 0.2, v: 0.16 },
        { n, mean: 0.15, v: 0.1275 },
      ] as const;
    const [few, many] = [100, 10_000].map((n) => interval(addToInterval(emptyInterval, ...arms(n)), 0.04, 0.05));
    assert.ok(few && many);
    near(few.centre, 0.05, "centre");
    assert.ok(few.high - few.low > many.high - many.low);
    assert.ok(few.low < 0 && many.low > 0);
    // By hand: V = 1 / (0.16/100 + 0.1275/100), rho = 625.
    const [v, rho] = [1 / (0.0016 + 0.001275), 625];
    near(few.high - few.centre, Math.sqrt((v + rho) * (2 * Math.log(20) + Math.log((v + rho) / rho))) / v, "half-width");
  });

  it("has no interval without data, without spread, or without a gap", () => {
    const arm = { n: 5, mean: 0, v: 0 };
    assert.equal(interval(emptyInterval, 0.04, 0.05), null);
    assert.equal(interval(addToInterval(emptyInterval, arm, arm), 0.04, 0.05), null);
    assert.equal(interval(addToInterval(emptyInterval, { ...arm, n: 0 }, { n: 5, mean: 1, v: 1 }), 0.04, 0.05), null);
    assert.equal(interval({ precision: 1, weighted: 1 }, 0, 0.05), null);
  });
});
