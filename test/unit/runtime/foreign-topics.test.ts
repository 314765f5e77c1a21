import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { type Kafka, logLevel } from "kafkajs";
import { pino } from "pino";
import { LogAdmin } from "../../../src/runtime/kafka/admin.ts";
import { openClient } from "../../../src/runtime/kafka/client.ts";
import { IdempotentProducer } from "../../../src/runtime/kafka/producer.ts";
import { INIT_PRODUCER_ID, METADATA, metadataOf, producerIdOf, smallBroker, topicsOf } from "../../fixtures/small-broker.ts";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";

const LEADER_NOT_AVAILABLE = 5;
const retry = { retries: 1, initialRetryTime: 10, maxRetryTime: 10 };

/** A broker that leads `ours`; two topics of others share it, of which one has an error, and of the other nobody leads the partition: its only replica has died. */
async function shared(t: TestContext) {
  let address = "";
  const questions: string[][] = [];
  const { broker } = await smallBroker(t, {
    [METADATA]: (body) => {
      const asked = topicsOf(body);
      questions.push(asked);
      const all = [{ name: "ours" }, { name: "broken", error: LEADER_NOT_AVAILABLE }, { name: "theirs", isLed: false }];
      return metadataOf([address], 1, asked.length === 0 ? all : all.filter(({ name }) => asked.includes(name)));
    },
    [INIT_PRODUCER_ID]: () => producerIdOf(7),
  });
  address = broker;
  return { brokers: [broker], clientId: "test", log: pino({ level: "silent" }), questions };
}

describe("a cluster that is shared, where topics of others have no leader", () => {
  it("ends kafkajs alone, whatever it is asked", async (t) => {
    const { brokers } = await shared(t);
    const Alone = unrepaired<{ Kafka: typeof Kafka }>("kafkajs").Kafka;
    const admin = new Alone({ brokers, logLevel: logLevel.NOTHING, retry }).admin();
    await admin.connect();
    await assert.rejects(admin.describeCluster(), /no leader/, "kafkajs itself has been mended: our repair can go");
    await admin.disconnect();
  });

  it("answers who its brokers are, who leads ours, and gives numbers to producers", async (t) => {
    const connection = await shared(t);
    const admin = new LogAdmin(connection);
    t.after(() => admin.close());
    await admin.reach();
    assert.deepEqual(await admin.leadersOf(["ours"]), new Map([["1", connection.brokers[0]]]));
    const producer = await IdempotentProducer.open(connection, retry, 0);
    await producer.close();
  });

  it("tells of all topics which partitions nobody leads, for `doctor`", async (t) => {
    const client = openClient(await shared(t), retry);
    const admin = client.kafka.admin();
    await admin.connect();
    const { topics } = await admin.fetchTopicMetadata();
    assert.deepEqual(
      topics.map(({ name, partitions }) => [name, ...partitions.map(({ leader }) => leader)]),
      [
        ["ours", 1],
        ["theirs", -1],
      ],
    );
    await admin.disconnect();
  });

  it("is not asked for all its topics each time that a table asks who leads it: they can be thousands", async (t) => {
    const connection = await shared(t);
    const admin = new LogAdmin(connection);
    t.after(() => admin.close());
    for (let i = 0; i < 3; i++) await admin.leadersOf(["ours"]);
    assert.deepEqual(new Set(connection.questions.map((asked) => asked.join())), new Set(["ours"]));
  });

  it("says of a topic that is asked for by its name that nobody leads it, also after it was asked for all", async (t) => {
    const connection = await shared(t);
    const admin = new LogAdmin(connection);
    t.after(() => admin.close());
    await admin.reach();
    await assert.rejects(admin.leadersOf(["theirs"]));
    await assert.rejects(admin.bounds("theirs"));
    await assert.rejects(admin.partitionCounts(["broken"]));
  });
});
