import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mix, threshold } from "../../../../src/domain/stats/nano-nats.ts";
import { SPLIT_ALPHA, SPLIT_WEIGHTS, splitEvidence } from "../../../../src/domain/stats/split-health.ts";
import { sameNano, vectors } from "./vectors.ts";

describe("split health", () => {
  it("gives the specification's numbers", () => {
    for (const c of vectors.srm.cases) {
      const q = splitEvidence(c.first, c.total, c.p);
      sameNano(q, c.q, JSON.stringify(c));
      sameNano(mix(q, SPLIT_WEIGHTS), c.log_e_q, JSON.stringify(c));
    }
  });

  it("finds the same from either arm, nothing in an exact split, and a mismatch in a wrong one", () => {
    assert.deepEqual(splitEvidence(9000, 10000, 0.9), splitEvidence(1000, 10000, 1 - 0.9));
    assert.ok(mix(splitEvidence(1000, 10000, 0.1), SPLIT_WEIGHTS) < 0);
    assert.ok(mix(splitEvidence(1300, 10000, 0.1), SPLIT_WEIGHTS) > threshold(SPLIT_ALPHA));
  });

  it("has nothing to test without a split", () => {
    assert.deepEqual(new Set([...splitEvidence(5, 5, 1), ...splitEvidence(0, 5, 0)]), new Set([0]));
  });
});
