import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { detect, detectionBound, detectorLogM, referenceBound, referenceCells } from "../../../../src/domain/stats/drift.ts";
import { near, sameNano, vectors } from "./vectors.ts";

describe("drift detection", () => {
  it("gives the specification's e-detector and reference bounds", () => {
    let m: number | null = null;
    for (const c of vectors.e_detector) {
      m = detect(m, c.q);
      assert.ok(Math.abs(m - c.log_m_q) <= 10, `${m}, not ${c.log_m_q}`);
    }
    for (const c of vectors.reference_bound) near(referenceBound(c.y, c.n, c.d0, c.alpha, c.cells), c.bound, JSON.stringify(c));
    assert.equal(referenceBound(0, 0, 0.01, 0.01, 1), 1);
  });

  it("mixes only what has started", () => {
    assert.equal(detectorLogM([null, null], [0.5, 0.5]), null);
    assert.equal(detectorLogM([null, 4e9], [1, 0]), null);
    sameNano(detectorLogM([2e9, null], [0.5, 0.5]) ?? 0, Math.floor(1e9 * (2 + Math.log(0.5)) + 0.5), "half of one");
    assert.equal(detectionBound(432, 0.01), 43_200);
  });

  it("merges thin cells of the day with the next one, the last with the first", () => {
    const day = (...ns: number[]) => ns.map((n) => ({ n, bad: 1 }));
    assert.deepEqual(
      referenceCells(day(2000, 500, 1600, 900))?.map(({ cells }) => cells),
      [
        [1, 2],
        [3, 0],
      ],
    );
    assert.deepEqual(referenceCells(day(300, 300, 300, 300)), [{ cells: [0, 1, 2, 3], n: 1200, bad: 4 }]);
    assert.equal(referenceCells(day(300, 300, 300, 0)), null);
    assert.equal(referenceCells([]), null);
  });
});
