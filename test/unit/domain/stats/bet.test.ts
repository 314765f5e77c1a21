import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  balancedBet,
  balancedLogE,
  bet,
  coefficients,
  decayAndAdd,
  deltas,
  HALF_LIFE_MS,
  nullsOf,
  predictableMean,
  predictableVariance,
} from "../../../../src/domain/stats/bet.ts";
import { binaryHistogram, emptyHistogram } from "../../../../src/domain/stats/histogram.ts";
import { nano } from "../../../../src/domain/stats/nano-nats.ts";
import { histogram, near, sameNano, vectors } from "./vectors.ts";

const binomial = (n: number, y: number, p: number): number => {
  let choose = 1;
  for (let i = 0; i < y; i++) choose *= (n - i) / (i + 1);
  return choose * p ** y * (1 - p) ** (n - y);
};

describe("the balanced bet", () => {
  it("rests on a copy of the specification's vectors", (t) => {
    const shared = new URL("../../../../../shared/stats/vectors.json", import.meta.url);
    if (!existsSync(shared)) return t.skip("the specification is not beside the project");
    assert.deepEqual(vectors, JSON.parse(readFileSync(shared, "utf8")));
  });

  it("gives the specification's numbers for binary blocks, edges included", () => {
    assert.equal(vectors.balanced_bet_binary.length, 20);
    for (const c of vectors.balanced_bet_binary) {
      const about = JSON.stringify(c);
      const [known, nullHypothesis] = [
        { pref: c.pref, v: null },
        { s: 1, d: c.d },
      ];
      const logE = balancedLogE(binaryHistogram(c.na, c.ya), binaryHistogram(c.nb, c.yb), known, nullHypothesis, c.D);
      near(logE, c.log_e, about);
      sameNano(nano(logE), c.q, about);
      if (c.c_a === undefined) continue;
      const { ca, ta, cb, tb } = coefficients(c.na, c.nb, known, nullHypothesis, c.D);
      near(ca, c.c_a, about);
      near(ta, c.t_a ?? Number.NaN, about);
      near(cb, c.c_b ?? Number.NaN, about);
      near(tb, c.t_b ?? Number.NaN, about);
    }
  });

  it("gives the specification's numbers for histograms of scores and costs", () => {
    assert.equal(vectors.balanced_bet_histogram.length, 8);
    for (const c of vectors.balanced_bet_histogram) {
      const about = JSON.stringify(c);
      const got = balancedBet(histogram(c.A), histogram(c.B), { pref: c.pref, v: c.v }, { s: c.s, d: c.d }, [c.D]);
      sameNano(got, [c.q], about);
    }
  });

  it("keeps the edges that section 5 of the specification states", () => {
    const clippedBoth = balancedLogE(binaryHistogram(990, 50), binaryHistogram(10, 0), { pref: 1, v: null }, { s: 1, d: 0.05 }, 0.04);
    near(clippedBoth, -2.152007574, "990, 50, 10, 0");
    const allBad = balancedLogE(binaryHistogram(99, 99), binaryHistogram(1, 1), { pref: 0.999, v: null }, { s: 1, d: 0.05 }, 0.2);
    near(allBad, -0.2363847948, "99, 99, 1, 1");
  });

  const setting = fc.record({
    na: fc.integer({ min: 1, max: 9 }),
    nb: fc.integer({ min: 1, max: 9 }),
    pref: fc.oneof(fc.constantFrom(0, 1e-9, 0.5, 0.999, 1), fc.double({ min: 0, max: 1, noNaN: true })),
    d: fc.constantFrom(0, 0.002, 0.01, 0.05, 0.3),
    s: fc.constantFrom(1, 1.04, 1.2),
    delta: fc.constantFrom(0.001, 0.02, 0.2, 0.9, -0.001, -0.02, -0.2, -0.9),
    mean: fc.double({ min: 0, max: 1, noNaN: true }),
    inside: fc.double({ min: 0, max: 1, noNaN: true }),
  });

  it("expects at most 1 from a binary block wherever the null holds, by summing over every outcome", () => {
    fc.assert(
      fc.property(setting, ({ na, nb, pref, d, s, delta, mean, inside }) => {
        const boundary = s * mean + d;
        if (delta < 0 && boundary > 1) return;
        const meanA = delta > 0 ? Math.min(boundary, 1) * inside : boundary + (1 - boundary) * inside;
        let expectation = 0;
        for (let ya = 0; ya <= na; ya++) {
          for (let yb = 0; yb <= nb; yb++) {
            const logE = balancedLogE(binaryHistogram(na, ya), binaryHistogram(nb, yb), { pref, v: null }, { s, d }, delta);
            expectation += binomial(na, ya, meanA) * binomial(nb, yb, mean) * Math.exp(logE);
          }
        }
        assert.ok(expectation <= 1 + 1e-9, `expects ${expectation}`);
      }),
      { numRuns: 400 },
    );
  });

  it("is finite for every block and setting, and never stakes the whole capital on a record", () => {
    fc.assert(
      fc.property(setting, fc.array(fc.nat(50), { maxLength: 5 }), fc.array(fc.nat(50), { maxLength: 5 }), (x, countsA, countsB) => {
        const values = [0, 0.01, 0.4, 0.99, 1];
        const [a, b] = [
          { values, counts: countsA },
          { values, counts: countsB },
        ];
        const [q] = balancedBet(a, b, { pref: x.pref, v: 0.02 }, { s: x.s, d: x.d }, [x.delta]);
        assert.ok(Number.isSafeInteger(q));
        const { ca, ta, cb, tb } = coefficients(x.na, x.nb, { pref: x.pref, v: null }, { s: x.s, d: x.d }, x.delta);
        for (const left of [1 - ca * ta, 1 + ca * (1 - ta), 1 - cb * tb, 1 + cb * (1 - tb)]) assert.ok(left > 0.09, `leaves ${left}`);
      }),
    );
  });

  it("takes an empty arm, or two, for no evidence at all", () => {
    const some = binaryHistogram(50, 2);
    const known = { pref: 0.05, v: null };
    for (const [a, b] of [
      [emptyHistogram, some],
      [some, emptyHistogram],
      [binaryHistogram(0, 0), binaryHistogram(0, 0)],
    ] as const) {
      assert.deepEqual(balancedBet(a, b, known, { s: 1, d: 0.01 }, [0.04, -0.05]), [0, 0]);
    }
  });

  it("finds more harm the more of the candidate's records are bad, and less the more of the baseline's are", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(59), fc.double({ min: 0, max: 1, noNaN: true }), (n, bad, pref) => {
        const y = bad % n;
        const logE = (a: number, b: number, delta: number) =>
          balancedLogE(binaryHistogram(n, a), binaryHistogram(2 * n, b), { pref, v: null }, { s: 1, d: 0.01 }, delta);
        assert.ok(logE(y + 1, y, 0.04) > logE(y, y, 0.04));
        assert.ok(logE(y, y + 1, 0.04) < logE(y, y, 0.04));
        assert.ok(logE(y + 1, y, -0.04) < logE(y, y, -0.04));
      }),
    );
  });

  it("does not depend on empty values in a histogram", () => {
    const lean = { values: [0, 0.5], counts: [3, 4] };
    const padded = { values: [0, 0.1, 0.5, 1], counts: [3, 0, 4, 0] };
    assert.equal(bet(padded, 0.7, 0.2), bet(lean, 0.7, 0.2));
  });

  it("bets on the effect sizes of the specification's table, per kind of margin", () => {
    const difference = deltas({ kind: "difference", tolerated: 0.01, limit: 0.05 }, 0.15);
    assert.deepEqual(difference, { freeze: [0.02, 0.04, 0.08, 0.16, 0.32], advance: [0.4, 0.6, 0.8, 1, 1.2].map((m) => -0.05 * m) });
    const ratio = deltas({ kind: "ratio", tolerated: 0.04, limit: 0.2 }, 0.05);
    ratio.freeze.forEach((x, i) => {
      near(x, 0.16 * 0.05 * ([0.5, 1, 2, 4, 8][i] ?? 0), "ratio to freeze");
    });
    ratio.advance.forEach((x, i) => {
      near(x, -0.2 * 0.05 * ([0.4, 0.6, 0.8, 1, 1.2][i] ?? 0), "ratio to advance");
    });
    const percentile = deltas({ kind: "percentile", level: 0.95 }, 0.05);
    near(percentile.freeze[1] ?? 0, 0.025, "percentile to freeze");
    near(percentile.advance[4] ?? 0, -0.025, "percentile to advance");
    assert.deepEqual(nullsOf({ kind: "ratio", tolerated: 0.04, limit: 0.2 }), { freeze: { s: 1.04, d: 0 }, advance: { s: 1.2, d: 0 } });
    assert.deepEqual(nullsOf({ kind: "difference", tolerated: 0.01, limit: 0.05 }), { freeze: { s: 1, d: 0.01 }, advance: { s: 1, d: 0.05 } });
    assert.deepEqual(nullsOf({ kind: "percentile", level: 0.95 }), { freeze: { s: 1, d: 0 }, advance: { s: 1, d: 0 } });
  });

  it("expects from earlier blocks alone, pulled to the reference by fifty records", () => {
    assert.equal(predictableMean({ n: 0, sum: 0 }, 0.15), 0.15);
    near(predictableMean({ n: 50, sum: 5 }, 0.2), 0.15, "half and half");
    near(predictableVariance({ n: 0, sum: 0, sumSquares: 0 }, 0.04), 0.04, "the reference");
    assert.equal(predictableVariance({ n: 1e9, sum: 0, sumSquares: 0 }, 0), 1e-6);
  });

  it("lets earlier blocks count half after six hours", () => {
    const aged = decayAndAdd({ n: 100, sum: 10, sumSquares: 8 }, HALF_LIFE_MS, { n: 2, sum: 1, sumSquares: 1 });
    near(aged.n, 52, "n");
    near(aged.sum, 6, "sum");
    near(aged.sumSquares, 5, "sum of squares");
    assert.deepEqual(decayAndAdd({ n: 3, sum: 2, sumSquares: 1 }, -5, { n: 1, sum: 0, sumSquares: 0 }), { n: 4, sum: 2, sumSquares: 1 });
  });
});
