import type { Admin } from "kafkajs";
import { KnownError } from "../../errors/known-error.ts";
import { pause } from "../deps.ts";
import { type Client, type Connection, openClient } from "./client.ts";
import { isLastWord, isRefused, isType, reasonOf, UnansweredError } from "./errors.ts";
import { brokersOf } from "./repairs/metadata.ts";

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

/** Longest that a question may take, with making a connection and asking again, ms: one request of kafkajs may take a third of it, and it tries several brokers. */
const usualDeadlineMs = 30_000;
/** Longest wait for the goodbye to a cluster, ms. */
const goodbyeMs = 2_000;

/** A connection to the cluster, made or being made. */
interface Open {
  readonly client: Client;
  readonly admin: Promise<Admin>;
  /** Rejects when the connection is given up. */
  readonly lost: Promise<never>;
  readonly lose: () => void;
}

/** A question's connection was given up because of another question. */
class LostConnectionError extends UnansweredError {}

/** The few questions that the runtime asks a cluster, over one connection that is made anew when it broke. Each ends: with its answer, or after a deadline. */
export class LogAdmin {
  readonly #connection: Connection;
  readonly #deadlineMs: number;
  #open: Open | null = null;
  #isClosed = false;

  constructor(connection: Connection, deadlineMs = usualDeadlineMs) {
    this.#connection = connection;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * Questions share a connection. When one of them breaks it, kafkajs answers another that is under way with `null`, and then fails on it itself, or never answers:
   * that question is asked once more, on a connection of its own time.
   *
   * @throws {UnansweredError} no answer in time; whoever else waits on this connection is asked for again, on another
   */
  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const deadline = Promise.withResolvers<never>();
    deadline.promise.catch(() => undefined); // between two tries nobody waits for it
    const reason = `Kafka at ${this.#connection.brokers.join(", ")}: no answer within ${this.#deadlineMs / 1_000} s`;
    const timer = setTimeout(() => deadline.reject(new UnansweredError(reason)), this.#deadlineMs);
    try {
      return await this.#askOnce(question, deadline.promise);
    } catch (error) {
      const isBystander = error instanceof TypeError || error instanceof LostConnectionError;
      if (!isBystander || this.#isClosed) throw error;
      return await this.#askOnce(question, deadline.promise);
    } finally {
      clearTimeout(timer);
    }
  }

  async #askOnce<T>(question: (admin: Admin) => Promise<T>, deadline: Promise<never>): Promise<T> {
    // Nobody would close what is opened now.
    if (this.#isClosed) throw new LostConnectionError("the connection to Kafka is closed");
    this.#open ??= this.#connect();
    const open = this.#open;
    try {
      return await Promise.race([open.admin.then(question), open.lost, deadline]);
    } catch (error) {
      if (!isLastWord(error)) this.#lose(open);
      throw error;
    }
  }

  #lose(open: Open): void {
    if (this.#open === open) this.#open = null;
    open.lose();
    open.client.kill();
  }

  #connect(): Open {
    const client = openClient(this.#connection, { retries: 3, initialRetryTime: 50, maxRetryTime: 500 });
    const admin = client.kafka.admin();
    const connected = admin.connect().then(() => admin);
    const { promise: lost, reject } = Promise.withResolvers<never>();
    for (const promise of [connected, lost]) promise.catch(() => undefined); // who asks looks at them
    return { client, admin: connected, lost, lose: () => reject(new LostConnectionError("the connection was lost")) };
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
   * Brokers that lead a partition of the topics, their addresses (`host:port`) by number. A leader that no broker of the cluster is, as one that has just died, is in it
   * without one: no answer will ever come from it, and all partitions are not led until it is another.
   */
  async leadersOf(topics: readonly string[]): Promise<Map<string, string>> {
    return this.#ask(async (admin) => {
      const { topics: described } = await admin.fetchTopicMetadata({ topics: [...topics] });
      return new Map(
        described.flatMap(({ partitions }) => {
          const addresses = new Map(brokersOf(partitions).map(({ nodeId, host, port }) => [nodeId, `${host}:${port}`]));
          return partitions.map(({ leader }) => [`${leader}`, addresses.get(leader) ?? `broker ${leader}`] as const);
        }),
      );
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
    this.#isClosed = true;
    const open = this.#open;
    if (open === null) return;
    const isOver = new AbortController(); // or the timer would keep the process for the rest of its time
    const goodbye = open.admin.then((admin) => admin.disconnect()).catch(() => undefined);
    await Promise.race([goodbye, open.lost.catch(() => undefined), pause(goodbyeMs, isOver.signal)]);
    isOver.abort();
    this.#lose(open);
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
