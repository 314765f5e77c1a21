import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { CLOCK_SKEW_MS, clampToAppend, InstanceBook } from "../../../../src/domain/sampling/instance-book.ts";
import { steadyNowMs, steadyOf, wallOf } from "../../../../src/runtime/steady-clock.ts";
import { EventClock } from "../../../../src/stages/1-gateway/log/event-clock.ts";
import { markRecord } from "../../../../src/stages/1-gateway/log/mark-record.ts";
import { RequestLog } from "../../../../src/stages/1-gateway/log/request-log.ts";
import type { Request } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { fileFor, MemoryLog, silentLog, testGateway, testUpstream, until } from "./harness.ts";

const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;

/** What something says while the machine's clock is wrong by so much: within one turn, so that nobody else sees it. */
function withClock<T>(offByMs: number, say: () => T): T {
  const right = Date.now;
  Date.now = () => right() + offByMs;
  try {
    return say();
  } finally {
    Date.now = right;
  }
}
const minutesApart = (a: number, b: number) => Math.round(Math.abs(a - b) / 60_000);

describe("the age of what a gateway knows", () => {
  const gatewayWith = async (t: TestContext) => {
    const gateway = await testGateway(t, fileFor(await testUpstream(t)));
    const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges, staleAfterMs: 60_000 }));
    await until("the table is there", () => gateway.routes.effective("support-answer") !== null);
    return gateway;
  };

  it("grows also when the machine's clock is set back, and only with time when it is set forward", async (t) => {
    const gateway = await gatewayWith(t);
    let freshAtMs = steadyNowMs();
    gateway.routes.followFreshness(() => freshAtMs);
    const hold = (offByMs: number) => withClock(offByMs, () => gateway.routes.effective("support-answer")?.hold);
    assert.deepEqual([hold(-hourMs), hold(0), hold(hourMs)], [null, null, null]);
    freshAtMs -= 61_000;
    assert.deepEqual([hold(-hourMs), hold(0), hold(hourMs)], ["stale", "stale", "stale"]);
  });

  it("is kept as the wall clock dates it when it is written, so that a restart counts on", () => {
    const freshAtMs = steadyNowMs() - 30_000;
    for (const offByMs of [-yearMs, -hourMs, 0, hourMs]) {
      const again = withClock(offByMs, () => steadyOf(wallOf(freshAtMs)));
      assert.ok(Math.abs(again - freshAtMs) < 1_000, `${again - freshAtMs}`);
      assert.equal(
        withClock(offByMs, () => minutesApart(wallOf(steadyNowMs()), Date.now())),
        0,
      );
    }
    assert.deepEqual([wallOf(0), steadyOf(0)], [0, 0]);
  });
});

describe("the dates of records", () => {
  it("stand still when the clock is set back by up to a minute, and follow it beyond", () => {
    let wallMs = 1_000_000;
    const resyncs: number[] = [];
    const clock = new EventClock(
      () => wallMs,
      (behindMs) => resyncs.push(behindMs),
    );
    const at = (ms: number) => {
      wallMs = ms;
      return clock.nowMs();
    };
    assert.deepEqual([at(1_000_000), at(940_000), at(1_000_001)], [1_000_000, 1_000_000, 1_000_001]);
    assert.deepEqual([at(1_000_000 + yearMs), at(1_005_000), at(1_006_000)], [1_000_000 + yearMs, 1_005_000, 1_006_000]);
    assert.deepEqual(resyncs, [yearMs - 5_000]);
  });

  it("of a clock that was wrong by a year and is right again are right, silent partitions are marked, and no reader's watermark goes back", async () => {
    let wallMs = 1_800_000_000_000;
    const memory = new MemoryLog();
    const log = new RequestLog({
      instance: "g",
      clock: new EventClock(() => wallMs),
      log: silentLog,
      maxRecords: 100,
      maxBytes: 1e9,
      lingerMs: 0,
      onDrop: () => undefined,
      onAppendFailure: () => undefined,
    });
    log.connect({ appender: memory.appender(), partitions: 1, partitionOf: () => 0 });
    const { kind: _kind, instance: _instance, seq: _seq, markMs: _mark, endedAtMs: _ended, ...call } = markRecord("", 0, 0);
    const book = new InstanceBook();
    const watermarks: number[] = [];
    let read = 0;
    /** The broker's clock is right all the time. */
    const step = async (rightMs: number, offByMs: number, requestId: string | null) => {
      wallMs = rightMs + offByMs;
      if (requestId !== null) log.push({ ...call, requestId, subject: "s" });
      log.tick();
      await until("it is written", () => log.queuedRecords === 0);
      for (const { value } of memory.appended.slice(read)) {
        const { instance, seq, markMs, endedAtMs } = value as Request;
        read++;
        assert.deepEqual(book.take({ instance, seq, markMs, appendedAtMs: rightMs }), { kind: "next", lost: 0 });
        watermarks.push(book.watermarkMs ?? 0);
        if (offByMs === 0) assert.ok(Math.abs(endedAtMs - rightMs) < CLOCK_SKEW_MS && !clampToAppend(markMs, rightMs).clamped);
      }
    };
    const startMs = wallMs;
    await step(startMs, 0, "a");
    await step(startMs + 10_000, yearMs, "b");
    await step(startMs + 20_000, yearMs, null);
    await step(startMs + 30_000, 0, null);
    const before = memory.appended.length;
    await step(startMs + 45_000, 0, null);
    assert.equal(memory.appended.length, before + 1, "a mark");
    await step(startMs + 46_000, 0, "c");
    assert.deepEqual(
      watermarks,
      [...watermarks].sort((a, b) => a - b),
    );
    assert.equal(watermarks.at(-1), startMs + 46_000);
    await log.stop(Date.now() + 5_000);
  });
});
