import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
import { program as samplerProgram } from "../../src/stages/2-sampler/main.ts";
import { type Brake, brakes, type FleetReport, type Frame, fleet, partials, type Request, type RoutingTable, requests, routing } from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, type TestUpstream, testUpstream, until } from "../unit/stages/1-gateway/harness.ts";

const log = pino({ level: "silent" });
const deadlineMs = 60_000;

/** A prefix with all topics, and a client for the test's own side. */
async function prefixed(t: TestContext) {
  const { brokers, registryUrl } = await testCluster();
  const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
  await applyTopics({ ...connection, partitions: "small", log });
  const client = await connectLog({ ...connection, clientId: "test", log });
  t.after(async () => {
    await client.close();
    await deletePrefix(connection);
  });
  return { connection, client };
}

/** The gateway as its role is run, on a free port, in this process. */
async function gatewayOn(t: TestContext, upstreams: readonly [TestUpstream, TestUpstream], connect: () => Promise<LogClient>) {
  const directory = mkdtempSync(join(tmpdir(), "headgate-gateway-"));
  const file = join(directory, "gateway.yaml");
  writeFileSync(file, fileFor(...upstreams));
  const port = await freePort();
  let isReady: () => boolean = () => false;
  const running = await program.start({
    env: { HEADGATE_GATEWAY_CONFIG: file, HEADGATE_GATEWAY_PORT: String(port), HEADGATE_SUBJECT_KEY: "a test key of some length" },
    log,
    metrics: new Registry(),
    instance: `gateway-${port}`,
    connect,
    readiness: (_, ready) => {
      isReady = ready;
    },
  });
  t.after(async () => {
    await running.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  const chat = async (body: unknown = ask()) => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", body: JSON.stringify(body) });
    const { choices } = (await response.json()) as ReturnType<typeof completion>;
    return choices[0]?.message.content;
  };
  return { instance: `gateway-${port}`, url: `http://127.0.0.1:${port}`, chat, isReady: () => isReady(), stop: () => running.stop() };
}

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Records of a topic as they arrive, with their partition. */
function collect<V>(t: TestContext, client: LogClient, topic: typeof requests | typeof fleet | typeof partials): { partition: number; value: V }[] {
  const seen: { partition: number; value: V }[] = [];
  const follower = client.follow([topic], {
    from: "beginning",
    onRecord: ({ partition, value }) => {
      if (value !== null) seen.push({ partition, value: value as V });
    },
  });
  t.after(() => follower.close());
  return seen;
}

async function upstreamsOf(t: TestContext): Promise<[TestUpstream, TestUpstream]> {
  const two = await testUpstream(t);
  two.answer = (_, response) => answerJson(response, completion("from b"));
  return [await testUpstream(t), two];
}

const canary = (changes: Partial<RoutingTable> = {}) =>
  tableWith({ epoch: 1, ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 }), atMs: Date.now(), ...changes });

async function publish(client: LogClient, record: { table?: RoutingTable; brake?: Brake }): Promise<void> {
  const appender = client.openAppender();
  if (record.table !== undefined) {
    await appender.append([{ topic: routing, partition: client.partitionFor(routing, record.table.route), key: record.table.route, value: record.table }]);
  }
  if (record.brake !== undefined) await appender.append([{ topic: brakes, partition: 0, key: record.brake.route, value: record.brake }]);
  await appender.close();
}

