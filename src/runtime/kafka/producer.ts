import { CompressionTypes, Partitioners, type Producer, type RetryOptions, type Transaction } from "kafkajs";
import { pause } from "../deps.ts";
import { steadyNowMs } from "../steady-clock.ts";
import { type Client, type Connection, openClient } from "./client.ts";
import { isLastWord, isRefused, isType } from "./errors.ts";
import { requireAcknowledged } from "./sent-once.ts";
import { requestsOf, topicMessages, type WireRecord } from "./wire.ts";

/** Offsets of a task's inputs: full topic name to next offset and metadata, all of one partition. */
export interface TaskOffsets {
  readonly groupId: string;
  readonly partition: number;
  readonly inputs: ReadonlyMap<string, { readonly offset: number; readonly metadata: string }>;
}

/** Where a test may stop, kill or cut; absent in production. */
export type CommitStep = "before-send" | "after-send" | "before-commit" | "after-commit";

/**
 * A producer that is dead after its first error (rule 2) and refuses a second send while one is in flight (rule 1).
 * After an error kafkajs's sequence numbers no longer match the broker's, and going on loses acknowledged records.
 */
abstract class MortalProducer {
  readonly #client: Client;
  protected readonly producer: Producer;
  #isDead = false;
  #isBusy = false;

  protected constructor(client: Client, producer: Producer) {
    this.#client = client;
    this.producer = producer;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  protected async exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isDead) throw new Error("a producer was used after an error: a bug of the runtime");
    if (this.#isBusy) throw new Error("two sends on one producer: a bug of the runtime");
    this.#isBusy = true;
    try {
      return await work();
    } catch (error) {
      this.kill();
      throw error;
    } finally {
      this.#isBusy = false;
    }
  }

  /** Cuts all connections at once: nothing that kafkajs still retries can reach a broker. */
  kill(): void {
    this.#isDead = true;
    this.#client.kill();
  }

  async close(): Promise<void> {
    if (!this.#isDead) await this.producer.disconnect().catch(() => undefined);
    this.kill();
  }
}

/** Before another broker is asked for the number of a producer, ms. */
const otherBrokerMs = 50;

/** Appends without transactions, idempotent. */
export class IdempotentProducer extends MortalProducer {
  /**
   * kafkajs asks one broker for the number of a producer, the one that the cluster calls its controller, once. Brokers name one of themselves at random, for some
   * seconds also one that has just died: the next time another is named.
   *
   * @param budgetMs how long brokers are asked, ms, when one that was named does not answer; a Kafka of which none does is given up at once
   */
  static async open(connection: Connection, retry: RetryOptions, budgetMs: number): Promise<IdempotentProducer> {
    for (const deadlineMs = steadyNowMs() + budgetMs; ; await pause(otherBrokerMs)) {
      const client = openClient(connection, { retries: 3, initialRetryTime: 50, maxRetryTime: 500 });
      const producer = client.kafka.producer({
        idempotent: true,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        createPartitioner: Partitioners.DefaultPartitioner,
        retry,
      });
      let isKafkaThere = false;
      producer.on(producer.events.CONNECT, () => {
        isKafkaThere = true;
      });
      try {
        await producer.connect();
        return new IdempotentProducer(client, producer);
      } catch (error) {
        client.kill();
        if (!isKafkaThere || isRefused(error) || isLastWord(error) || steadyNowMs() >= deadlineMs) throw error;
      }
    }
  }

  async send(records: readonly WireRecord[]): Promise<void> {
    await this.exclusively(async () => {
      for (const request of requestsOf(records)) {
        requireAcknowledged(request, await this.producer.sendBatch({ acks: -1, compression: CompressionTypes.ZSTD, topicMessages: topicMessages(request) }));
      }
    });
  }
}

/** Retries after 20 ms: right after a commit the broker answers CONCURRENT_TRANSACTIONS for some milliseconds (rule 4). */
const transactionalRetry: RetryOptions = { initialRetryTime: 20, maxRetryTime: 1000, retries: 10 };
const concurrentWaitMs = 20;
const concurrentTries = 250;

/** The producer of one task: one transaction at a time, outputs and input offsets together. */
export class TransactionalProducer extends MortalProducer {
  /**
   * Fences every earlier producer with this id and ends its open transaction. kafkajs asks for the transactional id's
   * producer id not in `connect()` but with the first transaction, so an empty one is begun and dropped here; it sends
   * nothing else to the broker.
   */
  static async open(connection: Connection, transactionalId: string): Promise<TransactionalProducer> {
    const client = openClient(connection, transactionalRetry);
    const producer = client.kafka.producer({
      transactionalId,
      transactionTimeout: 10_000,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: transactionalRetry,
    });
    try {
      await producer.connect();
      const empty = await producer.transaction();
      await empty.abort();
    } catch (error) {
      client.kill();
      throw error;
    }
    return new TransactionalProducer(client, producer);
  }

  /**
   * All records and offsets in one transaction. Rejects when the outcome is bad or unknown; what is committed then says
   * which it was (kafka-facts.md section 2.1, step 5).
   */
  async commit(records: readonly WireRecord[], offsets: TaskOffsets, at: (step: CommitStep) => void | Promise<void>): Promise<void> {
    await this.exclusively(async () => {
      const transaction = await this.producer.transaction();
      await at("before-send");
      for (const request of requestsOf(records)) {
        requireAcknowledged(request, await transaction.sendBatch({ acks: -1, compression: CompressionTypes.ZSTD, topicMessages: topicMessages(request) }));
      }
      await at("after-send");
      await sendOffsets(transaction, offsets);
      await at("before-commit");
      await transaction.commit();
      await at("after-commit");
    });
  }
}

async function sendOffsets(transaction: Transaction, { groupId, partition, inputs }: TaskOffsets): Promise<void> {
  const topics = [...inputs].map(([topic, { offset, metadata }]) => ({ topic, partitions: [{ partition, offset: String(offset), metadata }] }));
  for (let tried = 1; ; tried++) {
    try {
      await transaction.sendOffsets({ consumerGroupId: groupId, topics });
      return;
    } catch (error) {
      // A transaction without outputs meets the previous one's markers here, where kafkajs does not retry. The broker
      // refused before it did anything, so asking again is safe.
      if (!isType(error, "CONCURRENT_TRANSACTIONS") || tried >= concurrentTries) throw error;
      await new Promise((resolve) => setTimeout(resolve, concurrentWaitMs));
    }
  }
}
