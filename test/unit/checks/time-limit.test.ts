import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Budget, TimeLimit } from "../../../src/checks/time-limit.ts";

describe("the time limit of checks", () => {
  it("stops what does not end, and runs what comes next", () => {
    const limit = new TimeLimit();
    const budget = new Budget();
    assert.equal(
      limit.run(() => /^(a+)+$/.test(`${"a".repeat(40)}!`), budget),
      "overran",
    );
    assert.equal(
      limit.run(() => true, budget),
      true,
    );
  });

  it("runs nothing while a budget is used up, says so, and goes on when time has passed; others have their own", () => {
    let nowMs = 0;
    const now = () => nowMs;
    const limit = new TimeLimit();
    const [budget, other] = [new Budget(now), new Budget(now)];
    const slow = () => {
      nowMs += 51;
      return true;
    };
    for (let i = 0; i < 30; i++) limit.run(slow, budget);
    const atMs = nowMs;
    assert.equal(limit.run(slow, budget), "unpaid");
    assert.equal(nowMs, atMs);
    assert.equal(limit.run(slow, other), true);
    nowMs += 1_000;
    assert.equal(limit.run(slow, budget), true);
  });

  it("takes work that fails as not done", () => {
    const failing = () => {
      throw new RangeError("stack");
    };
    assert.equal(new TimeLimit().run(failing, new Budget()), "overran");
  });
});
