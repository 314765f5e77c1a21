import type { Admin } from "kafkajs";
import { KnownError } from "../../errors/known-error.ts";
import { type Client, type Connection, openClient } from "./client.ts";
import { isRefused, isType, reasonOf } from "./errors.ts";

/** First offset still in a partition's log, and the offset that the next record will get. */
export interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** What the group has committed for one partition; `offset` null: never committed. */
export interface GroupOffset {
  readonly offset: number | null;
  readonly metadata: string;
}

/** The few questions that the runtime asks a cluster, over one connection that is made anew when it broke. */
export class LogAdmin {
  readonly #connection: Connection;
  #open: Promise<{ admin: Admin; client: Client }> | null = null;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Questions share a connection. When one of them breaks it, kafkajs answers another that is under way with `null`, and then fails on it itself:
   * that question is asked once more, on a connection of its own time.
   */
  async #ask<T>(question: (admin: Admin) => Promise<T>, isAgain = false): Promise<T> {
    this.#open ??= this.#connect();
    const open = this.#open;
    try {
      return await question((await open).admin);
    } catch (error) {
      if (this.#open === open) this.#open = null;
      void open.then(({ client }) => client.kill()).catch(() => undefined);
      if (error instanceof TypeError && !isAgain) return this.#ask(question, true);
      throw error;
    }
  }

  async #connect(): Promise<{ admin: Admin; client: Client }> {
    const client = openClient(this.#connection, { retries: 3, initialRetryTime: 50, maxRetryTime: 500 });
    const admin = client.kafka.admin();
    await admin.connect();
    return { admin, client };
  }

  /** @throws {KnownError} KAFKA_UNREACHABLE */
  async reach(): Promise<void> {
    try {
      await this.#ask((admin) => admin.describeCluster());
    } catch (error) {
      throw unreachable(this.#connection.brokers, error);
    }
  }

  /**
   * Addresses (`host:port`) of the brokers that lead a partition of the topics. A leader that no broker of the cluster is, as one that has just died, is in it
   * by its number: no answer will ever come from it, and all partitions are not led until it is another.
   */
  async leadersOf(topics: readonly string[]): Promise<Set<string>> {
    return this.#ask(async (admin) => {
      const [{ topics: described }, { brokers }] = await Promise.all([admin.fetchTopicMetadata({ topics: [...topics] }), admin.describeCluster()]);
      const addresses = new Map(brokers.map((broker) => [broker.nodeId, `${broker.host}:${broker.port}`]));
      return new Set(described.flatMap((topic) => topic.partitions.map(({ leader }) => addresses.get(leader) ?? `broker ${leader}`)));
    });
  }

  /** Partition counts; a topic that does not exist or that we may not see is absent. */
  async partitionCounts(topics: readonly string[]): Promise<Map<string, number>> {
    try {
      const { topics: described } = await this.#ask((admin) => admin.fetchTopicMetadata({ topics: [...topics] }));
      return new Map(described.map(({ name, partitions }) => [name, partitions.length]));
    } catch (error) {
      if (!isType(error, "UNKNOWN_TOPIC_OR_PARTITION", "TOPIC_AUTHORIZATION_FAILED")) throw error;
      if (topics.length === 1) return new Map();
    }
    // kafkajs answers with the first error only: ask one by one to learn which topics are there.
    const counts = new Map<string, number>();
    for (const topic of topics) for (const [name, count] of await this.partitionCounts([topic])) counts.set(name, count);
    return counts;
  }

  async bounds(topic: string): Promise<Map<number, Bounds>> {
    const offsets = await this.#ask((admin) => admin.fetchTopicOffsets(topic));
    return new Map(offsets.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]));
  }

  /** Committed offsets of one partition of several topics. */
  async committed(groupId: string, topics: readonly string[], partition: number): Promise<Map<string, GroupOffset>> {
    const answer = await this.#ask((admin) => admin.fetchOffsets({ groupId, topics: [...topics] }));
    const found = new Map<string, GroupOffset>();
    for (const { topic, partitions } of answer) {
      const entry = partitions.find((candidate) => candidate.partition === partition);
      const offset = entry === undefined ? -1 : Number(entry.offset);
      found.set(topic, { offset: offset === -1 ? null : offset, metadata: entry?.metadata ?? "" });
    }
    return found;
  }

  /** Removes a group that nobody will use again; failures only leave garbage that the broker expires. */
  async forgetGroup(groupId: string): Promise<void> {
    await this.#ask((admin) => admin.deleteGroups([groupId])).catch(() => undefined);
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    const { admin, client } = await open.catch(() => ({ admin: null, client: null }));
    await admin?.disconnect().catch(() => undefined);
    client?.kill();
  }
}

/** KAFKA_UNREACHABLE with the addresses that were tried and the reason. */
export function unreachable(brokers: readonly string[], cause: unknown): KnownError {
  const problem = isRefused(cause) ? "refused the credentials" : "did not answer";
  return new KnownError("KAFKA_UNREACHABLE", `Kafka at ${brokers.join(", ")} ${problem} (${reasonOf(cause)})`, {
    fix: "check KAFKA_BROKERS, KAFKA_SSL and KAFKA_SASL_*, and that the brokers are up and reachable from here",
    cause,
  });
}
