import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Incoming, ParkError } from "../../../../src/runtime/port.ts";
import { JudgeTask } from "../../../../src/stages/3-judge/judge-task.ts";
import { type Sample, type Score, samples } from "../../../../topics/index.ts";
import { scoreWith } from "../../domain/signals/call-fixture.ts";
import { sampleWith } from "./parts.ts";

interface UnderWay {
  readonly finish: () => Promise<void>;
  readonly fail: (error: Error) => Promise<void>;
  readonly signal: AbortSignal;
}

/** A task with samples that finish when a test says so. */
function taskWith(window: number, committed?: { readonly offset: number; readonly metadata: string }) {
  const underWay = new Map<string, UnderWay>();
  let wakes = 0;
  const evaluate = (sample: Sample, signal: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<Score[]>();
    underWay.set(sample.requestId, {
      finish: async () => {
        resolve(sample.rubrics.map((_, i) => scoreWith({ requestId: sample.requestId, scoreId: `${sample.requestId}:${i}` })));
        await new Promise(setImmediate);
      },
      fail: async (error) => {
        reject(error);
        await new Promise(setImmediate);
      },
      signal,
    });
    return promise;
  };
  const context = { partition: 0, wake: () => wakes++, partitionsOf: () => 1, now: () => 0 };
  const task = new JudgeTask(context, { evaluate, partitionFor: () => 3, window });
  task.start(new Map(committed === undefined ? [] : [[samples.name, committed]]));
  const at = (offset: number, value: Sample | null = sampleWith({ requestId: `r${offset}` })): Incoming => {
    return { topic: samples.name, partition: 0, offset, key: null, appendedAtMs: 0, value, headers: {} };
  };
  const take = (...offsets: number[]) => {
    for (const offset of offsets) task.take(at(offset));
  };
  const finish = async (...offsets: number[]) => {
    for (const offset of offsets) await underWay.get(`r${offset}`)?.finish();
  };
  const flushed = () => {
    const batch = task.flush();
    return batch && { ids: batch.outputs.map(({ value }) => (value as Score).scoreId), ...batch.offsets?.samples };
  };
  return { task, take, finish, flushed, at, underWay, wakes: () => wakes };
}

describe("the judge's task", () => {
  it("publishes what is finished with the oldest unfinished sample as its offset, each once", async () => {
    const { take, finish, flushed } = taskWith(10);
    take(0, 1, 2, 4);
    await finish(1, 4);
    assert.deepEqual(flushed(), { ids: ["r1:0", "r4:0"], offset: 0, metadata: "1;5;0.2" });
    assert.equal(flushed(), null);
    await finish(0, 2);
    assert.deepEqual(flushed(), { ids: ["r0:0", "r2:0"], offset: 5, metadata: "" });
  });

  it("goes on after a restart with what was not published, and asks about nothing else", async () => {
    const { take, finish, flushed, underWay } = taskWith(10, { offset: 0, metadata: "1;5;0.2" });
    take(0, 1, 2, 4, 5);
    assert.deepEqual([...underWay.keys()], ["r0", "r2", "r5"]);
    await finish(5, 2, 0);
    assert.deepEqual(flushed(), { ids: ["r0:0", "r2:0", "r5:0"], offset: 6, metadata: "" });
  });

  it("is full with its window, also when a single sample holds everything up, and wakes when half of it is free", async () => {
    const { task, take, finish, wakes } = taskWith(4);
    take(0, 1, 2);
    assert.ok(!task.isFull());
    take(3);
    assert.ok(task.isFull());
    await finish(1);
    assert.equal(wakes(), 0);
    await finish(2);
    assert.equal(wakes(), 1);
    assert.ok(!task.isFull());
    await finish(3);
    assert.equal(wakes(), 1, "nobody waits for this place");
  });

  it("is full when a sample lags too far behind what would be read again", () => {
    const { task, take } = taskWith(4);
    take(0, 20_000);
    assert.ok(task.isFull());
  });

  it("commits samples without a rubric too", async () => {
    const { task, at, finish, flushed } = taskWith(4);
    task.take(at(7, sampleWith({ requestId: "r7", rubrics: [] })));
    await finish(7);
    assert.deepEqual(flushed(), { ids: [], offset: 8, metadata: "" });
  });

  it("parks a record without a value and goes past it", async () => {
    const { task, at, take, finish, flushed } = taskWith(4);
    take(0);
    assert.throws(() => task.take(at(1, null)), ParkError);
    task.parked("samples", 2);
    await finish(0);
    assert.deepEqual(flushed(), { ids: ["r0:0"], offset: 3, metadata: "" });
  });

  it("aborts what is under way when it stops, without calling that an error", async () => {
    const { task, take, flushed, underWay, wakes } = taskWith(4);
    take(0);
    task.stop();
    assert.ok(underWay.get("r0")?.signal.aborted);
    await underWay.get("r0")?.fail(new Error("aborted"));
    assert.equal(wakes(), 0);
    assert.equal(flushed(), null);
  });

  it("ends with the error when a sample cannot be evaluated for a reason nobody foresaw", async () => {
    const { take, flushed, underWay, wakes } = taskWith(4);
    take(0);
    await underWay.get("r0")?.fail(new TypeError("bug"));
    assert.equal(wakes(), 1);
    assert.throws(flushed, /a bug of the judge/);
  });
});
