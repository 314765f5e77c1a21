import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { pino } from "pino";
import { KnownError } from "../../../../src/errors/known-error.ts";
import { markRecord } from "../../../../src/stages/1-gateway/log/mark-record.ts";
import { Spool, SpoolSpace } from "../../../../src/stages/1-gateway/log/spool/spool.ts";
import { type Request, requests } from "../../../../topics/index.ts";
import { ask, fileFor, type MemoryLog, testGateway, testUpstream, until } from "./harness.ts";
import { recordOfCall, spoolingLog, temporary } from "./spooling-log.ts";

/** Per instance and partition, with repeats dropped as readers do. */
function asRead(memory: MemoryLog): Request[][] {
  const streams = new Map<string, Request[]>();
  for (const { partition, value, topic } of memory.appended) {
    if (topic.name !== requests.name) continue;
    const record = value as Request;
    const name = `${record.instance}/${partition}`;
    const stream = streams.get(name) ?? [];
    streams.set(name, stream);
    if (record.seq > (stream.at(-1)?.seq ?? 0)) stream.push(record);
  }
  return [...streams.values()];
}
const idsOf = (streams: Request[][]) => streams.flatMap((stream) => stream.flatMap(({ kind, requestId }) => (kind === "call" ? [requestId] : [])));

