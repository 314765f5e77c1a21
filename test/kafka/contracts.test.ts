import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import kafkajs from "kafkajs";
import { pino } from "pino";
import { KnownError } from "../../src/errors/known-error.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import { BadRecordError, Serde } from "../../src/runtime/serde.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { allTopics, catalog, type Outcome, outcomes, type Request, requests } from "../../topics/index.ts";
import { valuesOf } from "../contract/arbitraries.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";

const prefix = testPrefix();
const outcome: Outcome = { id: "", token: "t", signal: "thumbs", value: 0.5, occurredAtMs: 5, source: "crm" };

describe("contracts through a real registry and broker", () => {
  let cluster: { brokers: string[]; registryUrl: string };
  let writer: Serde;

  before(async () => {
    const { brokers, registryUrl } = await testCluster();
    cluster = { brokers: brokers.split(","), registryUrl };
    await applyTopics({ ...cluster, prefix, partitions: "small" });
    writer = await Serde.connect(registryUrl, prefix);
    await writer.prepare(allTopics);
  });
  after(() => deletePrefix({ ...cluster, prefix }));

  for (const topic of allTopics) {
    it(`${topic.name}: any valid value survives zod, Avro, the registry's wire format and back, in another process's eyes`, async () => {
      const reader = await Serde.connect(cluster.registryUrl, prefix);
      await fc.assert(
        fc.asyncProperty(valuesOf(topic), async (value) => {
          assert.deepStrictEqual(await reader.decode(topic, writer.encode(topic, value)), value);
        }),
        { numRuns: 25 },
      );
    });
  }

  it("a consumer that needs no bodies reads what the registry's schema wrote, without them", async () => {
    const reader = await Serde.connect(cluster.registryUrl, prefix);
    const [value] = fc.sample(valuesOf(requests), { numRuns: 1, seed: 5 }) as [Request];
    const read = await reader.decode(requests, writer.encode(requests, { ...value, requestBody: "{}" }), ["route", "latencyMs"]);
    assert.deepStrictEqual(read, { route: value.route, latencyMs: value.latencyMs });
  });

  it("an id that the registry does not know makes a bad record, not an outage", async () => {
    const bytes = Buffer.concat([Buffer.from([0, 0x7f, 0xff, 0xff, 0xf0]), writer.encode(outcomes, outcome).subarray(5)]);
    await assert.rejects(async () => writer.decode(outcomes, bytes), BadRecordError);
  });

  it("a value that zod rejects never reaches a producer", async () => {
    const log = await connectLog({ ...cluster, prefix, clientId: "test", log: pino({ level: "silent" }) });
    const admin = new kafkajs.Kafka({ brokers: cluster.brokers, logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
    const endOf = async (name: string) => (await admin.fetchTopicOffsets(prefix + name)).reduce((sum, { high }) => sum + Number(high), 0);
    try {
      const appender = log.openAppender();
      const good = { topic: outcomes, partition: 0, key: "k", value: outcome };
      const bad = { ...good, value: { ...outcome, value: 1.5 } };
      const catalogEnd = await endOf(catalog.name);
      await assert.rejects(
        appender.append([bad]),
        (error) => error instanceof KnownError && error.code === "RECORD_INVALID" && /^outcomes\.value: /.test(error.message),
      );
      await assert.rejects(appender.append([good, bad]), (error) => error instanceof KnownError && error.code === "RECORD_INVALID");
      assert.equal(await endOf(outcomes.name), 0, "not even the good one of the same call");
      await appender.append([good]);
      assert.equal(await endOf(outcomes.name), 1, "the appender goes on");
      assert.equal(await endOf(catalog.name), catalogEnd);
    } finally {
      await admin.disconnect();
      await log.close();
    }
  });
});
