import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, it } from "node:test";
import { demo, endings } from "../fixtures/demo.ts";

const directory = "../shared/data";
const skip = existsSync(directory) ? false : `needs the recorded calls in ${directory}`;

describe("npm run demo -- --data (recorded outputs of real models)", () => {
  it("ends as the truth of the recordings demands", { skip }, async (t) => {
    const result = await demo(t, ["--data", directory]);
    assert.deepEqual(endings(result), {
      "prime: gpt-4 March to June 2023": "rolled_back",
      "crux: gpt-4o to gpt-4o-mini": "rolled_back",
      "begin: CTRL to T5 (groundedness)": "rolled_back",
      "gsm: gpt-4o May to August 2024": "done",
      "llama-2-70b: anyscale to fireworks": "frozen_by_cohort",
      "prime: gpt-4 March becomes June under its name": "rerouted",
    });
    assert.deepEqual([result.ok, result.exitCode], [true, 0]);
  });
});