describe("the gateway on a real Kafka", () => {
  it("its records reach the topic by subject, with contiguous numbers and marks that hold, up to the last call before it stops", async (t) => {
    const { connection, client } = await prefixed(t);
    const seen = collect<Request>(t, client, requests);
    const gateway = await gatewayOn(t, await upstreamsOf(t), () => connectLog({ ...connection, clientId: "gateway", log }));
    for (let i = 0; i < 40; i++) await gateway.chat(ask(`${i}`, { user: `user-${i % 8}` }));
    await gateway.stop();
    const ofCalls = () => seen.filter(({ value }) => value.kind === "call");
    await until("all calls are in the topic", () => ofCalls().length >= 40, deadlineMs);
    assert.deepEqual(
      ofCalls()
        .map(({ value }) => JSON.parse(value.requestBody ?? "null").messages[0].content)
        .sort(),
      Array.from({ length: 40 }, (_, i) => `${i}`).sort(),
    );
    assert.ok(ofCalls().every(({ partition, value }) => partition === client.partitionFor(requests, value.subject)));
    for (let partition = 0; partition < client.partitionsOf(requests); partition++) {
      await until("the last mark", () => seen.filter((record) => record.partition === partition).at(-1)?.value.kind === "mark", deadlineMs);
      const values = seen.filter((record) => record.partition === partition).map(({ value }) => value);
      assert.ok(values.every(({ instance }) => instance === gateway.instance));
      assert.deepEqual(
        values.map(({ seq }) => seq),
        values.map((_, i) => i + 1),
      );
      for (const [i, { markMs }] of values.entries()) assert.ok(values.slice(i).every(({ endedAtMs }) => endedAtMs >= markMs));
    }
  });

  it("a call that is longer than its record reaches the topic cut, and the sampler counts what the gateway saw of the whole answer", async (t) => {
    const { connection, client } = await prefixed(t);
    const seen = collect<Request>(t, client, requests);
    const frames = collect<Frame>(t, client, partials);
    const [one, two] = await upstreamsOf(t);
    const texts = ["}", ',"more":1}'].map((end) => `{"text":"${"x".repeat(9 * 1024 * 1024)}"${end}`);
    one.answer = (_, response) => answerJson(response, completion(texts.shift() ?? ""));
    const gateway = await gatewayOn(t, [one, two], () => connectLog({ ...connection, clientId: "gateway", log }));
    const schema = { type: "object", properties: { text: { type: "string" } }, additionalProperties: false };
    for (let i = 0; i < 2; i++) await gateway.chat(ask("long", { response_format: { type: "json_schema", json_schema: { name: "long", schema } } }));
    await until("both calls are in the topic", () => seen.filter(({ value }) => value.kind === "call").length === 2, deadlineMs);
    const calls = seen.flatMap(({ value }) => (value.kind === "call" ? [value] : []));
    assert.deepEqual(calls.map(({ cut, wholeChecks }) => [cut, wholeChecks?.answer?.schemaValid]).sort(), [
      [true, false],
      [true, true],
    ]);
    const ofSampler = await connectLog({ ...connection, clientId: "sampler", log });
    const sampler = await samplerProgram.start({
      ...{ env: {}, log, metrics: new Registry(), instance: "sampler", readiness: () => undefined },
      connect: async () => ofSampler,
    });
    t.after(async () => {
      await sampler.stop();
      // Whoever runs a program closes its connection, or it would keep this process.
      await ofSampler.close();
    });
    const counted = () => frames.flatMap(({ value }) => value.entries).filter(({ signal }) => signal === "schema_validity");
    const sum = (of: (entry: Frame["entries"][number]) => number) => counted().reduce((total, entry) => total + of(entry), 0);
    await until("both are counted", () => sum(({ scored }) => scored) === 2, deadlineMs);
    assert.equal(
      sum(({ values, counts }) => counts[values.indexOf(1)] ?? 0),
      1,
    );
  });

  it("obeys a routing record and then a brake, and reports both on the fleet", async (t) => {
    const { connection, client } = await prefixed(t);
    const reports = collect<FleetReport>(t, client, fleet);
    const gateway = await gatewayOn(t, await upstreamsOf(t), () => connectLog({ ...connection, clientId: "gateway", log }));
    assert.equal(await gateway.chat(), "hello");
    await publish(client, { table: canary() });
    const epoch = () => reports.at(-1)?.value.routes[0];
    await until("the epoch is reported", () => epoch()?.epoch === 1, deadlineMs);
    assert.equal(await gateway.chat(), "from b");
    await publish(client, {
      brake: { route: "support-answer", rollout: "support-answer-b", attempt: 1, cleared: false, reason: "", actor: "test", atMs: Date.now() },
    });
    await until("the brake is reported", () => epoch()?.braked === true, deadlineMs);
    assert.equal(await gateway.chat(), "hello");
    await publish(client, { table: canary({ epoch: 2 }) });
    await until("the next epoch is reported", () => epoch()?.epoch === 2, deadlineMs);
    assert.equal(await gateway.chat(), "hello");
    await gateway.stop();
    await until("it says that it stops", () => reports.at(-1)?.value.stopping === true, deadlineMs);
  });

  it("finds table and brake at its start, before it is ready", async (t) => {
    const { connection, client } = await prefixed(t);
    await publish(client, { table: canary() });
    const gateway = await gatewayOn(t, await upstreamsOf(t), () => connectLog({ ...connection, clientId: "gateway", log }));
    await until("the table is obeyed", () => gateway.isReady(), deadlineMs);
    const state = (await (await fetch(`${gateway.url}/readyz`)).json()) as { connected: boolean; routes: { epoch: number }[] };
    assert.deepEqual([state.connected, state.routes[0]?.epoch], [true, 1]);
    assert.equal(await gateway.chat(), "from b");
    await gateway.stop();
  });

  it("serves its static baseline while Kafka cannot be reached, and writes what it kept once it can", async (t) => {
    const { connection, client } = await prefixed(t);
    const seen = collect<Request>(t, client, requests);
    let brokers = [`127.0.0.1:${await freePort()}`];
    const gateway = await gatewayOn(t, await upstreamsOf(t), () => connectLog({ ...connection, brokers, clientId: "gateway", log }));
    for (let i = 0; i < 5; i++) assert.equal(await gateway.chat(ask(`${i}`)), "hello");
    assert.equal(seen.length, 0);
    brokers = [...connection.brokers];
    await until("the kept records arrive", () => seen.filter(({ value }) => value.kind === "call").length === 5, deadlineMs);
    assert.ok(seen.every(({ value }) => value.epoch === 0));
    await gateway.stop();
  });
});
