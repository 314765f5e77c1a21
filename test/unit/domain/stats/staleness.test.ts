import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { expectedRecords, isSilent } from "../../../../src/domain/stats/staleness.ts";

describe("staleness", () => {
  it("expects of an arm what the other one had, by the split", () => {
    assert.equal(expectedRecords(900, 0.1, 0.9), 100);
    assert.equal(expectedRecords(900, 0.1, 0), 0);
  });

  it("calls an arm silent only when chance does not explain it", () => {
    assert.ok(isSilent(0, 12));
    assert.ok(!isSilent(0, 11.9));
    assert.ok(!isSilent(1, 1000));
  });
});
