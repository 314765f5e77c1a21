import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { good, spec, World } from "../../../fixtures/rollout-world.ts";

describe("what an event shows in shadow", () => {
  const world = new World({ candidate: { ...good, taskFail: 0.4 }, baseline: { ...good, taskFail: 0.1 } });
  world.apply(spec());
  world.minutes(30, ({ events }) => events.some(({ action }) => action === "rolled_back"));
  const shown = (signal: string) => world.events.at(-1)?.signals.find((found) => found.signal === signal) ?? assert.fail("no evidence");

  it("is the difference on the same prompts for judged pairs, and no rate of the candidate that nobody measured", () => {
    const { candidateValue, delta, candidateN } = shown("task_completion");
    assert.equal(candidateValue, null);
    assert.ok(candidateN > 100 && delta !== null && Math.abs(delta - 0.3) < 0.1, `${delta}`);
  });

  it("is the candidate's own side for checks, which see every mirrored call", () => {
    assert.ok((shown("schema_validity").candidateValue ?? 0) > 0.98);
  });
});
