import assert from "node:assert/strict";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "./harness.ts";
import { recordOfCall, spoolingLog, temporary } from "./spooling-log.ts";

const call = (id: string) => recordOfCall("u", id);

/** A disk whose operations end late, or fail: `on` is called after each write and each sync of a file. */
async function disk(t: TestContext, on: { afterWrite?: () => Promise<void>; afterSync?: () => Promise<void> }): Promise<void> {
  const probe = await open("/dev/null", "r");
  const proto = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const { write, datasync } = proto;
  proto.write = async function (this: FileHandle, ...args: unknown[]) {
    const written = await (write as (...given: unknown[]) => Promise<unknown>).apply(this, args);
    await on.afterWrite?.();
    return written;
  } as FileHandle["write"];
  proto.datasync = async function (this: FileHandle) {
    await datasync.call(this);
    await on.afterSync?.();
  };
  t.after(() => Object.assign(proto, { write, datasync }));
}

const world = async (t: TestContext) => spoolingLog(join(temporary(t), "s"), { maxRecords: 100_000 });

describe("a disk that is slow", () => {
  it("loses nothing when its last write ends after everything else of it was written to the log", async (t) => {
    const { promise: isSyncing, resolve: syncing } = Promise.withResolvers<void>();
    let isLate = false;
    const { records, spool, space, drops, connect, ids } = await world(t);
    await disk(t, {
      afterSync: async () => {
        if (!isLate) return;
        syncing();
        await sleep(300);
      },
    });
    records.push(call("1"));
    records.tick();
    await until("the first is on disk", () => spool.unreadFrames > 0);
    // Longer than a second after the last sync, so that the next write syncs, late.
    await sleep(1_100);
    isLate = true;
    records.push(call("2"));
    await isSyncing;
    connect();
    await until("the first is written", () => ids().has("1"));
    await until("both are written", () => ids().size === 2);
    await until("the spool is empty", () => spool.isEmpty && space.usedBytes === 0);
    assert.deepEqual([drops, records.queuedRecords], [{}, 0]);
    await records.stop(Date.now() + 5_000);
  });

  it("is read on while records come faster than it takes them", async (t) => {
    await disk(t, { afterWrite: () => sleep(5) });
    const { records, drops, connect, ids } = await world(t);
    records.push(call("first"));
    records.tick();
    let pushed = 1;
    const traffic = setInterval(() => records.push(call(`${++pushed}`)), 1);
    t.after(() => clearInterval(traffic));
    await until("some have come", () => pushed >= 50);
    connect();
    await until("the first is written while more come", () => ids().has("first"));
    clearInterval(traffic);
    await until("all are written", () => ids().size === pushed);
    assert.deepEqual(drops, {});
    await records.stop(Date.now() + 5_000);
  });

  it("takes what came during its last write too, when the gateway stops", async (t) => {
    const { records, spool, drops } = await world(t);
    const { promise: isWriting, resolve: writing } = Promise.withResolvers<void>();
    await disk(t, {
      afterWrite: async () => {
        writing();
        await sleep(200);
      },
    });
    records.push(call("1"));
    records.tick();
    await isWriting;
    records.push(call("2"));
    records.push(call("3"));
    assert.deepEqual([await records.stop(Date.now() + 10_000), drops, spool.unreadFrames], [0, {}, 3]);
  });

  it("is left alone when the time to stop is over: what it has not taken is counted, and nothing is written again and again", async (t) => {
    const { records, spool, space, drops } = await world(t);
    let writes = 0;
    let isSlow = true;
    await disk(t, {
      afterWrite: async () => {
        writes++;
        if (isSlow) await sleep(150);
      },
    });
    for (let i = 0; i < 2_000; i++) records.push(call(String(i)));
    records.tick();
    const lost = await records.stop(Date.now() + 800);
    assert.ok(lost > 0 && lost < 2_000, `${lost} of 2000`);
    assert.deepEqual(drops, { shutdown: lost });
    isSlow = false;
    await until("the spool is given away", () => space.usedBytes === 0);
    // What was on its way to the disk when the time was over may be lost and written: it is only ever counted too often.
    assert.ok(spool.unreadFrames >= 2_000 - lost, `${spool.unreadFrames} on disk, ${lost} lost`);
    const written = writes;
    await sleep(50);
    assert.equal(writes, written);
  });

  it("and refuses at the end: what is lost is counted, and the spool is given away all the same", async (t) => {
    const { records, spool, space, drops, spoolFailures } = await world(t);
    records.push(call("1"));
    records.tick();
    await until("it is on disk", () => spool.unreadFrames > 0);
    await disk(t, { afterWrite: () => Promise.reject(new Error("EIO")), afterSync: () => Promise.reject(new Error("EIO")) });
    records.push(call("2"));
    records.push(call("3"));
    assert.equal(await records.stop(Date.now() + 2_000), 2);
    assert.deepEqual([drops, space.usedBytes], [{ shutdown: 2 }, 0]);
    assert.ok(spoolFailures() > 0);
  });
});
