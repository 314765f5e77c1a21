import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { demo, endings } from "../fixtures/demo.ts";

describe("npm run demo -- --seed 2 --swap good", () => {
  it("ends done where the regressed candidate was replaced by a healthy one", async (t) => {
    const result = await demo(t, ["--seed", "2", "--swap", "good"]);
    assert.deepEqual(endings(result), {
      "as good": "done",
      "as good (swapped in)": "done",
      "as good, but slower": "frozen_by_cohort",
      "changed by its provider": "rerouted",
    });
    assert.deepEqual([result.ok, result.exitCode], [true, 0]);
  });
});
