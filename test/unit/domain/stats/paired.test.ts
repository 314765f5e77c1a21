import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { mix } from "../../../../src/domain/stats/nano-nats.ts";
import { PAIRED_STAKES, PAIRED_WEIGHTS, pairedBet } from "../../../../src/domain/stats/paired.ts";
import { histogram, sameNano, vectors } from "./vectors.ts";

describe("the paired bet", () => {
  it("gives the specification's numbers in both directions", () => {
    assert.equal(vectors.paired.cases.length, 7);
    for (const c of vectors.paired.cases) {
      const q = pairedBet(histogram(c.counts), c.d, c.sign > 0 ? "freeze" : "advance");
      sameNano(q, c.q, JSON.stringify(c));
      sameNano(mix(q, PAIRED_WEIGHTS), c.log_e_q, JSON.stringify(c));
    }
  });

  it("expects at most 1 per pair wherever the null holds, also for a large margin", () => {
    const share = fc.double({ min: 0, max: 0.5, noNaN: true });
    fc.assert(
      fc.property(share, share, fc.constantFrom(0, 0.01, 0.05, 0.3, 0.9), fc.constantFrom("freeze" as const, "advance" as const), (worse, better, d, use) => {
        if (use === "freeze" ? worse - better > d : worse - better < d) return;
        const one = (x: number) => pairedBet({ values: [x], counts: [1] }, d, use).map((q) => Math.exp(q / 1e9));
        const [up, down, same] = [one(1), one(-1), one(0)];
        PAIRED_STAKES.forEach((_, k) => {
          const expectation = worse * (up[k] ?? 0) + better * (down[k] ?? 0) + (1 - worse - better) * (same[k] ?? 0);
          assert.ok(expectation <= 1 + 1e-8, `expects ${expectation}`);
        });
      }),
    );
  });
});
