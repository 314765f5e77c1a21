import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { CallRecord } from "../../../../src/stages/1-gateway/call/record.ts";
import { EventClock } from "../../../../src/stages/1-gateway/log/event-clock.ts";
import { markRecord } from "../../../../src/stages/1-gateway/log/mark-record.ts";
import { RequestLog } from "../../../../src/stages/1-gateway/log/request-log.ts";
import { Spool, SpoolSpace } from "../../../../src/stages/1-gateway/log/spool/spool.ts";
import { requests } from "../../../../topics/index.ts";
import { MemoryLog, silentLog } from "./harness.ts";

/** The record of a call, with nothing in it but these. */
export const recordOfCall = (subject: string, requestId: string): CallRecord => {
  const { kind: _kind, instance: _instance, seq: _seq, markMs: _mark, endedAtMs: _ended, ...rest } = markRecord("", 0, 0);
  return { ...rest, requestId, subject };
};

/** A directory that goes with the test. */
export function temporary(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "headgate-outage-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A log of requests with a spool, not connected yet to a log in memory. */
export async function spoolingLog(directory: string, about: { readonly maxRecords?: number; readonly maxBytes?: number } = {}) {
  const memory = new MemoryLog();
  const space = new SpoolSpace(about.maxBytes ?? 1e9);
  const spool = await Spool.open({ directory, prefix: "test.", space, segmentBytes: 20_000, onDamage: () => undefined });
  if (spool === null) throw new Error(`${directory} is locked`);
  const drops: Record<string, number> = {};
  let spoolFailures = 0;
  const records = new RequestLog({
    instance: "g",
    clock: new EventClock(),
    log: silentLog,
    maxRecords: about.maxRecords ?? 1_000,
    maxBytes: 1e9,
    spool,
    spillAfterMs: 0,
    lingerMs: 0,
    backoffMs: { first: 1, longest: 2 },
    onDrop: (reason, count) => {
      drops[reason] = (drops[reason] ?? 0) + count;
    },
    onAppendFailure: () => undefined,
    onSpoolFailure: () => spoolFailures++,
  });
  const client = memory.client();
  const connect = () =>
    records.connect({ appender: memory.appender(), partitions: memory.partitions, partitionOf: (subject) => client.partitionFor(requests, subject) });
  const ids = () => new Set(memory.calls().map(({ requestId }) => requestId));
  return { memory, records, drops, connect, spool, space, ids, spoolFailures: () => spoolFailures };
}
