import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KnownError } from "../../../../src/errors/known-error.ts";
import type { CallRecord } from "../../../../src/stages/1-gateway/call/record.ts";
import { EventClock } from "../../../../src/stages/1-gateway/log/event-clock.ts";
import { markRecord } from "../../../../src/stages/1-gateway/log/mark-record.ts";
import { RequestLog } from "../../../../src/stages/1-gateway/log/request-log.ts";
import type { Request } from "../../../../topics/index.ts";
import { requests } from "../../../../topics/index.ts";
import { MemoryLog, silentLog, until } from "./harness.ts";

const call = (subject: string, requestBody: string | null = null): CallRecord => {
  const { kind, instance, seq, markMs, endedAtMs, ...rest } = markRecord("", 0, 0);
  assert.deepEqual([kind, instance, seq, markMs, endedAtMs], ["mark", "", 0, 0, 0]);
  return { ...rest, requestId: `of-${subject}`, subject, requestBody };
};

function testLog(about: { maxRecords?: number; maxBytes?: number; wall?: () => number } = {}) {
  const memory = new MemoryLog();
  const drops: Record<string, number> = {};
  const records = new RequestLog({
    instance: "g",
    clock: new EventClock(about.wall),
    log: silentLog,
    maxRecords: about.maxRecords ?? 1_000,
    maxBytes: about.maxBytes ?? 1e9,
    lingerMs: 0,
    backoffMs: { first: 1, longest: 2 },
    onDrop: (reason, count) => {
      drops[reason] = (drops[reason] ?? 0) + count;
    },
    onAppendFailure: () => undefined,
  });
  const client = memory.client();
  const connect = () =>
    records.connect({ appender: memory.appender(), partitions: memory.partitions, partitionOf: (subject) => client.partitionFor(requests, subject) });
  return { memory, records, drops, connect };
}

/** Per partition, with repeats dropped as readers do. */
function asRead(memory: MemoryLog): Request[][] {
  return Array.from({ length: memory.partitions }, (_, partition) => {
    let last = 0;
    return memory.appended.flatMap((record) => {
      const value = record.value as Request;
      if (record.partition !== partition || value.seq <= last) return [];
      last = value.seq;
      return [value];
    });
  });
}
const isContiguous = (values: readonly Request[]) => values.every(({ seq }, i) => seq === i + 1);

