import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import kafkajs, { type Admin } from "kafkajs";
import { KnownError } from "../../src/errors/known-error.ts";
import { Registry } from "../../src/runtime/registry.ts";
import { applyTopics, deletePrefix, diffTopics, type TopicsOptions } from "../../src/runtime/topic-admin.ts";
import { planTopics } from "../../src/runtime/topic-plan.ts";
import { avroOf } from "../../topics/avro.ts";
import { allTopics, deadLettered, outcomes, requests } from "../../topics/index.ts";
import { registryStub } from "../contract/registry-stub.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { until } from "../fixtures/until.ts";

const isKnown = (code: string, text: RegExp) => (error: unknown) => error instanceof KnownError && error.code === code && text.test(error.message);
const smallCounts = Object.fromEntries(allTopics.map(({ name, partitions }) => [name, partitions === 1 ? 1 : name === "samples" ? 4 : 2]));

async function setUp(t: TestContext): Promise<{ options: TopicsOptions; admin: Admin; settingsOf: (topic: string) => Promise<Map<string, string>> }> {
  const { brokers, registryUrl } = await testCluster();
  const options = { brokers: brokers.split(","), registryUrl, prefix: testPrefix(), partitions: "small" } as const;
  const admin = new kafkajs.Kafka({ brokers: options.brokers, logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
  t.after(async () => {
    await admin.disconnect();
    await deletePrefix(options);
  });
  const settingsOf = async (topic: string) => {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: options.prefix + topic }],
    });
    return new Map(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]));
  };
  return { options, admin, settingsOf };
}

/** A broker answers with its own copy of the metadata, which follows the controller's by some milliseconds. */
const eventually = (isSo: () => Promise<boolean>) => until("the broker shows the change", isSo);

const alter = (admin: Admin, name: string, settings: Record<string, string>): Promise<unknown> =>
  admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name, configEntries: Object.entries(settings).map(([key, value]) => ({ name: key, value })) }],
  });