describe("records while the log is away", () => {
  it("go to disk and come back in order, with contiguous numbers and marks that hold, through any faults", async (t) => {
    let run = 0;
    const root = temporary(t);
    const faults = fc.array(fc.constantFrom("ok", "ok", "fails", "written but unknown"), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string(), { minLength: 1, maxLength: 80 }),
        faults,
        fc.nat(80),
        fc.integer({ min: 1, max: 9 }),
        async (calls, plan, at, ticks) => {
          const { memory, records, connect, spool } = await spoolingLog(join(root, String(run++)), {});
          const left = [...plan];
          memory.beforeAppend = async (batch) => {
            const fault = left.shift() ?? "ok";
            await new Promise((done) => setImmediate(done));
            if (fault === "written but unknown") memory.appended.push(...batch);
            if (fault !== "ok") throw new Error(fault);
          };
          for (const [i, subject] of calls.entries()) {
            if (i === Math.min(at, calls.length - 1)) connect();
            records.push(recordOfCall(subject, String(i)));
            if (i % ticks === 0) {
              records.tick();
              await new Promise((done) => setTimeout(done, 1));
            }
          }
          await until("everything is written", () => records.queuedRecords === 0 && spool.isEmpty);
          assert.equal(await records.stop(Date.now() + 10_000), 0);
          const streams = asRead(memory);
          assert.deepEqual(idsOf(streams).toSorted(), calls.map((_, i) => String(i)).toSorted());
          for (const stream of streams) {
            assert.deepEqual(
              stream.map(({ seq }) => seq),
              stream.map((_, i) => i + 1),
            );
            for (const [i, { markMs }] of stream.entries()) assert.ok(stream.slice(i).every(({ endedAtMs }) => endedAtMs >= markMs));
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it("are dropped and counted when memory and disk are full, and readers see how many", async (t) => {
    const { memory, records, drops, connect, spool } = await spoolingLog(join(temporary(t), "one"), { maxRecords: 10, maxBytes: 20_000 });
    for (let i = 0; i < 100; i++) {
      records.push(recordOfCall(`s${i % 5}`, String(i)));
      records.tick();
      await new Promise((done) => setTimeout(done, 1));
    }
    const lost = drops.buffer_full ?? 0;
    assert.ok(lost > 0 && records.queuedRecords === 10 && (spool?.bytes ?? 0) <= 20_000);
    connect();
    await until("everything is written", () => records.queuedRecords === 0 && spool.isEmpty);
    await records.stop(Date.now() + 5_000);
    const streams = asRead(memory);
    assert.equal(idsOf(streams).length, 100 - lost);
    const gaps = streams.reduce((sum, stream) => sum + (stream.at(-1)?.seq ?? 0) - stream.length, 0);
    assert.equal(gaps, lost);
  });

  it("do not ask a full spool for room again and again, and go on as soon as there is some", async (t) => {
    const { records, connect, spool, drops, memory } = await spoolingLog(join(temporary(t), "s"), { maxBytes: 60_000, maxRecords: 5_000 });
    let asked = 0;
    const append = spool.append.bind(spool);
    spool.append = (frames) => {
      asked++;
      return append(frames);
    };
    let pushed = 0;
    const push = () => records.push(recordOfCall(`u${pushed % 7}`, `${pushed++}`));
    while (pushed < 900) {
      push();
      records.tick();
      await new Promise((resolve) => setImmediate(resolve));
      // One append takes what waits: without room the spool is asked once a second.
      if (spool.bytes > 50_000) break;
    }
    const [before, from] = [asked, performance.now()];
    for (let i = 0; i < 200; i++) {
      push();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(asked - before <= 2 + (performance.now() - from) / 1_000, `asked ${asked - before} times`);
    connect();
    await until("everything is written", () => memory.calls().length === pushed);
    await until("the spool is empty", () => spool.isEmpty);
    assert.deepEqual(drops, {});
    await records.stop(Date.now() + 5_000);
  });

  it("that are refused are counted once, also when the log goes away in the middle of their batch", async (t) => {
    const { memory, records, drops, connect, spool } = await spoolingLog(join(temporary(t), "s"), {});
    let failures = 0;
    memory.beforeAppend = async (batch) => {
      const of = (id: string) => batch.some(({ value }) => (value as Request).requestId === id);
      if (of("bad")) throw new KnownError("RECORD_INVALID", "bad", { fix: "" });
      // After the refusal was found: the batch is cut into halves, and the second one comes last.
      if (of("c") && failures++ === 0) throw new Error("away");
    };
    connect();
    for (const id of ["bad", "a", "b", "c"]) records.push(recordOfCall("u", id));
    await until("the others are written", () => new Set(memory.calls().map(({ requestId }) => requestId)).size === 3);
    await until("the spool is empty", () => spool.isEmpty && records.queuedRecords === 0);
    assert.deepEqual(drops, { refused: 1 });
    await records.stop(Date.now() + 5_000);
  });

  it("survive a stop that comes before the log is back", async (t) => {
    const data = temporary(t);
    const upstream = await testUpstream(t);
    const yaml = `data: ${JSON.stringify(data)}\n${fileFor(upstream)}`;
    const away = await testGateway(t, yaml, { connect: () => Promise.reject(new Error("no broker answers")) });
    for (let i = 0; i < 3; i++) await (await away.chat(ask(`${i}`))).text();
    await away.stop();
    const back = await testGateway(t, yaml, { instance: "gateway-2" });
    await until("what was left is written", () => back.log.calls().length === 3);
    assert.deepEqual([...new Set(back.log.calls().map(({ instance }) => instance))], ["gateway-1"]);
    await until("nothing is left on disk", () => readdirSync(join(data, "spool")).length === 1);
  });

  it("of another installation are not written into this one: they stay where they are, and an error names both", async (t) => {
    const data = temporary(t);
    const upstream = await testUpstream(t);
    const yaml = `data: ${JSON.stringify(data)}\n${fileFor(upstream)}`;
    const away = await testGateway(t, yaml, { prefix: "p1.", instance: "theirs", connect: () => Promise.reject(new Error("no broker answers")) });
    for (let i = 0; i < 3; i++) await (await away.chat(ask(`${i}`))).text();
    await away.stop();
    const lines: string[] = [];
    const logger = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
    const other = await testGateway(t, yaml, { prefix: "p2.", instance: "ours", logger });
    await until("it is told", () => lines.some((line) => line.includes('prefix \\"p1.\\"') && line.includes('\\"p2.\\"') && line.includes("theirs")));
    assert.match(await other.registry.metrics(), /headgate_gateway_spool_failures_total 1/);
    await other.stop();
    assert.equal(other.log.calls().length, 0);
    const back = await testGateway(t, yaml, { prefix: "p1.", instance: "back" });
    await until("what was left is written", () => back.log.calls().length === 3);
  });

  it("that a dead process left and that are damaged, the last one too, are counted and leave a gap that readers see", async (t) => {
    const data = temporary(t);
    const directory = join(data, "spool", "dead");
    const dead = await Spool.open({ directory, prefix: "test.", space: new SpoolSpace(1e9), onDamage: () => undefined });
    const values = ["1", "2", "3", "4"].map((id): Request => ({ ...markRecord("dead", 0, 1_000), ...recordOfCall("s", id), kind: "call" }));
    await dead?.append(values.map((value) => ({ kind: "record", partition: 0, value })));
    await dead?.close();
    const file = join(directory, readdirSync(directory).find((name) => name.endsWith(".frames")) ?? "");
    const bytes = readFileSync(file);
    bytes[bytes.length - 3] = 0;
    bytes[Math.floor(bytes.length * 0.4)] = 0;
    writeFileSync(file, bytes);
    const gateway = await testGateway(t, `data: ${JSON.stringify(data)}\n${fileFor(await testUpstream(t))}`);
    const left = () => asRead(gateway.log).find(([record]) => record?.instance === "dead") ?? [];
    await until("the rest is written", () => left().length === 3);
    assert.deepEqual(
      left().map(({ kind, requestId, seq, markMs }) => [kind, requestId, seq, markMs]),
      [
        ["call", "1", 1, 1_000],
        ["call", "3", 3, 1_000],
        ["mark", "", 5, 1_000],
      ],
    );
    assert.match(await gateway.registry.metrics(), /dropped_records_total\{reason="spool_damaged"\} 2/);
  });

  it("survive kill -9 in the middle of an outage: every call that was on disk is written, once, in order, by the next process", async (t) => {
    const data = temporary(t);
    const upstream = await testUpstream(t);
    const { url, child } = await gatewayProcess(t, data, fileFor(upstream));
    const count = 60;
    for (let i = 0; i < count; i++) await fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(ask(`${i}`, { user: `u${i % 7}` })) });
    const isSpooled = /headgate_gateway_queued_records 0\n[\s\S]*headgate_gateway_spooled_records 60\n/;
    await until("all is on disk", async () => isSpooled.test(await (await fetch(`${url}/metrics`)).text()));
    child.kill("SIGKILL");
    await once(child, "exit");
    const back = await testGateway(t, `data: ${JSON.stringify(data)}\n${fileFor(upstream)}`);
    await (await back.chat(ask("after"))).text();
    await until("all calls are written", () => back.log.calls().length >= count + 1);
    const calls = back.log.calls();
    const texts = calls.map(({ requestBody }) => JSON.parse(requestBody ?? "").messages[0].content as string);
    assert.deepEqual(texts.toSorted(), [...Array.from({ length: count }, (_, i) => `${i}`), "after"].toSorted());
    for (const stream of asRead(back.log)) {
      assert.deepEqual(
        stream.map(({ seq }) => seq),
        stream.map((_, i) => i + 1),
      );
    }
    await until("nothing is left on disk", () => readdirSync(join(data, "spool")).length === 1);
    assert.match(await back.registry.metrics(), /headgate_gateway_replayed_records_total 60/);
  });
});

async function gatewayProcess(t: TestContext, data: string, yaml: string): Promise<{ url: string; child: ChildProcess }> {
  const file = join(data, "gateway.yaml");
  writeFileSync(file, yaml);
  const port = await freePort();
  const env = {
    ...process.env,
    HEADGATE_GATEWAY_CONFIG: file,
    HEADGATE_GATEWAY_DATA: data,
    HEADGATE_PREFIX: "test.",
    HEADGATE_GATEWAY_PORT: String(port),
    HEADGATE_SUBJECT_KEY: "k".repeat(32),
  };
  const child = spawn(process.execPath, [resolve(import.meta.dirname, "../../../fixtures/die-in-outage.ts")], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return { url: `http://127.0.0.1:${port}`, child };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
