import { allTopics, deadLettered, type Topic } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";

/** Partition counts by topic, without prefix; dead-letter topics always have one. */
export type PartitionCounts = Readonly<Record<string, number>>;

/** What a caller may ask for: `small` (tests, demo, one machine), or counts by topic, with `routes` for all that are keyed by route. */
export type PartitionsOption = "small" | PartitionCounts;

/** One topic as it must exist on a cluster. */
export interface PlannedTopic {
  /** With prefix. */
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly config: Readonly<Record<string, string>>;
}

const routeTopics = allTopics.filter((topic) => topic.partitions === "routes").map((topic) => topic.name);
const defaultRoutes = 6;
const mebibyte = 1024 * 1024;
const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
const compactedSegmentMs = 10 * 60 * 1000;

/** Topics that one task reads together (DESIGN.md section 5, rule 3): partition p of one goes with partition p of the others. */
const joined = ["scores", "outcomes"] as const;

/**
 * Partition counts of every topic.
 * @param existing counts that a prefix has already; they stand where nothing else is asked for, before the defaults
 * @throws {KnownError} CONFIG_INVALID for an unknown topic, a count that is no integer of 1 to 1,000, or topics that one task
 *   reads together with different counts
 */
export function partitionCounts(option: PartitionsOption | undefined, existing: PartitionCounts = {}): PartitionCounts {
  const asked = option === undefined || option === "small" ? {} : option;
  for (const [name, count] of Object.entries(asked)) checkAsked(name, count);
  // A topic keyed by route that is new in this version gets the count that the older ones have.
  const routes = routeTopics.find((name) => existing[name] !== undefined);
  const usualRoutes = (routes === undefined ? undefined : existing[routes]) ?? defaultRoutes;
  const counts: Record<string, number> = {};
  for (const topic of allTopics) {
    const { name, partitions } = topic;
    if (partitions === "routes") counts[name] = asked.routes ?? (option === "small" ? 2 : (existing[name] ?? usualRoutes));
    else counts[name] = asked[name] ?? (option === "small" ? smallCount(topic, partitions) : (existing[name] ?? partitions));
  }
  checkJoined(counts);
  return counts;
}

function smallCount(topic: Topic, usual: number): number {
  if (usual === 1) return 1;
  return topic.name === "samples" ? 4 : 2;
}

function checkAsked(name: string, count: number): void {
  const topic = allTopics.find((candidate) => candidate.name === name);
  if (topic === undefined && name !== "routes") throw invalidCounts(`there is no topic ${name}`);
  if (topic?.partitions === "routes") throw invalidCounts(`${name} is keyed by route and shares its count with others: give \`routes\` instead`);
  if (topic?.partitions === 1 && count !== 1) throw invalidCounts(`${name} always has one partition`);
  if (!Number.isInteger(count) || count < 1 || count > 1000) throw invalidCounts(`${name} must have 1 to 1000 partitions, not ${count}`);
}

function checkJoined(counts: PartitionCounts): void {
  for (const group of [routeTopics, joined]) {
    const [first, ...others] = group.filter((name) => counts[name] !== undefined);
    const odd = others.find((name) => first !== undefined && counts[name] !== counts[first]);
    if (odd !== undefined)
      throw invalidCounts(`${first} and ${odd} are read together and must have as many partitions, not ${counts[first ?? ""]} and ${counts[odd]}`);
  }
}

function invalidCounts(problem: string): KnownError {
  return new KnownError("CONFIG_INVALID", `partition counts: ${problem}`, { fix: "give `small`, or for example routes=12,requests=24,samples=24" });
}

