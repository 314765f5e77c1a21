import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { advanceLimit, alphaSpent, combine, shares, sliceShares } from "../../../../src/domain/stats/combine.ts";
import { threshold } from "../../../../src/domain/stats/nano-nats.ts";
import { KnownError } from "../../../../src/errors/known-error.ts";
import { near, sameNano, vectors } from "./vectors.ts";

describe("combining evidence", () => {
  it("gives the specification's mean and shares", () => {
    const logA = combine(vectors.combine.parts.map(([weight, logE]) => ({ weight, logE })));
    sameNano(logA, vectors.combine.log_a_q, "A");
    assert.ok(logA < threshold(0.05));
    for (const c of vectors.slice_shares) sliceShares(c.share).forEach((q, i) => void near(q, c.q[i] ?? 0, `slice ${i}`));
    for (const c of vectors.weights) shares(c.t).forEach((w, i) => void near(w, c.w[i] ?? 0, `weight ${i}`));
  });

  it("refuses weights that do not sum to 1", () => {
    const evaluationError = (error: unknown) => error instanceof KnownError && error.code === "EVALUATION_ERROR";
    assert.throws(() => combine([{ weight: 0.5, logE: 0 }]), evaluationError);
    assert.throws(() => combine([]), evaluationError);
    assert.throws(() => combine([{ weight: Number.NaN, logE: 0 }]), evaluationError);
  });

  it("narrows the limit by what is unscored, down to no data", () => {
    for (const c of vectors.ni_margin) {
      const got = advanceLimit(c.d1, c.u, c.u1);
      if (c.margin === null) assert.equal(got, null);
      else near(got ?? Number.NaN, c.margin, JSON.stringify(c));
    }
  });

  it("shows evidence as the share of alpha that it has spent", () => {
    assert.equal(alphaSpent(0.05, 0), 0.05);
    near(alphaSpent(0.05, threshold(0.05)), 1, "at the threshold");
    assert.equal(alphaSpent(0.05, 9e12), 1);
  });
});
