import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { Registry } from "prom-client";
import { rangesFor } from "../../src/domain/routing/ranges.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { LogClient } from "../../src/runtime/port.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { program } from "../../src/stages/1-gateway/main.ts";
import { type Brake, brakes, type Request, requests, routing, type Topic } from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { LossyProxy } from "../fixtures/lossy-proxy.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, testUpstream, until } from "../unit/stages/1-gateway/harness.ts";

const log = pino({ level: "silent" });
const deadlineMs = 90_000;
const token = "0123456789abcdef";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** A prefix with everybody on the candidate, a proxy in front of its brokers, and a gateway's directory that outlives gateways. */
async function world(t: TestContext) {
  const { brokers, registryUrl } = await testCluster();
  const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
  await applyTopics({ ...connection, partitions: "small", log });
  const client = await connectLog({ ...connection, clientId: "test", log });
  const proxy = await LossyProxy.start();
  const data = mkdtempSync(join(tmpdir(), "headgate-outage-"));
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  two.answer = (_, response) => answerJson(response, completion("from b"));
  const file = join(data, "gateway.yaml");
  writeFileSync(file, fileFor(one, two));
  t.after(async () => {
    await proxy.close();
    await client.close();
    await deletePrefix(connection);
    rmSync(data, { recursive: true, force: true });
  });
  const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
  const value = tableWith({ epoch: 1, ranges, staleAfterMs: 600_000, atMs: Date.now() });
  const appender = client.openAppender();
  await appender.append([{ topic: routing, partition: client.partitionFor(routing, value.route), key: value.route, value }]);
  await appender.close();
  const seen = collected(t, client, requests) as Request[];
  const start = (instance: string, changes: { registryUrl?: string } = {}) =>
    started(t, {
      data,
      file,
      instance,
      connect: () => connectLog({ ...connection, ...changes, clientId: "gateway", log, socketFactory: proxy.socketFactory }),
    });
  return { client, proxy, data, seen, start };
}

function collected(t: TestContext, client: LogClient, topic: Topic): unknown[] {
  const seen: unknown[] = [];
  const follower = client.follow([topic], {
    from: "beginning",
    onRecord: ({ value, partition }) => {
      if (value !== null) seen.push({ ...value, partition });
    },
  });
  t.after(() => follower.close());
  return seen;
}

async function started(t: TestContext, about: { data: string; file: string; instance: string; connect: () => Promise<LogClient> }) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const running = await program.start({
    env: {
      HEADGATE_GATEWAY_CONFIG: about.file,
      HEADGATE_GATEWAY_DATA: about.data,
      HEADGATE_GATEWAY_PORT: String(port),
      HEADGATE_GATEWAY_ADMIN_PORT: String(adminPort),
      HEADGATE_GATEWAY_ADMIN_TOKEN: token,
      HEADGATE_SUBJECT_KEY: "a test key of some length",
    },
    log,
    metrics: new Registry(),
    instance: about.instance,
    connect: about.connect,
    readiness: () => undefined,
  });
  t.after(() => running.stop());
  const url = `http://127.0.0.1:${port}`;
  return {
    /** Every call must succeed; its answer's text. */
    async chat(id: string): Promise<string | undefined> {
      const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(ask(id, { user: `user-${id}` })) });
      assert.equal(response.status, 200);
      return ((await response.json()) as ReturnType<typeof completion>).choices[0]?.message.content;
    },
    state: async () =>
      (await (await fetch(`${url}/readyz`)).json()) as {
        connected: boolean;
        routes: { epoch: number; hold: string | null }[];
        log: { queuedRecords: number; spooledBytes: number };
      },
    brake: (route: string) =>
      fetch(`http://127.0.0.1:${adminPort}/v1/brakes`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: JSON.stringify({ route, reason: "it swears" }),
      }),
    stop: () => running.stop(),
  };
}

async function eventually(name: string, condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + deadlineMs; !(await condition()); await new Promise((done) => setTimeout(done, 50))) {
    if (Date.now() > end) throw new Error(`never: ${name}`);
  }
}