/** Every topic of a prefix with its dead-letter topics, as it must exist. */
export function planTopics(prefix: string, counts: PartitionCounts, replicationFactor: number): readonly PlannedTopic[] {
  const durability: Record<string, string> = replicationFactor >= 3 ? { "min.insync.replicas": "2" } : {};
  const planned = allTopics.map((topic) => ({
    name: prefix + topic.name,
    partitions: counts[topic.name] ?? 1,
    replicationFactor,
    config: { ...topicConfig(topic), ...durability },
  }));
  const deadLetters = deadLettered.map((topic) => ({
    name: `${prefix}${topic.name}.dlq`,
    partitions: 1,
    replicationFactor,
    config: { ...deleting(30 * dayMs), "max.message.bytes": String(maxBytes(topic)), ...durability },
  }));
  return [...planned, ...deadLetters];
}

function topicConfig(topic: Topic): Record<string, string> {
  const { cleanup, retentionMs } = topic.retention;
  return {
    "cleanup.policy": cleanup,
    ...(retentionMs === undefined ? {} : deleting(retentionMs)),
    // Compaction never touches the segment that is written to: only short segments keep a table quick to restore.
    ...(cleanup === "delete" ? {} : { "cleanup.policy": cleanup, "segment.ms": String(compactedSegmentMs), "min.cleanable.dirty.ratio": "0.1" }),
    "max.message.bytes": String(maxBytes(topic)),
    ...(topic.timestamps === "append" ? { "message.timestamp.type": "LogAppendTime" } : {}),
  };
}

/** Kafka deletes whole segments: with segments of an eighth of the retention nothing outlives it by more than that (a week at most). */
function deleting(retentionMs: number): Record<string, string> {
  const segmentMs = Math.min(7 * dayMs, Math.max(hourMs, Math.floor(retentionMs / 8)));
  return { "cleanup.policy": "delete", "retention.ms": String(retentionMs), "segment.ms": String(segmentMs) };
}

/** Largest record that a topic takes, in bytes. */
function maxBytes(topic: Topic): number {
  return topic.maxBytes ?? mebibyte;
}

/** What a cluster team applies with tools of its own, for clusters where nobody else may create topics. */
export function renderTopics(as: "kafka-topics" | "strimzi" | "terraform", topics: readonly PlannedTopic[]): string {
  const render = { "kafka-topics": kafkaTopics, strimzi, terraform }[as];
  return `${topics.map(render).join(as === "strimzi" ? "\n---\n" : "\n")}\n`;
}

function kafkaTopics({ name, partitions, replicationFactor, config }: PlannedTopic): string {
  const settings = Object.entries(config).map(([key, value]) => `--config ${value.includes(",") ? `'${key}=[${value}]'` : `${key}=${value}`}`);
  return [
    `kafka-topics.sh --bootstrap-server "$KAFKA_BROKERS" --create --if-not-exists --topic ${name}`,
    `--partitions ${partitions} --replication-factor ${replicationFactor}`,
    ...settings,
  ].join(" ");
}

function strimzi({ name, partitions, replicationFactor, config }: PlannedTopic): string {
  return [
    "apiVersion: kafka.strimzi.io/v1beta2",
    "kind: KafkaTopic",
    "metadata:",
    `  name: ${name.toLowerCase().replace(/[^a-z0-9.-]/g, "-")}`,
    "  labels:",
    "    strimzi.io/cluster: my-cluster # the name of your Kafka resource",
    "spec:",
    `  topicName: ${name}`,
    `  partitions: ${partitions}`,
    `  replicas: ${replicationFactor}`,
    "  config:",
    ...Object.entries(config).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}`),
  ].join("\n");
}

function terraform({ name, partitions, replicationFactor, config }: PlannedTopic): string {
  return [
    `resource "kafka_topic" "${name.replace(/[^A-Za-z0-9_-]/g, "_")}" {`,
    `  name               = "${name}"`,
    `  partitions         = ${partitions}`,
    `  replication_factor = ${replicationFactor}`,
    "  config = {",
    ...Object.entries(config).map(([key, value]) => `    "${key}" = "${value}"`),
    "  }",
    "}",
  ].join("\n");
}
