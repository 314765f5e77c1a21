import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TimeLimit } from "../../../src/checks/time-limit.ts";

describe("the time limit of checks", () => {
  it("stops what does not end, and runs what comes next", () => {
    const limit = new TimeLimit();
    assert.equal(
      limit.run(() => /^(a+)+$/.test(`${"a".repeat(40)}!`)),
      null,
    );
    assert.equal(
      limit.run(() => true),
      true,
    );
  });

  it("runs nothing while its budget is used up, and goes on when time has passed", () => {
    let nowMs = 0;
    const limit = new TimeLimit(() => nowMs);
    const slow = () => {
      nowMs += 51;
      return true;
    };
    for (let i = 0; i < 30; i++) limit.run(slow);
    assert.equal(limit.run(slow), null);
    nowMs += 1_000;
    assert.equal(limit.run(slow), true);
  });

  it("takes work that fails as not done", () => {
    assert.equal(
      new TimeLimit().run(() => {
        throw new RangeError("stack");
      }),
      null,
    );
  });
});
