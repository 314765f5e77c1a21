import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StallWatch } from "../../../src/runtime/stall-watch.ts";

/** A Kafka that answers when it is told to, and a clock. */
function world() {
  const state = { nowMs: 0, asked: [] as { answer: () => void; fail: () => void }[] };
  const reach = () => new Promise<void>((resolve, reject) => state.asked.push({ answer: resolve, fail: () => reject(new Error("away")) }));
  const watch = new StallWatch(30_000, reach, () => state.nowMs);
  /** Looks after so long; Kafka answers at once, or not at all. */
  const lookAfter = async (ms: number, kafka: "answers" | "is away" = "answers") => {
    state.nowMs += ms;
    const looking = watch.look();
    const question = state.asked.pop();
    if (kafka === "answers") question?.answer();
    else question?.fail();
    return looking;
  };
  return { state, watch, lookAfter };
}

describe("the watch over a consumer", () => {
  it("finds one that has stopped after two silences in which Kafka answered", async () => {
    const { watch, lookAfter } = world();
    watch.sign();
    assert.equal(await lookAfter(29_000), false);
    assert.equal(await lookAfter(1_000), false);
    assert.equal(await lookAfter(1_000), false, "the second silence has only begun");
    assert.equal(await lookAfter(29_000), true);
  });

  it("suspects nobody while Kafka is away, nor who has done something since", async () => {
    const { watch, lookAfter } = world();
    assert.equal(await lookAfter(30_000), false);
    assert.equal(await lookAfter(30_000, "is away"), false);
    assert.equal(await lookAfter(30_000), false, "one silence alone");
    watch.sign();
    assert.equal(await lookAfter(30_000), false);
    assert.equal(await lookAfter(30_000), true);
  });

  it("asks one question at a time, and takes the late answers of a Kafka that hung for no proof", async () => {
    const { state, watch } = world();
    const looks: Promise<boolean>[] = [];
    for (let i = 0; i < 90; i++) {
      state.nowMs += 1_000;
      looks.push(watch.look());
    }
    assert.equal(state.asked.length, 1);
    state.asked[0]?.answer();
    assert.deepEqual(new Set(await Promise.all(looks)), new Set([false]));
    state.nowMs += 1_000;
    assert.equal(await watch.look(), false, "the consumer has time to come back");
    assert.equal(state.asked.length, 1);
  });
});