describe("topics apply", () => {
  it("creates every topic and dead-letter topic, registers every schema, and finds nothing to do the second time", async (t) => {
    const { options, admin, settingsOf } = await setUp(t);
    await applyTopics(options);
    assert.deepEqual(await applyTopics(options), []);
    assert.deepEqual(await diffTopics({ ...options, partitions: undefined }), [], "without counts: those of the prefix");

    const planned = planTopics(options.prefix, smallCounts, 1);
    assert.equal(planned.length, allTopics.length + deadLettered.length);
    const { topics } = await admin.fetchTopicMetadata({ topics: planned.map(({ name }) => name) });
    for (const { name, partitions } of planned) assert.equal(topics.find((topic) => topic.name === name)?.partitions.length, partitions, name);
    const settings = await settingsOf("requests");
    assert.equal(settings.get("message.timestamp.type"), "LogAppendTime");
    assert.equal(settings.get("max.message.bytes"), String(8 * 1024 * 1024));
    assert.equal((await settingsOf("routing")).get("cleanup.policy"), "compact");
    const registry = new Registry(options.registryUrl);
    for (const topic of allTopics) {
      assert.equal(await registry.compatibility(`${options.prefix}${topic.name}-value`), "FULL_TRANSITIVE");
      assert.notEqual(await registry.idOf(`${options.prefix}${topic.name}-value`, avroOf(topic)), null);
    }
  });

  it("two at the same time end as one", async (t) => {
    const { options } = await setUp(t);
    await Promise.allSettled([applyTopics(options), applyTopics(options)]);
    await applyTopics(options);
    assert.deepEqual(await diffTopics(options), []);
  });

  it("with dryRun tells everything and writes nothing", async (t) => {
    const { options, admin } = await setUp(t);
    const differences = await applyTopics({ ...options, dryRun: true });
    assert.equal(differences.filter(({ setting }) => setting === "topic").length, allTopics.length + deadLettered.length);
    assert.deepEqual(
      (await admin.listTopics()).filter((name) => name.startsWith(options.prefix)),
      [],
    );
    assert.equal(await new Registry(options.registryUrl).idOf(`${options.prefix}requests-value`, avroOf(requests)), null);
  });

  it("refuses other partition counts than the prefix was created with, whoever changed them", async (t) => {
    const { options, admin } = await setUp(t);
    await applyTopics(options);
    await assert.rejects(applyTopics({ ...options, partitions: { routes: 3 } }), (error) => {
      return isKnown("LAYOUT_MISMATCH", /partials has 2 partitions, not 3/)(error) && !/requests/.test((error as Error).message);
    });
    await admin.createPartitions({ topicPartitions: [{ topic: `${options.prefix}requests`, count: 5 }] });
    await eventually(async () => (await admin.fetchTopicMetadata({ topics: [`${options.prefix}requests`] })).topics[0]?.partitions.length === 5);
    await assert.rejects(applyTopics({ ...options, partitions: undefined }), isKnown("LAYOUT_MISMATCH", /requests has 5 partitions, not 2/));
    await assert.rejects(applyTopics({ ...options, dryRun: true }), isKnown("LAYOUT_MISMATCH", /requests/));
  });

  it("repairs settings without touching others, and never shortens what somebody chose to keep longer", async (t) => {
    const { options, admin, settingsOf } = await setUp(t);
    await applyTopics(options);
    const year = String(365 * 24 * 60 * 60 * 1000);
    await alter(admin, `${options.prefix}requests`, { "retention.ms": year, "message.timestamp.type": "CreateTime", "compression.type": "zstd" });
    await alter(admin, `${options.prefix}scores`, { "retention.ms": "1000", "cleanup.policy": "compact" });
    await eventually(async () => (await settingsOf("scores")).get("cleanup.policy") === "compact");

    const differences = await applyTopics(options);
    const remedies = differences.map(({ topic, setting, remedy }) => `${topic.slice(options.prefix.length)} ${setting} ${remedy}`);
    assert.ok(remedies.includes("requests retention.ms keep"), remedies.join());
    assert.ok(remedies.includes("scores retention.ms apply"), remedies.join());
    assert.ok(remedies.includes("scores cleanup.policy keep"), remedies.join());
    await eventually(async () => (await settingsOf("scores")).get("retention.ms") === String(30 * 24 * 60 * 60 * 1000));
    const settings = await settingsOf("requests");
    assert.equal(settings.get("retention.ms"), year);
    assert.equal(settings.get("message.timestamp.type"), "LogAppendTime");
    assert.equal(settings.get("compression.type"), "zstd", "a setting of somebody else survives");
  });

  it("takes over topics that a cluster team created, with their counts", async (t) => {
    const { options, admin } = await setUp(t);
    const made = planTopics(options.prefix, { ...smallCounts, requests: 3 }, 1);
    await admin.createTopics({
      topics: made.map(({ name, partitions, config }) => ({
        topic: name,
        numPartitions: partitions,
        configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
      })),
      // kafkajs waits for leaders by asking once, which fails on a broker that has not heard of the topic yet.
      waitForLeaders: false,
    });
    await eventually(async () => {
      const known = new Set(await admin.listTopics());
      return made.every(({ name }) => known.has(name));
    });
    const differences = await applyTopics({ ...options, partitions: undefined });
    assert.deepEqual([...new Set(differences.map(({ setting }) => setting))].sort(), ["layout", "schema"]);
    assert.deepEqual(await diffTopics({ ...options, partitions: undefined }), []);
    await assert.rejects(applyTopics(options), isKnown("LAYOUT_MISMATCH", /requests has 3 partitions, not 2/));
  });

  it("stops with the registry's reason when a schema is not compatible with what is registered", async (t) => {
    const { options } = await setUp(t);
    const registry = new Registry(options.registryUrl);
    const other = {
      ...avroOf(outcomes),
      fields: avroOf(outcomes).fields.map((field) => (field.name === "token" ? { ...field, type: "long", default: 0 } : field)),
    };
    await registry.register(`${options.prefix}outcomes-value`, other);
    await assert.rejects(applyTopics(options), isKnown("SCHEMA_REFUSED", /outcomes-value: /));
  });

  it("deletes only prefixes of tests and demos", async (t) => {
    const { options, admin } = await setUp(t);
    await applyTopics(options);
    for (const prefix of ["headgate.", "", "hgtest-", "my-hgtest-1."]) await assert.rejects(deletePrefix({ ...options, prefix }), /refusing/);
    await deletePrefix(options);
    assert.deepEqual(
      (await admin.listTopics()).filter((name) => name.startsWith(options.prefix)),
      [],
    );
  });

  it("waits for a registry that answers before it has loaded its schemas", async (t) => {
    const { options } = await setUp(t);
    await applyTopics(options);
    const stub = await registryStub(t);
    stub.mood = "loading";
    await assert.rejects(applyTopics({ ...options, registryUrl: stub.url }), isKnown("REGISTRY_UNREACHABLE", /has not loaded its schemas/));
    assert.ok(!stub.asked.some((request) => /^POST .*\/versions$/.test(request)), "nothing was registered anew");
  });

  it("says which of the two is away", async (t) => {
    const { options } = await setUp(t);
    await assert.rejects(diffTopics({ ...options, registryUrl: "http://127.0.0.1:9" }), isKnown("REGISTRY_UNREACHABLE", /127\.0\.0\.1:9/));
    await assert.rejects(diffTopics({ ...options, brokers: ["127.0.0.1:9"] }), isKnown("KAFKA_UNREACHABLE", /127\.0\.0\.1:9/));
  });
});
