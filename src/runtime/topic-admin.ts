import { randomUUID } from "node:crypto";
import kafkajs, { type Admin } from "kafkajs";
import { type Logger, pino } from "pino";
import { avroOf } from "../../topics/avro.ts";
import { allTopics, type CatalogEntry, catalog } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";
import { pause } from "./deps.ts";
import { unreachable } from "./kafka/admin.ts";
import { type Client, type Connection, openClient, type Security } from "./kafka/client.ts";
import { causesOf, isKafka } from "./kafka/errors.ts";
import { FirstWords } from "./kafka/first-words.ts";
import { formatLayout, type Layout, layoutKey, parseLayout } from "./layout.ts";
import { notLoaded, Registry } from "./registry.ts";
import { Serde, subjectOf, UnknownSchemaError } from "./serde.ts";
import { type PartitionCounts, type PartitionsOption, type PlannedTopic, partitionCounts, planTopics } from "./topic-plan.ts";

export { renderTopics } from "./topic-plan.ts";

// Node finds only some of kafkajs's names in a named import.
const { ConfigResourceTypes, ConfigSource, KafkaJSAggregateError, KafkaJSProtocolError } = kafkajs;

export interface TopicsOptions {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly prefix: string;
  /** Absent: what the prefix has, or the defaults for a new one. */
  readonly partitions?: PartitionsOption | undefined;
  /** Absent: 3, or as many as there are brokers when those are fewer. */
  readonly replicationFactor?: number | undefined;
  readonly security?: Security | undefined;
  readonly log?: Logger | undefined;
  /** How long a broker may say nothing before it counts as unreachable, ms; default 15,000. */
  readonly answerMs?: number | undefined;
}

/** One way in which a cluster is not as the contracts say. */
export interface Difference {
  /** With prefix. */
  readonly topic: string;
  /** What differs: `topic`, `partitions`, `replication`, `schema`, `compatibility`, `layout`, or a topic setting such as `retention.ms`. */
  readonly setting: string;
  readonly wanted: string;
  readonly actual: string;
  /** `apply` makes it so; `keep`: apply leaves it, because it would delete or shrink; `refuse`: apply stops (LAYOUT_MISMATCH). */
  readonly remedy: "apply" | "keep" | "refuse";
}

