import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pipeline, type Stage } from "../../src/pipeline.ts";
import { allTopics } from "../../topics/index.ts";

/** What flows back, or comes from outside: everything else a stage reads must have been written by an earlier one. */
const mayFlowBack = ["routing", "brakes", "rollouts", "commands", "fleet", "catalog", "outcomes"];

function readTooEarly(stages: readonly Stage[]): string[] {
  const written = new Set(mayFlowBack);
  return stages.flatMap(({ stage, reads, writes }) => {
    const early = reads.filter((topic) => !written.has(topic.name)).map((topic) => `${stage} reads ${topic.name} too early`);
    for (const topic of writes) written.add(topic.name);
    return early;
  });
}

const isForAnyone = (names: readonly string[]): boolean => names.some((name) => /any system|any subscriber|anyone|people/.test(name));

describe("the pipeline", () => {
  it("flows one way: a stage reads only what an earlier stage wrote, but for the few topics that flow back", () => {
    assert.deepEqual(readTooEarly(pipeline), []);
  });

  it("would be seen flowing backwards", () => {
    assert.notDeepEqual(readTooEarly([...pipeline].reverse()), []);
  });

  it("writes and reads every topic: by a stage, or by any system where the contract says so", () => {
    const written = new Set(pipeline.flatMap(({ writes }) => writes));
    const read = new Set(pipeline.flatMap(({ reads }) => reads));
    assert.ok(allTopics.length > 10);
    assert.deepEqual(
      allTopics.filter((topic) => !written.has(topic) && !isForAnyone(topic.writers)).map((topic) => topic.name),
      [],
      "written by nobody",
    );
    assert.deepEqual(
      allTopics.filter((topic) => !read.has(topic) && !isForAnyone(topic.readers)).map((topic) => topic.name),
      [],
      "read by nobody",
    );
  });

  it("agrees with the contracts about who reads and who writes", () => {
    const disagreeing = pipeline.flatMap(({ stage, reads, writes }) => {
      const role = stage.split(" ")[0] ?? "";
      return [
        ...reads.filter((topic) => !topic.readers.includes(role)).map((topic) => `${role} is no reader of ${topic.name}`),
        ...writes.filter((topic) => !topic.writers.includes(role)).map((topic) => `${role} is no writer of ${topic.name}`),
      ];
    });
    assert.deepEqual(disagreeing, []);
  });

  it("has only topics of the contract, each with a name of its own", () => {
    const known = new Set(allTopics);
    assert.deepEqual(
      pipeline.flatMap(({ reads, writes }) => [...reads, ...writes]).filter((topic) => !known.has(topic)),
      [],
    );
    assert.equal(new Set(allTopics.map((topic) => topic.name)).size, allTopics.length);
  });
});
