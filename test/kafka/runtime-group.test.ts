import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Kafka, logLevel } from "kafkajs";
import { KnownError } from "../../src/errors/known-error.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { Outgoing, Running, TaskRole } from "../../src/runtime/port.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { commands, type EvidenceEntry, evidence, rollouts } from "../../topics/index.ts";
import { registryStub } from "../contract/registry-stub.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { until } from "../fixtures/until.ts";
import { echo, echoRole, idOf } from "../fixtures/worker-echo-role.ts";
import { assertExactlyOnce, command, Harness, silent } from "../fixtures/worker-harness.ts";

/** The end of a role that is expected to end; a test that waits for it does not wait for ever. */
const endOf = (running: Running) =>
  Promise.race([running.finished, sleep(45_000, undefined, { ref: false }).then(() => assert.fail("the role has not ended"))]);

describe("processes that share a role", () => {
  let harness: Harness;
  before(async () => {
    harness = await Harness.start();
    await harness.feed(100);
  });
  after(() => harness.close());

  it("own whole tasks: partition p of every input together, and one takes over what the other leaves", async () => {
    const seen = new Map<string, Set<string>>();
    const watching = (process: string): TaskRole => {
      const role = echoRole("shared");
      return {
        ...role,
        createTask: (context) => {
          const task = role.createTask(context);
          const take = task.take.bind(task);
          task.take = (record) => {
            const places = seen.get(process) ?? new Set();
            seen.set(process, places.add(`${record.topic}-${record.partition}`));
            take(record);
          };
          return task;
        },
      };
    };
    const [first, second] = await Promise.all([harness.connect(), harness.connect()]);
    const a = await first.runRole(watching("a"));
    await until("the first owns all", () => a.owned().length === 2);
    const b = await second.runRole(watching("b"));
    await until("each owns one", () => a.owned().length === 1 && b.owned().length === 1);
    assert.notDeepEqual(a.owned(), b.owned());
    seen.clear();
    await harness.feed(100);
    await harness.exactlyOnce("shared");
    for (const [process, role] of [
      ["a", a],
      ["b", b],
    ] as const) {
      const p = role.owned()[0];
      assert.deepEqual([...(seen.get(process) ?? [])].sort(), [`commands-${p}`, `rollouts-${p}`]);
    }
    await a.stop();
    await until("the second owns all", () => b.owned().length === 2);
    await harness.feed(40);
    await harness.exactlyOnce("shared");
    await b.stop();
  });

  it("write on in time when the clock of their process is set back by an hour", async () => {
    let backMs = 0;
    const client = await harness.connect({ now: () => Date.now() - backMs });
    const role = await client.runRole(echoRole("set-back", 200));
    await harness.exactlyOnce("set-back");
    backMs = 3_600_000;
    // Fewer than make a flush due by themselves.
    await harness.feed(4);
    await harness.exactlyOnce("set-back");
    await role.stop();
  });

  it("forward a record that lies in the wrong partition, exactly once, within their transaction", async () => {
    const role: TaskRole = {
      name: "forwarding",
      inputs: [commands],
      flushEveryMs: 20,
      flushRecords: 10,
      createTask: ({ partition }) => {
        let outputs: Outgoing[] = [];
        return {
          start: () => undefined,
          take: (record) => {
            const id = idOf(record);
            if (!id.startsWith("stray")) return;
            const right = harness.client.partitionFor(commands, id);
            outputs.push(right === partition ? echo("forwarding", id, partition) : command(id, right));
          },
          flush: () => {
            const batch = { outputs };
            outputs = [];
            return batch.outputs.length === 0 ? null : batch;
          },
        };
      },
    };
    const ids = Array.from({ length: 30 }, (_, i) => `stray-${i}`);
    await harness.client.openAppender().append(ids.map((id) => command(id, 0)));
    const running = await (await harness.connect()).runRole(role);
    await harness.exactlyOnce("forwarding", ids);
    const follower = harness.client.follow([evidence], {
      from: "beginning",
      onRecord: ({ partition, value }) => {
        const { input, route } = value as EvidenceEntry;
        if (input === "forwarding") assert.equal(partition, harness.client.partitionFor(commands, route));
      },
      onError: (error) => assert.fail(error),
    });
    await follower.caughtUp;
    await follower.close();
    await running.stop();
  });

  it("end with the task's own error when it fails again and again, naming role, topic and offset", async () => {
    const client = await harness.connect();
    const running = await client.runRole({
      ...echoRole("failing"),
      createTask: () => ({
        start: () => undefined,
        take: () => {
          throw new TypeError("a bug");
        },
        flush: () => null,
      }),
    });
    await assert.rejects(endOf(running), (error: Error) => {
      assert.match(error.message, /failing-\d failed 5 times/);
      assert.match((error.cause as Error).message, /failing-\d failed on .*\[\d\] offset \d+/);
      return true;
    });
  });

  it("end when a task wants to commit more metadata than fits", async () => {
    const client = await harness.connect();
    const running = await client.runRole({
      ...echoRole("talkative"),
      createTask: () => ({
        start: () => undefined,
        take: () => undefined,
        flush: () => ({ outputs: [], offsets: { commands: { metadata: "x".repeat(4_001) } } }),
      }),
    });
    await assert.rejects(endOf(running), (error: Error) => /talkative wants to commit 4001 bytes/.test((error.cause as Error).message));
  });
});

