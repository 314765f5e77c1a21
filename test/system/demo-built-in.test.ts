import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { demo, endings } from "../fixtures/demo.ts";

describe("npm run demo, seed 1", () => {
  it("ends as the truth demands: the good candidate done, the worse one rolled back before it served anybody much, the slower one frozen by the cohort gate, the drifted one rerouted", async (t) => {
    const result = await demo(t, ["--seed", "1"]);
    assert.deepEqual(endings(result), {
      "as good": "done",
      "worse in reality": "rolled_back",
      "as good, but slower": "frozen_by_cohort",
      "changed by its provider": "rerouted",
    });
    assert.deepEqual([result.ok, result.exitCode], [true, 0]);
    const drifted = result.stories.find(({ expected }) => expected === "rerouted") ?? assert.fail("no story about drift");
    assert.ok(drifted.exposedSubjects > 0 && (drifted.breachToDecisionS ?? 0) > 0, "subjects exposed and time to detect are told");
    assert.ok(result.stories.every((story) => Object.values(story.calls).some((calls) => calls > 0)));
  });
});