const idOf = ({ requestBody }: Request): string => JSON.parse(requestBody ?? "null").messages[0].content as string;
/** As readers see it: without repeats. Fails when a number is missing. */
function withoutRepeats(seen: readonly (Request & { partition?: number })[]): Request[] {
  const last = new Map<string, number>();
  return seen.filter(({ instance, seq, partition }) => {
    const stream = `${instance}/${partition}`;
    const before = last.get(stream) ?? 0;
    if (seq <= before) return false;
    assert.equal(seq, before + 1, `a gap in ${stream}`);
    last.set(stream, seq);
    return true;
  });
}
const callsOf = (seen: readonly Request[]): string[] =>
  withoutRepeats(seen)
    .filter(({ kind }) => kind === "call")
    .map(idOf)
    .toSorted((a, b) => Number(a) - Number(b));
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

describe("a gateway without Kafka", () => {
  it("goes on when it is cut off, restarts, is braked, and loses nothing: no call fails, each is recorded once, the brake reaches the topic", async (t) => {
    const { client, proxy, data, seen, start } = await world(t);
    const stops = collected(t, client, brakes) as Brake[];
    let sent = 0;
    const first = await start("gateway-1");
    await eventually("the table is obeyed", async () => (await first.state()).routes[0]?.epoch === 1);
    const calls = async (gateway: { chat: (id: string) => Promise<string | undefined> }, count: number, expected: string) => {
      for (let i = 0; i < count; i++) assert.equal(await gateway.chat(String(sent++)), expected);
    };
    await calls(first, 20, "from b");
    proxy.goDown();
    await calls(first, 20, "from b");
    await eventually("records go to disk", async () => (await first.state()).log.spooledBytes > 0);
    await calls(first, 20, "from b");
    await first.stop();

    const second = await start("gateway-2");
    await calls(second, 20, "from b");
    assert.equal((await second.brake("support-answer")).status, 200);
    await calls(second, 20, "hello");
    assert.equal((await second.state()).connected, false);
    proxy.comeUp();
    await eventually("it has reconnected", async () => (await second.state()).connected);
    await calls(second, 20, "hello");
    await until("every call is in the topic", () => callsOf(seen).length >= sent, deadlineMs);
    assert.deepEqual(callsOf(seen), numbers(sent));
    await until("the brake is in the topic", () => stops.length > 0, deadlineMs);
    assert.deepEqual([stops[0]?.route, stops[0]?.rollout, stops[0]?.attempt, stops[0]?.reason], ["support-answer", "support-answer-b", 1, "it swears"]);
    await until("nothing is left on disk but its own place", () => readdirSync(join(data, "spool")).length === 1, deadlineMs);
  });

  it("writes all it kept when Kafka comes back in the middle of traffic, without a restart", async (t) => {
    const { proxy, seen, start } = await world(t);
    const gateway = await start("gateway-1");
    await eventually("the table is obeyed", async () => (await gateway.state()).routes[0]?.epoch === 1);
    let sent = 0;
    let isOver = false;
    const traffic = (async () => {
      while (!isOver) {
        assert.equal(await gateway.chat(String(sent++)), "from b");
        await new Promise((done) => setTimeout(done, 5));
      }
    })();
    for (let outage = 0; outage < 2; outage++) {
      await new Promise((done) => setTimeout(done, 500));
      proxy.goDown();
      await eventually("records go to disk", async () => (await gateway.state()).log.spooledBytes > 0);
      proxy.comeUp();
      await eventually("the disk is empty again", async () => (await gateway.state()).log.spooledBytes === 0);
    }
    isOver = true;
    await traffic;
    await gateway.stop();
    await until("every call is in the topic", () => callsOf(seen).length >= sent, deadlineMs);
    assert.deepEqual(callsOf(seen), numbers(sent));
  });

  it("serves when only the schema registry is away, and catches up when it is back", async (t) => {
    const { client, seen, start } = await world(t);
    assert.ok(client.prefix.length > 0);
    const gateway = await start("gateway-1", { registryUrl: `http://127.0.0.1:${await freePort()}` });
    for (let i = 0; i < 5; i++) assert.equal(await gateway.chat(String(i)), "hello");
    assert.equal((await gateway.state()).connected, false);
    await gateway.stop();
    const back = await start("gateway-2");
    await until("every call is in the topic", () => callsOf(seen).length >= 5, deadlineMs);
    await eventually("the table is obeyed", async () => (await back.state()).routes[0]?.epoch === 1);
    assert.equal(await back.chat("5"), "from b");
    await until("every call is in the topic", () => callsOf(seen).length >= 6, deadlineMs);
    assert.deepEqual(callsOf(seen), numbers(6));
  });
});