/** What exists on the cluster under a prefix. */
interface Found {
  readonly layout: Layout | null;
  readonly topics: ReadonlyMap<string, { readonly partitions: number; readonly replicas: number }>;
  /** Settings in force, by topic. */
  readonly settings: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Settings made on the topic itself: altering a topic drops those that are not repeated. */
  readonly overrides: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

const readTimeoutMs = 30_000;
const retryEveryMs = 200;

/** An open connection with the clients of Kafka and of the registry. */
export interface Session {
  readonly options: TopicsOptions;
  readonly connection: Connection;
  readonly client: Client;
  readonly admin: Admin;
  readonly registry: Registry;
}

/**
 * Creates or checks every topic of a prefix, with dead-letter topics, layout record and schemas. Doing it again changes
 * nothing; it never deletes, shrinks or repartitions. The one place that needs the right to create.
 *
 * @returns what differed before: all of it is settled now but for `keep`; with `dryRun` nothing was written
 * @throws {KnownError} LAYOUT_MISMATCH, LAYOUT_UNKNOWN, SCHEMA_REFUSED, CONFIG_INVALID, KAFKA_UNREACHABLE, REGISTRY_UNREACHABLE
 */
export async function applyTopics(options: TopicsOptions & { readonly dryRun?: boolean }): Promise<readonly Difference[]> {
  return withSession(options, async (session) => {
    const { plan, counts, found, differences } = await compare(session);
    const refused = differences.filter(({ remedy }) => remedy === "refuse");
    if (refused.length > 0) throw layoutMismatch(options.prefix, refused);
    if (options.dryRun === true) return differences;
    const toDo = differences.filter(({ remedy }) => remedy === "apply");
    await createMissing(session, plan, toDo);
    await alterSettings(session, found, toDo);
    await registerSchemas(session, toDo);
    if (toDo.some(({ setting }) => setting === "layout")) await writeLayout(session, counts);
    return differences;
  });
}

/** What `applyTopics` would change, keep or refuse; writes nothing. */
export async function diffTopics(options: TopicsOptions): Promise<readonly Difference[]> {
  return withSession(options, async (session) => (await compare(session)).differences);
}

/**
 * Deletes every topic, group and subject of a test's or demo's prefix.
 * @throws {Error} for any prefix that does not say that it is one: nothing of anybody else is ever deleted
 */
export async function deletePrefix(options: Pick<TopicsOptions, "brokers" | "registryUrl" | "prefix" | "security" | "log">): Promise<void> {
  const { prefix } = options;
  if (!/^hg(test|demo)-./.test(prefix)) throw new Error(`refusing to delete the prefix ${JSON.stringify(prefix)}: it is not one of a test or demo`);
  await withSession(options, async ({ admin, registry }) => {
    const { groups } = await admin.listGroups();
    const idle = groups.map(({ groupId }) => groupId).filter((groupId) => groupId.startsWith(prefix));
    // A group that still has members stays; the broker expires it.
    if (idle.length > 0) await admin.deleteGroups(idle).catch(() => undefined);
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
    if (topics.length > 0) await admin.deleteTopics({ topics });
    await Promise.all(allTopics.map((topic) => registry.deleteSubject(subjectOf(prefix, topic))));
  });
}

/** Runs `use` with a connection to Kafka and the registry that is closed afterwards. @throws {KnownError} KAFKA_UNREACHABLE */
export async function withSession<T>(options: TopicsOptions, use: (session: Session) => Promise<T>): Promise<T> {
  const log = options.log ?? pino({ level: "silent" });
  const firstWords = new FirstWords(options.answerMs);
  const { socketFactory } = firstWords;
  const connection: Connection = { brokers: options.brokers, clientId: "headgate-topics", log, security: options.security, socketFactory };
  const client = openClient(connection, { retries: 5, initialRetryTime: 50, maxRetryTime: 1000 }, 30_000);
  const admin = client.kafka.admin();
  try {
    return await firstWords.bound(async () => {
      await admin.connect();
      return use({ options, connection, client, admin, registry: new Registry(options.registryUrl) });
    });
  } catch (error) {
    if (error instanceof KnownError || !isKafka(error)) throw error;
    throw unreachable(options.brokers, error);
  } finally {
    await admin.disconnect().catch(() => undefined);
    client.kill();
  }
}

async function compare(
  session: Session,
): Promise<{ plan: readonly PlannedTopic[]; counts: PartitionCounts; found: Found; differences: readonly Difference[] }> {
  const { options, admin } = session;
  const { prefix } = options;
  const [existing, { brokers }] = await Promise.all([admin.listTopics(), admin.describeCluster()]);
  const names = existing.filter((name) => name.startsWith(prefix));
  const found = await patiently(() => inspect(session, names));
  const counts = wantedCounts(options, found);
  const plan = planTopics(prefix, counts, options.replicationFactor ?? Math.min(3, brokers.length));
  const differences = [
    ...layoutDifferences(prefix, counts, found),
    ...plan.flatMap((topic) => topicDifferences(topic, found)),
    ...(await schemaDifferences(session)),
  ];
  return { plan, counts, found, differences };
}

/** Of a prefix without layout the counts that exist stand for it: a cluster team made them. */
function wantedCounts({ prefix, partitions }: TopicsOptions, found: Found): PartitionCounts {
  const made = allTopics.flatMap(({ name }) => {
    const topic = found.topics.get(prefix + name);
    return topic === undefined ? [] : [[name, topic.partitions] as const];
  });
  return partitionCounts(partitions, found.layout?.partitions ?? Object.fromEntries(made));
}

/** kafkajs does not retry all of what passes: leaders that are being elected, for topics that were created a moment ago. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let waitedMs = 0; ; waitedMs += retryEveryMs) {
    try {
      return await ask();
    } catch (error) {
      if (waitedMs >= readTimeoutMs || !causesOf(error).some(({ retriable }) => retriable === true)) throw error;
      await pause(retryEveryMs);
    }
  }
}

async function inspect(session: Session, names: readonly string[]): Promise<Found> {
  const { admin, options } = session;
  if (names.length === 0) return { layout: null, topics: new Map(), settings: new Map(), overrides: new Map() };
  const [{ topics }, { resources }, layout] = await Promise.all([
    admin.fetchTopicMetadata({ topics: [...names] }),
    admin.describeConfigs({ includeSynonyms: false, resources: names.map((name) => ({ type: ConfigResourceTypes.TOPIC, name })) }),
    names.includes(options.prefix + catalog.name) ? readLayout(session) : null,
  ]);
  const entries = resources.map(({ resourceName, configEntries }) => ({ resourceName, configEntries }));
  return {
    layout,
    topics: new Map(topics.map(({ name, partitions }) => [name, { partitions: partitions.length, replicas: partitions[0]?.replicas.length ?? 0 }])),
    settings: new Map(entries.map(({ resourceName, configEntries }) => [resourceName, new Map(configEntries.map((e) => [e.configName, e.configValue]))])),
    overrides: new Map(
      entries.map(({ resourceName, configEntries }) => [
        resourceName,
        new Map(configEntries.filter((e) => e.configSource === ConfigSource.TOPIC_CONFIG).map((e) => [e.configName, e.configValue])),
      ]),
    ),
  };
}

function layoutDifferences(prefix: string, counts: PartitionCounts, { layout }: Found): Difference[] {
  const topic = prefix + catalog.name;
  if (layout === null) return [{ topic, setting: "layout", wanted: "written", actual: "missing", remedy: "apply" }];
  return Object.entries(counts).flatMap(([name, wanted]): Difference[] => {
    const actual = layout.partitions[name];
    if (actual === wanted) return [];
    if (actual === undefined) return [{ topic, setting: "layout", wanted: `${name}: ${wanted}`, actual: "not in it", remedy: "apply" }];
    return [{ topic: prefix + name, setting: "layout", wanted: String(wanted), actual: String(actual), remedy: "refuse" }];
  });
}

function topicDifferences(wanted: PlannedTopic, found: Found): Difference[] {
  const topic = wanted.name;
  const actual = found.topics.get(topic);
  if (actual === undefined) {
    return [{ topic, setting: "topic", wanted: `${wanted.partitions} partitions, ${wanted.replicationFactor} replicas`, actual: "missing", remedy: "apply" }];
  }
  const differences: Difference[] = [];
  if (actual.partitions !== wanted.partitions) {
    differences.push({ topic, setting: "partitions", wanted: String(wanted.partitions), actual: String(actual.partitions), remedy: "refuse" });
  }
  if (actual.replicas < wanted.replicationFactor) {
    differences.push({ topic, setting: "replication", wanted: String(wanted.replicationFactor), actual: String(actual.replicas), remedy: "keep" });
  }
  const settings = found.settings.get(topic);
  for (const [setting, value] of Object.entries(wanted.config)) {
    const now = settings?.get(setting) ?? "";
    if (!isSame(setting, value, now)) differences.push({ topic, setting, wanted: value, actual: now, remedy: isSafe(setting, value, now) ? "apply" : "keep" });
  }
  return differences;
}

function isSame(setting: string, wanted: string, actual: string): boolean {
  if (setting === "cleanup.policy") return wanted.split(",").sort().join() === actual.split(",").sort().join();
  return wanted === actual || (actual !== "" && Number(wanted) === Number(actual));
}

/** Whether a setting may be made on a topic that exists: never one that deletes what somebody chose to keep, or refuses what fitted. */
function isSafe(setting: string, wanted: string, actual: string): boolean {
  if (setting === "cleanup.policy") return !wanted.includes("delete") || actual.includes("delete");
  if (setting === "retention.ms") return Number(actual) !== -1 && Number(actual) < Number(wanted);
  if (setting === "max.message.bytes" || setting === "min.insync.replicas") return Number(actual) < Number(wanted);
  return true;
}

async function schemaDifferences({ options, registry }: Session): Promise<Difference[]> {
  const found = await Promise.all(
    allTopics.map(async (topic): Promise<Difference[]> => {
      const subject = subjectOf(options.prefix, topic);
      const [id, level] = await Promise.all([registry.idOf(subject, avroOf(topic)), registry.compatibility(subject)]);
      const about = { topic: options.prefix + topic.name, remedy: "apply" } as const;
      if (id === null) return [{ ...about, setting: "schema", wanted: "this version's", actual: "not registered" }];
      return level === "FULL_TRANSITIVE" ? [] : [{ ...about, setting: "compatibility", wanted: "FULL_TRANSITIVE", actual: level ?? "not set" }];
    }),
  );
  return found.flat();
}

async function createMissing({ admin }: Session, plan: readonly PlannedTopic[], differences: readonly Difference[]): Promise<void> {
  const missing = new Set(differences.filter(({ setting }) => setting === "topic").map(({ topic }) => topic));
  const topics = plan
    .filter(({ name }) => missing.has(name))
    .map(({ name, partitions, replicationFactor, config }) => ({
      topic: name,
      numPartitions: partitions,
      replicationFactor,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    }));
  if (topics.length === 0) return;
  try {
    // Where somebody else applies at the same time kafkajs answers `false`; the next call compares what there is then.
    // Not kafkajs's own wait for leaders: it fails while the broker that it asks has not heard of the topics yet.
    await admin.createTopics({ topics, waitForLeaders: false, timeout: 30_000 });
    await patiently(() => admin.fetchTopicMetadata({ topics: [...missing] }));
  } catch (error) {
    const refusal = error instanceof KafkaJSAggregateError ? error.errors[0] : error;
    if (!(refusal instanceof KafkaJSProtocolError) || refusal.retriable) throw error;
    throw new KnownError("TOPIC_MISSING", `the cluster refused to create ${[...missing].join(", ")}: ${refusal.message}`, {
      fix: "let whoever may create topics run `headgate topics diff --as kafka-topics` (or strimzi, terraform), then apply again",
      cause: error,
    });
  }
}

async function alterSettings({ admin }: Session, found: Found, differences: readonly Difference[]): Promise<void> {
  const byTopic = Map.groupBy(
    differences.filter(({ setting }) => setting.includes(".")),
    ({ topic }) => topic,
  );
  const resources = [...byTopic].map(([name, changes]) => {
    const merged = new Map([...(found.overrides.get(name) ?? []), ...changes.map(({ setting, wanted }) => [setting, wanted] as const)]);
    return { type: ConfigResourceTypes.TOPIC, name, configEntries: [...merged].map(([key, value]) => ({ name: key, value })) };
  });
  if (resources.length > 0) await admin.alterConfigs({ validateOnly: false, resources });
}

async function registerSchemas({ options, registry }: Session, differences: readonly Difference[]): Promise<void> {
  const changed = new Set(differences.filter(({ setting }) => setting === "schema" || setting === "compatibility").map(({ topic }) => topic));
  // One after the other: a refusal leaves nothing under way.
  for (const topic of allTopics) {
    if (changed.has(options.prefix + topic.name)) await registry.register(subjectOf(options.prefix, topic), avroOf(topic));
  }
}

async function writeLayout(session: Session, counts: PartitionCounts): Promise<void> {
  const { options, client } = session;
  const serde = await Serde.connect(options.registryUrl, options.prefix);
  await serde.prepare([catalog]);
  const entry: CatalogEntry = { digest: layoutKey, kind: "layout", name: layoutKey, text: formatLayout(counts), atMs: Date.now() };
  const producer = client.kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  try {
    await producer.connect();
    await producer.send({ topic: options.prefix + catalog.name, acks: -1, messages: [{ partition: 0, key: layoutKey, value: serde.encode(catalog, entry) }] });
  } finally {
    await producer.disconnect().catch(() => undefined);
  }
}

/** The newest layout record of the prefix; null when none was written yet. */
async function readLayout({ options, client, admin, registry }: Session): Promise<Layout | null> {
  const topic = options.prefix + catalog.name;
  const [end] = await admin.fetchTopicOffsets(topic);
  if (end === undefined || Number(end.high) === Number(end.low)) return null;
  const serde = await Serde.connect(options.registryUrl, options.prefix);
  const groupId = `${options.prefix}topics-${randomUUID()}`;
  const consumer = client.kafka.consumer({ groupId, maxWaitTimeInMs: 100 });
  let newest: Buffer | null = null;
  let deadline: NodeJS.Timeout | undefined;
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      // kafkajs restarts by itself after what passes, such as a group coordinator that is still loading.
      consumer.on(consumer.events.CRASH, ({ payload }) => (payload.restart ? undefined : reject(payload.error)));
      deadline = setTimeout(() => reject(new Error(`${topic} could not be read within ${readTimeoutMs} ms`)), readTimeoutMs);
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
        if (Number(payload.lastOffset) + 1 >= Number(end.high)) resolve();
      });
      const eachMessage = async ({ message }: { message: { key: Buffer | null; value: Buffer | null } }) => {
        if (message.key?.toString() === layoutKey && message.value !== null) newest = message.value;
      };
      consumer.run({ autoCommit: false, eachMessage }).catch(reject);
    });
  } finally {
    clearTimeout(deadline);
    await consumer.disconnect().catch(() => undefined);
    await admin.deleteGroups([groupId]).catch(() => undefined);
  }
  if (newest === null) return null;
  try {
    return parseLayout(((await serde.decode(catalog, newest)) as CatalogEntry).text);
  } catch (error) {
    // Headgate wrote this record itself, so its schema was registered.
    if (error instanceof UnknownSchemaError) throw notLoaded(registry.url, error.id);
    throw error;
  }
}

function layoutMismatch(prefix: string, refused: readonly Difference[]): KnownError {
  const lines = new Map(refused.map(({ topic, wanted, actual }) => [topic, `${topic} has ${actual} partitions, not ${wanted}`]));
  return new KnownError("LAYOUT_MISMATCH", `the partition counts of prefix ${prefix} are frozen:\n  ${[...lines.values()].join("\n  ")}`, {
    fix: "leave the counts as they are, or start a new prefix between attempts",
  });
}
