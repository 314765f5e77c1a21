import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { run } from "../../src/cli/run.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import { applyTopics, deletePrefix, diffTopics } from "../../src/runtime/topic-admin.ts";
import { allTopics, deadLettered, requests } from "../../topics/index.ts";
import { registryStub } from "../contract/registry-stub.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { until } from "../fixtures/until.ts";
import { fakeCli } from "../unit/cli/fake-cli.ts";

const log = pino({ level: "silent" });

async function installed(t: TestContext) {
  const { brokers, registryUrl } = await testCluster();
  const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
  const other = { ...connection, prefix: `${connection.prefix}eu.` };
  for (const one of [connection, other]) await applyTopics({ ...one, partitions: "small", log });
  t.after(async () => {
    await deletePrefix(other);
    await deletePrefix(connection);
  });
  const uninstall = async (env: Readonly<Record<string, string>>, ...args: string[]) => {
    const cli = fakeCli({ env: { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, HEADGATE_PREFIX: connection.prefix, ...env } });
    const code = await run(["uninstall", ...args], cli);
    return { code, out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
  };
  return { connection, other, uninstall };
}

/** A role under the name of one of headgate's, that only reads. */
async function sampler(t: TestContext, connection: Awaited<ReturnType<typeof installed>>["connection"]) {
  const client = await connectLog({ ...connection, clientId: "test", log });
  t.after(() => client.close());
  const createTask = () => ({ start: () => undefined, take: () => undefined, flush: () => null });
  const running = await client.runRole({ name: "sampler", inputs: [requests], flushEveryMs: 100, flushRecords: 1, createTask });
  await until("the role owns its partitions", () => running.owned().length >= 2);
  return client;
}

/** The registry, but it refuses to delete one subject, as one does whose operator allows that to nobody. */
async function registryThatKeeps(t: TestContext, registryUrl: string, subject: string): Promise<string> {
  const server = createServer(async (request, response) => {
    if (request.method === "DELETE" && request.url?.includes(`/subjects/${subject}`)) {
      response.writeHead(403, { "content-type": "application/json" }).end('{"error_code":40301,"message":"forbidden"}');
      return;
    }
    const body = request.method === "GET" || request.method === "DELETE" ? null : Buffer.concat(await request.toArray());
    const answer = await fetch(`${registryUrl}${request.url}`, { method: request.method ?? "GET", body, headers: { "content-type": "application/json" } });
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("headgate uninstall", () => {
  it("lists all that the prefix has, removes nothing while a role runs, then everything of this prefix and nothing of a longer one", async (t) => {
    const { connection, other, uninstall } = await installed(t);
    const client = await sampler(t, connection);
    const dry = await uninstall({}, "--dry-run", "--json");
    const found = JSON.parse(dry.out);
    const topics = [...allTopics.map(({ name }) => name), ...deadLettered.map(({ name }) => `${name}.dlq`)].map((name) => connection.prefix + name);
    assert.deepEqual(found.topics, topics.toSorted());
    assert.deepEqual(found.subjects, allTopics.map(({ name }) => `${connection.prefix}${name}-value`).toSorted());
    assert.deepEqual(
      found.transactionalIds.filter((id: string) => id.includes("judge")),
      [0, 1, 2, 3].map((partition) => `${connection.prefix}judge-${partition}`),
    );
    assert.ok(found.groups.some(({ id, members }: { id: string; members: number }) => id.startsWith(`${connection.prefix}sampler.`) && members === 1));
    assert.equal(found.foreign.length, topics.length);

    const refused = await uninstall({}, "--yes");
    assert.equal(refused.code, 6);
    assert.match(refused.err, /sampler\.[0-9a-f]{8} \(1\)[\s\S]*stop every role/);
    const unsure = await uninstall({});
    assert.equal(unsure.code, 2);
    assert.match(unsure.err, /nothing was removed: --yes/);
    assert.deepEqual(await diffTopics({ ...connection, log }), []);

    await client.close();
    const done = await uninstall({}, "--yes");
    assert.equal(done.code, 0, done.out + done.err);
    assert.match(done.out, new RegExp(`removed  topic ${connection.prefix}routing`));
    assert.match(done.out, / 0 could not be/);
    const last = done.out.split("\n").slice(-3, -1);
    assert.deepEqual(last, [`removed  topic ${connection.prefix}catalog`, `removed  subject ${connection.prefix}catalog-value`], "by these the rest is found");
    const again = await uninstall({}, "--dry-run", "--json");
    const { topics: left, groups, subjects } = JSON.parse(again.out);
    assert.deepEqual({ left, groups, subjects }, { left: [], groups: [], subjects: [] });
    assert.deepEqual(await diffTopics({ ...other, log }), []);
  });

  it("removes nothing while the registry has not loaded its schemas: they would stay for ever", async (t) => {
    const { connection, uninstall } = await installed(t);
    const stub = await registryStub(t);
    stub.mood = "loading";
    for (const flag of ["--dry-run", "--yes"]) {
      const { code, err } = await uninstall({ SCHEMA_REGISTRY_URL: stub.url }, flag);
      assert.equal(code, 1, err);
      assert.match(err, new RegExp(`REGISTRY_UNREACHABLE.*has not loaded its schemas[\\s\\S]*delete the topic ${connection.prefix}catalog`));
    }
    assert.deepEqual(await diffTopics({ ...connection, log }), []);
    const foreign = await uninstall({ SCHEMA_REGISTRY_URL: stub.url, HEADGATE_PREFIX: "hgtest-nobody." }, "--yes");
    assert.equal(foreign.code, 0, "nothing is there");
  });

  it("says what could not be removed, and removes the rest", async (t) => {
    const { connection, uninstall } = await installed(t);
    const kept = `${connection.prefix}routing-value`;
    const guarded = await registryThatKeeps(t, connection.registryUrl, kept);
    const { code, out } = await uninstall({ SCHEMA_REGISTRY_URL: guarded }, "--yes");
    assert.equal(code, 1);
    assert.match(out, new RegExp(`left +subject ${kept}: .*answered 403`));
    const { topics, subjects } = JSON.parse((await uninstall({}, "--dry-run", "--json")).out);
    assert.deepEqual({ topics, subjects }, { topics: [], subjects: [kept] });
  });
});
