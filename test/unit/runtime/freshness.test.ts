import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogAdmin } from "../../../src/runtime/kafka/admin.ts";
import { Freshness } from "../../../src/runtime/kafka/freshness.ts";

/** Leaders as the cluster tells them at the moment, and a clock. */
function world(leaders: readonly string[]) {
  const state = { leaders: new Set(leaders), nowMs: 1_000, asked: 0, isDown: false, isMute: false };
  const admin = {
    leadersOf: async () => {
      state.asked++;
      if (state.isMute) await new Promise(() => undefined);
      if (state.isDown) throw new Error("no broker answers");
      return new Map([...state.leaders].map((name) => [name, `${name}:9092`]));
    },
  } as unknown as LogAdmin;
  const freshness = new Freshness(admin, ["routing"], () => state.nowMs);
  /** Brokers answer, and what was asked meanwhile is told. Whether an answer was progress for all partitions. */
  const answers = async (...brokers: string[]) => {
    const isProgress = brokers.map((name) => {
      freshness.answered(`${name}:9092`);
      return freshness.fetched(name);
    });
    await new Promise(setImmediate);
    return isProgress;
  };
  return { state, freshness, answers };
}

describe("freshness", () => {
  it("is the oldest of the newest answers of all leaders", async () => {
    const { state, freshness, answers } = world(["a", "b"]);
    freshness.joined();
    await answers();
    await answers("a");
    assert.equal(freshness.freshAtMs, 0, "b has not answered");
    state.nowMs = 1_100;
    await answers("b", "c");
    assert.equal(freshness.freshAtMs, 1_000);
    state.nowMs = 1_200;
    await answers("a");
    assert.equal(freshness.freshAtMs, 1_100);
  });

  it("tells an answer that is progress for all partitions from one that others have to follow, so that nobody takes the reading of some for the reading of all", async () => {
    const { state, freshness, answers } = world(["a", "b"]);
    freshness.joined();
    assert.deepEqual(await answers("a"), [false], "who leads is not known yet");
    assert.deepEqual(await answers("a", "b"), [false, true]);
    for (let i = 0; i < 100; i++) {
      state.nowMs += 500;
      assert.deepEqual(await answers("a", "c"), [false, false], "b does not answer");
    }
    assert.deepEqual(await answers("b"), [true]);
  });

  it("is not claimed for answers that are errors, nor where nothing was asked", async () => {
    const { state, freshness, answers } = world(["a", "b"]);
    freshness.joined();
    await answers();
    await answers("a", "b");
    state.nowMs += 500;
    freshness.answered("a:9092"); // kafkajs tells of no fetch, for it has failed
    assert.deepEqual(await answers("b"), [false]);
    assert.equal(freshness.fetched("b"), false, "nothing was asked of b");
    assert.equal(freshness.freshAtMs, 1_000);
    state.nowMs += 500;
    assert.deepEqual(await answers("a", "b"), [true, true]);
    freshness.answered("a:9092");
    freshness.joined();
    await answers();
    state.nowMs += 500;
    assert.equal(freshness.fetched("a"), false, "the error of before the new generation");
  });

  it("goes on when a leadership has moved without a new generation of the group", async () => {
    const { state, freshness, answers } = world(["a", "b"]);
    freshness.joined();
    await answers();
    await answers("a", "b");
    state.leaders = new Set(["b", "c"]);
    for (let i = 0; i < 10; i++) {
      state.nowMs += 500;
      await answers("b", "c");
    }
    assert.equal(freshness.freshAtMs, state.nowMs);
    assert.ok(state.asked <= 3, `asked ${state.asked} times`);
  });

  it("goes on when a question is never answered, and takes no answer of before a new generation of the group", async () => {
    const { state, freshness, answers } = world(["a"]);
    freshness.joined();
    await answers();
    state.leaders = new Set(["b"]);
    state.isMute = true;
    for (let i = 0; i < 60; i++) {
      state.nowMs += 200;
      await answers("b");
    }
    assert.equal(freshness.freshAtMs, 0, "nobody says who leads");
    assert.ok(state.asked >= 3 && state.asked <= 6, `asked ${state.asked} times in 12 s`);
    state.isMute = false;
    for (let i = 0; i < 25; i++) {
      state.nowMs += 200;
      await answers("b");
    }
    assert.equal(freshness.freshAtMs, state.nowMs);

    state.leaders = new Set(["a"]);
    freshness.joined();
    state.leaders = new Set(["b"]);
    freshness.joined();
    await answers();
    state.nowMs += 100;
    await answers("a");
    assert.ok(freshness.freshAtMs < state.nowMs, "a led before the newest generation");
    await answers("b");
    assert.equal(freshness.freshAtMs, state.nowMs);
  });

  it("is not claimed while a leader is silent, and the cluster is not asked at each answer", async () => {
    const { state, freshness, answers } = world(["a", "b"]);
    freshness.joined();
    await answers();
    await answers("a", "b");
    for (let i = 0; i < 100; i++) {
      state.nowMs += 100;
      state.isDown = i % 2 === 0;
      await answers("a");
    }
    assert.equal(freshness.freshAtMs, 1_000);
    assert.ok(state.asked <= 6, `asked ${state.asked} times in 10 s`);
  });

  it("is not claimed for long when a leadership has gone to a broker that is silent, though all leaders of before go on answering", async () => {
    const { state, freshness, answers } = world(["a"]);
    freshness.joined();
    await answers();
    await answers("a");
    state.leaders = new Set(["a", "b"]);
    const movedAtMs = state.nowMs;
    for (let i = 0; i < 60; i++) {
      state.nowMs += 500;
      await answers("a");
    }
    assert.ok(freshness.freshAtMs <= movedAtMs + 11_000, `fresh ${freshness.freshAtMs - movedAtMs} ms after it went to b, which has never answered`);
    await answers("b");
    assert.equal(freshness.freshAtMs, state.nowMs);
  });

  it("asks who leads now and then only, while all is well", async () => {
    const { state, freshness, answers } = world(["a"]);
    freshness.joined();
    for (let i = 0; i < 600; i++) {
      state.nowMs += 100;
      await answers("a");
    }
    assert.equal(freshness.freshAtMs, state.nowMs);
    assert.ok(state.asked <= 7, `asked ${state.asked} times in a minute`);
  });
});
