import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { Registry } from "prom-client";
import { openDiskLog } from "../../../../src/stages/1-gateway/log/disk-log.ts";
import { markRecord } from "../../../../src/stages/1-gateway/log/mark-record.ts";
import type { Spooled } from "../../../../src/stages/1-gateway/log/spool/frames.ts";
import { Spool, SpoolSpace } from "../../../../src/stages/1-gateway/log/spool/spool.ts";
import { GatewayMetrics } from "../../../../src/stages/1-gateway/metrics.ts";
import { silentLog } from "./harness.ts";
import { recordOfCall, temporary } from "./spooling-log.ts";

const frame = (instance: string, id: number): Spooled => ({
  kind: "record",
  partition: -1,
  value: { ...markRecord(instance, 0, id), ...recordOfCall("u", `${id}`), kind: "call" },
});

/** A directory in which another process, that lives, has a spool with some records. */
async function shared(t: TestContext) {
  const data = temporary(t);
  const otherRoot = join(data, "spool", "other");
  const other = await Spool.open({ directory: otherRoot, prefix: "test.", space: new SpoolSpace(1e9), onDamage: () => undefined });
  assert.ok(other !== null);
  t.after(() => other.close());
  await other.append(Array.from({ length: 10 }, (_, i) => frame("other", i + 1)));
  const open = async (maxBytes: number) => {
    const metrics = new GatewayMetrics(new Registry());
    const disk = await openDiskLog({ data, instance: "own", prefix: "test.", maxBytes, log: silentLog, metrics, onDrop: () => undefined });
    t.after(async () => {
      await disk.spool?.close();
      await disk.stop();
    });
    return disk;
  };
  return { otherRoot, other, open };
}

describe("the spools of several processes in one directory", () => {
  it("have one limit together: who comes later has what the others leave of it", async (t) => {
    const { otherRoot, other, open } = await shared(t);
    const onDisk = readdirSync(otherRoot).reduce((sum, name) => sum + statSync(join(otherRoot, name)).size, 0);
    const { spool, usedBytes } = await open(onDisk + Math.floor(3.5 * (other.bytes / 10)));
    let written = 0;
    // Alone it would have room for all of them.
    while (written < 14 && (await spool?.append([frame("own", written + 1)]))) written++;
    assert.deepEqual([written, usedBytes()], [3, spool?.bytes]);
  });
});