describe("records that were deleted before they were read", () => {
  let harness: Harness;
  const isGap = (error: unknown) => error instanceof KnownError && error.code === "GAP" && /begins at \d+/.test(error.message);
  const deleteAll = async () => {
    const kafka = new Kafka({ brokers: [...harness.connection.brokers], clientId: "deleter", logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    const topic = harness.connection.prefix + commands.name;
    await admin.fetchTopicMetadata({ topics: [topic] }); // or kafkajs does not know the leaders
    await admin.deleteTopicRecords({ topic, partitions: [0, 1].map((partition) => ({ partition, offset: "-1" })) });
    await admin.disconnect();
  };
  before(async () => {
    harness = await Harness.start();
    await harness.feed(40);
  });
  after(() => harness.close());

  it("end the role with GAP, unless the gap is accepted", async () => {
    const first = await (await harness.connect()).runRole(echoRole("gap"));
    await harness.exactlyOnce("gap");
    await first.stop();
    await harness.feed(40);
    await deleteAll();
    const second = await (await harness.connect()).runRole(echoRole("gap"));
    await assert.rejects(endOf(second), isGap);
    const third = await (await harness.connect({ acceptGap: true })).runRole(echoRole("gap"));
    await harness.client.openAppender().append([command("after the gap", 0)]);
    await until("it goes on", async () => (await harness.outputsOf("gap")).has("after the gap"));
    await third.stop();
  });

  it("end the role with GAP also when they are deleted under its hands, where kafkajs would skip them silently", async () => {
    await harness.feed(40);
    let isDeleted: Promise<void> | null = null;
    const client = await harness.connect({
      faults: async (point) => {
        if (point !== "started") return;
        isDeleted ??= deleteAll();
        await isDeleted;
      },
    });
    const running = await client.runRole(echoRole("gap-live"));
    await assert.rejects(endOf(running), isGap);
  });
});

describe("connecting", () => {
  it("says what is missing: brokers, registry, topics, layout", async (t) => {
    const { brokers, registryUrl } = await testCluster();
    const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix(), clientId: "test", log: silent };
    const code = (expected: string) => (error: unknown) => error instanceof KnownError && error.code === expected;
    await assert.rejects(connectLog({ ...connection, brokers: ["127.0.0.1:1"] }), code("KAFKA_UNREACHABLE"));
    await assert.rejects(connectLog({ ...connection, registryUrl: "http://127.0.0.1:1" }), code("REGISTRY_UNREACHABLE"));
    await assert.rejects(connectLog(connection), code("TOPIC_MISSING"));
    t.after(() => deletePrefix(connection));
    await applyTopics({ ...connection, partitions: "small" });
    const admin = new Kafka({ brokers: connection.brokers, clientId: "test", logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.createPartitions({ topicPartitions: [{ topic: connection.prefix + rollouts.name, count: 3 }] });
    await admin.disconnect();
    await assert.rejects(
      connectLog(connection),
      (error: unknown) => code("LAYOUT_MISMATCH")(error) && /rollouts has 3 partitions, the layout record says 2/.test(String(error)),
    );
  });

  it("takes a registry that denies schemas of records for one that is loading, and one that has others of the topic for one of another version", async (t) => {
    const { brokers, registryUrl } = await testCluster();
    const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix(), clientId: "test", log: silent };
    t.after(() => deletePrefix(connection));
    await applyTopics({ ...connection, partitions: "small" });
    const stub = await registryStub(t);
    stub.mood = "loading";
    const code = (expected: string) => (error: unknown) => error instanceof KnownError && error.code === expected;
    const [loading, missing] = [code("REGISTRY_UNREACHABLE"), code("TOPIC_MISSING")];
    await assert.rejects(connectLog({ ...connection, registryUrl: stub.url }), loading);
    await assert.rejects(connectLog({ ...connection, registryUrl: stub.url, prefix: testPrefix() }), missing, "no topics");

    const subject = `${registryUrl}/subjects/${connection.prefix}catalog-value`;
    for (const query of ["", "?permanent=true"]) await fetch(subject + query, { method: "DELETE" });
    await assert.rejects(connectLog(connection), loading, "lost");
    const schema = JSON.stringify({ type: "record", name: "CatalogEntry", fields: [{ name: "kind", type: "string" }] });
    const headers = { "content-type": "application/vnd.schemaregistry.v1+json" };
    const put = await fetch(`${subject}/versions`, { method: "POST", headers, body: JSON.stringify({ schema }) });
    assert.equal(put.status, 200, await put.text());
    await assert.rejects(connectLog(connection), missing, "another version's");
  });

  it("forgets what was closed: a process that opens and closes all day does not grow", async (t) => {
    const harness = await Harness.start();
    t.after(() => harness.close());
    const client = await harness.connect();
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const closed = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const [appender, table] = [client.openAppender(), client.openTable(rollouts)];
        await table.ready;
        await Promise.all([appender.close(), table.close()]);
        return [new WeakRef(appender), new WeakRef(table)];
      }),
    );
    await until("nobody knows them", () => {
      collect();
      return closed.flat().every((one) => one.deref() === undefined);
    });
    await client.close();
  });
});

it("what a stopped role has finished is committed before it goes", async (t) => {
  const harness = await Harness.start();
  t.after(() => harness.close());
  await harness.feed(10);
  const taken: string[] = [];
  const slow = echoRole("slow", 60_000);
  const running = await (await harness.connect()).runRole({
    ...slow,
    flushRecords: 1_000,
    createTask: (context) => {
      const task = slow.createTask(context);
      const take = task.take.bind(task);
      task.take = (record) => {
        taken.push(idOf(record));
        take(record);
      };
      return task;
    },
  });
  await until("all are taken", () => taken.length === 10);
  assert.equal((await harness.outputsOf("slow")).size, 0);
  await running.stop();
  assertExactlyOnce(await harness.outputsOf("slow"), harness.ids);
});