describe("the way of records into the log", () => {
  it("gives contiguous numbers per partition from 1, and marks that hold, through failed and lost acknowledgements", async () => {
    const subjects = fc.array(fc.string(), { minLength: 1, maxLength: 60 });
    const faults = fc.array(fc.constantFrom("ok", "fails", "written but unknown"), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(subjects, faults, fc.nat(60), fc.array(fc.integer({ min: -50, max: 50 })), async (calls, plan, connectAt, jumps) => {
        let wallMs = 1_000;
        let step = 0;
        const { memory, records, connect } = testLog({ wall: () => (wallMs += jumps[step++ % jumps.length] ?? 1) });
        const faultsLeft = [...plan];
        memory.beforeAppend = async (batch) => {
          const fault = faultsLeft.shift() ?? "ok";
          if (fault === "written but unknown") memory.appended.push(...batch);
          if (fault !== "ok") throw new Error(fault);
        };
        for (const [i, subject] of calls.entries()) {
          if (i === Math.min(connectAt, calls.length - 1)) connect();
          records.push(call(subject));
          if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        assert.equal(await records.stop(Date.now() + 10_000), 0);
        const read = asRead(memory);
        const ended = read.flat().filter(({ kind }) => kind === "call");
        assert.deepEqual(ended.map(({ subject }) => subject).sort(), [...calls].sort());
        for (const partition of read) {
          assert.ok(isContiguous(partition));
          // A mark holds when nothing that comes later in its partition ended before it.
          for (const [i, { markMs }] of partition.entries()) assert.ok(partition.slice(i).every(({ endedAtMs }) => endedAtMs >= markMs));
          assert.equal(partition.at(-1)?.kind, "mark");
        }
      }),
      { numRuns: 60 },
    );
  });

  it("drops and counts what does not fit, and readers see the loss as a gap in the numbers", async () => {
    const { memory, records, drops, connect } = testLog({ maxRecords: 5 });
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    connect();
    await until("first marks are written", () => memory.appended.length === memory.partitions);
    memory.beforeAppend = () => held;
    for (let i = 0; i < 12; i++) records.push(call("same"));
    assert.equal(records.dropped, 7);
    release();
    await until("the buffer is empty", () => records.queuedRecords === 0);
    records.push(call("same"));
    await records.stop(Date.now() + 5_000);
    const seqs = asRead(memory).flatMap((values) => values.filter(({ kind }) => kind === "call").map(({ seq }) => seq));
    assert.deepEqual(seqs, [2, 3, 4, 5, 6, 14]);
    assert.deepEqual(drops, { buffer_full: 7 });
  });

  it("what was dropped before the log was ever reached shows as a gap too", async () => {
    const { memory, records, connect } = testLog({ maxRecords: 2 });
    for (let i = 0; i < 5; i++) records.push(call("same"));
    connect();
    await records.stop(Date.now() + 5_000);
    const highest = asRead(memory).map((values) => Math.max(...values.map(({ seq }) => seq)));
    const seen = asRead(memory).flat().length;
    assert.equal(highest.reduce((sum, seq) => sum + seq, 0) - seen, 3);
  });

  it("is bounded in bytes", () => {
    const { records } = testLog({ maxBytes: 10_000 });
    records.push(call("a", "x".repeat(8_000)));
    records.push(call("a", "x".repeat(8_000)));
    assert.deepEqual([records.queuedRecords, records.dropped], [1, 1]);
    assert.ok(records.queuedBytes <= 10_000);
  });

  it("a record that can never be written is dropped alone", async () => {
    const { memory, records, drops, connect } = testLog();
    memory.beforeAppend = async (batch) => {
      if (batch.some(({ value }) => (value as Request).subject === "bad")) throw new KnownError("RECORD_INVALID", "bad", { fix: "" });
    };
    for (const subject of ["a", "b", "bad", "c"]) records.push(call(subject));
    connect();
    await records.stop(Date.now() + 5_000);
    const written = memory.calls().map(({ subject }) => subject);
    assert.deepEqual(written.sort(), ["a", "b", "c"]);
    assert.deepEqual(drops, { refused: 1 });
  });

  it("is not connected any more once it has stopped", async () => {
    const { memory, records, connect } = testLog();
    await records.stop(Date.now());
    connect();
    records.push(call("a"));
    assert.deepEqual([records.isConnected, memory.appended], [false, []]);
  });

  it("marks a silent partition each second while calls flow, else each 10 s, and not while its records wait", async () => {
    let wallMs = 1_000_000;
    const { memory, records, connect } = testLog({ wall: () => wallMs });
    connect();
    const marks = () => memory.requests().filter(({ kind }) => kind === "mark").length;
    const afterTick = async (advanceMs: number) => {
      wallMs += advanceMs;
      records.tick();
      await until("written", () => records.queuedRecords === 0);
      return marks();
    };
    await until("first marks", () => marks() === 2);
    assert.equal(await afterTick(9_999), 2);
    assert.equal(await afterTick(1), 4);
    records.push(call("a"));
    assert.equal(await afterTick(999), 4);
    // The other partition was marked 999 ms ago, this one just had a call.
    assert.equal(await afterTick(1), 6);
    assert.equal(await afterTick(1_000), 8);
    memory.beforeAppend = () => new Promise(() => undefined);
    wallMs += 1_000;
    for (let i = 0; i < 10; i++) {
      wallMs += 1_000;
      records.tick();
    }
    assert.equal(records.queuedRecords, 2);
    assert.equal(await records.stop(Date.now()), 0);
  });

  it("gives up at the deadline and counts what was lost", async () => {
    const { memory, records, drops, connect } = testLog();
    memory.beforeAppend = () => Promise.reject(new Error("down"));
    connect();
    records.push(call("a"));
    assert.equal(await records.stop(Date.now() + 20), 1);
    assert.deepEqual(drops, { shutdown: 1 });
  });
});
