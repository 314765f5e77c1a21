import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { burstyArrivals, recordedArrivals } from "../../../../src/dev/demo/arrivals.ts";
import { fill, noisyVerdicts } from "../../../../src/dev/demo/judge-endpoint.ts";
import { seeded } from "../../../../src/dev/demo/random.ts";
import { Replay } from "../../../../src/dev/demo/replay-upstream.ts";
import { builtInStories } from "../../../../src/dev/demo/stories.ts";
import { rolloutSpec } from "../../../../topics/rollout-spec.ts";

const take = (arrivals: Iterator<number, never>, n: number) => Array.from({ length: n }, () => arrivals.next().value);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("arrivals", () => {
  it("keep the mean rate that was asked for and are burstier than a Poisson process", () => {
    const waits = take(burstyArrivals(seeded(1), 20), 200_000);
    const average = mean(waits);
    assert.ok(Math.abs(average - 50) < 3, `mean ${average}`);
    const variance = mean(waits.map((wait) => (wait - average) ** 2));
    assert.ok(variance / average ** 2 > 1.2, "squared coefficient of variation of a Poisson process is 1");
  });

  it("as recorded are scaled to the rate and repeated", () => {
    assert.deepEqual(take(recordedArrivals([100, 200, 400], 2), 4).map(Math.round), [333, 667, 333, 667]);
  });
});

describe("the replay upstream", () => {
  const call = { prompt_id: "1", model_version: "a", prompt: "p", output: "x", latency_ms: 1000, cost_usd: 0.5 };
  const replay = new Replay([call, { ...call, prompt: "q", output: "y" }, { prompt_id: "2", model_version: "b", latency_ms: 700, output_tokens: 3 }], 10, 1);

  it("answers a prompt with what that version recorded for it, in the recorded time divided by the factor", () => {
    const answer = replay.answer(replay.find("a", "q") ?? assert.fail("nothing found"));
    assert.equal(answer.content, "y");
    assert.equal(answer.latencyMs, 100);
    assert.equal(answer.usage.cost, 0.5);
  });

  it("answers a model as another version once its provider has changed it, and knows no version that was not recorded", () => {
    const turned = new Replay([call, { ...call, model_version: "b", output: "z" }], 10, 1);
    assert.equal(turned.turn({ model: "a", becomes: "c" }), false);
    assert.equal(turned.find("a", "p")?.output, "x");
    assert.equal(turned.turn({ model: "a", becomes: "b" }), true);
    assert.equal(turned.find("a", "p")?.output, "z");
    assert.equal(turned.find("b", "p")?.output, "z");
  });

  it("draws a row of the version for a prompt that it never saw, with filler of the recorded length when there is no text", () => {
    const answer = replay.answer(replay.find("b", "never seen") ?? assert.fail("nothing found"));
    assert.equal(answer.content, "word word word");
    assert.equal(replay.find("no such version", "p"), undefined);
  });
});

describe("the judge endpoint", () => {
  const schema = {
    type: "object",
    properties: {
      task_completion: { type: "object", properties: { evidence: { type: "string" }, answered: { enum: ["yes", "no", "na"] } } },
      groundedness: { type: "number" },
    },
  };

  it("fills the schema that was asked for by the verdict on each signal", () => {
    const verdict = noisyVerdicts({ task_completion: true, groundedness: false }, 0, seeded(1));
    const filled = fill(schema, verdict, ["task_completion", "groundedness"]) as { task_completion: { answered: string }; groundedness: number };
    assert.equal(filled.task_completion.answered, "yes");
    assert.equal(filled.groundedness, 0);
  });

  it("errs at the stated rate, anew for each call", () => {
    const random = seeded(5);
    const wrong = Array.from({ length: 20_000 }, () => noisyVerdicts({ task_completion: true }, 0.05, random)("task_completion")).filter((verdict) => !verdict);
    assert.ok(Math.abs(wrong.length / 20_000 - 0.05) < 0.01);
  });
});

describe("the built-in stories", () => {
  it("have specs that fit the published schema", () => {
    for (const story of builtInStories(1, false)) assert.doesNotThrow(() => rolloutSpec.parse(story.spec));
  });

  it("are dealt to other routes and names by another seed, and `--swap good` only changes the second ending", () => {
    const names = (seed: number) => builtInStories(seed, false).map((story) => `${story.route} ${story.candidate}`);
    assert.notDeepEqual(names(1), names(2));
    assert.deepEqual(
      builtInStories(1, true).map((story) => story.ending),
      ["done", "done", "frozen_by_cohort", "rerouted"],
    );
  });
});
