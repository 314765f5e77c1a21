import { randomUUID } from "node:crypto";
import type { Consumer, EachBatchPayload, KafkaMessage } from "kafkajs";
import { backoffMs, pause, type RuntimeDeps } from "../deps.ts";
import { News } from "../news.ts";
import { StallWatch } from "../stall-watch.ts";
import { steadyNowMs } from "../steady-clock.ts";
import { copartitioned } from "./assigner.ts";
import { type Client, openClient } from "./client.ts";
import { causesOf, reasonOf } from "./errors.ts";
import { Freshness } from "./freshness.ts";
import { readingPlace } from "./reading-place.ts";
import { PositionLostError } from "./repairs/reading.ts";

/** What a tail reads and whom it tells. */
export interface TailOptions {
  /** With prefix. */
  readonly topics: readonly string[];
  readonly partitionsOf: (topic: string) => number;
  readonly from: "beginning" | "end";
  /** Longest wait of the broker for new records, ms: the latency of an empty topic, and how soon `close` is noticed. */
  readonly maxWaitMs: number;
  /**
   * Takes one record. `"later"`: it can not be taken now (the registry is out of reach): it is delivered again after a while.
   * It must not reject.
   */
  readonly onRecord: (topic: string, partition: number, message: KafkaMessage) => undefined | "later" | Promise<undefined | "later">;
}

const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 };
const leaveMs = 5_000;
/** Tables are watched closely: calls go to the baseline when one has not been fresh for its route's limit, a minute by default. */
const silenceMs = 12_000;
/**
 * How long it is believed who leads what is read, ms. A broker whose leadership has moved away goes on answering, since a consumer may read from any replica, and
 * kafkajs would ask again after five minutes only: a table is as fresh as what its leaders say.
 */
const leadersBelievedMs = 5_000;
const watchEveryMs = 1_000;
/** The same is told again after so long, ms. */
const tellAgainMs = 60_000;

/**
 * Reads topics without a group's memory: from the beginning or the end, read committed, on and on, through outages.
 * kafkajs has no manual assignment, so this is a group of one with a name of its own and its own assigner; it never commits.
 * Positions are kept here, because kafkajs starts over with each generation of the group. Whatever interrupts the reading, it goes on with a new
 * client and a new group: nothing has to be waited for that only the old one needs, its coordinator, which may be the broker that has died,
 * or the end of the session of a member that could not leave.
 */
export class Tail {
  /** Resolves when everything has been delivered that was in the topics at start (from the end: when the end is known). */
  readonly caughtUp: Promise<void>;
  readonly #deps: RuntimeDeps;
  readonly #options: TailOptions;
  readonly #freshness: Freshness;
  readonly #closing = new AbortController();
  readonly #positions = new Map<string, number>();
  /** Ends to reach before the tail has caught up. */
  readonly #missing = new Map<string, number>();
  #settle: { resolve: () => void; reject: (error: Error) => void };
  #consumer: Consumer | null = null;
  #client: Client | null = null;
  /** Whether positions have to be compared with what the log holds before they are read from. */
  #isUnsure = true;
  /** Interruptions since all partitions were last read. */
  #failures = 0;
  readonly #news = new News(tellAgainMs, () => performance.now());
  readonly #ended: Promise<void>;

  /** @param check runs first; when it rejects `caughtUp` rejects with it and nothing is read */
  constructor(deps: RuntimeDeps, options: TailOptions, check: () => Promise<void>) {
    this.#deps = deps;
    this.#options = options;
    this.#freshness = new Freshness(deps.admin, options.topics, steadyNowMs);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.caughtUp = promise;
    promise.catch(() => undefined); // whoever opened the tail may look at it later, or never
    this.#settle = { resolve, reject };
    this.#ended = this.#keepGoing(check);
  }

  freshAtMs(): number {
    return this.#freshness.freshAtMs;
  }

  async close(): Promise<void> {
    if (!this.#closing.signal.aborted) this.#closing.abort();
    await Promise.race([this.#ended, pause(leaveMs)]);
    this.#client?.kill();
    this.#settle.reject(new Error("closed before it had caught up"));
  }

  async #keepGoing(check: () => Promise<void>): Promise<void> {
    const { signal } = this.#closing;
    try {
      await check();
    } catch (error) {
      this.#settle.reject(error as Error);
      return;
    }
    while (!signal.aborted) {
      try {
        if (this.#isUnsure) await this.#findBounds();
        this.#isUnsure = false;
        if (!signal.aborted) await this.#read();
      } catch (error) {
        if (causesOf(error).some((cause) => cause instanceof PositionLostError)) this.#isUnsure = true;
        this.#tell(reasonOf(error));
        await pause(backoffMs(this.#failures++, 200, 5_000), signal);
      }
    }
  }

  #tell(error: string): void {
    this.#deps.log[this.#news.isNew(error) ? "warn" : "debug"]({ topics: this.#options.topics, error }, "reading is interrupted");
  }

  async #findBounds(): Promise<void> {
    const all = await Promise.all(this.#options.topics.map(async (topic) => [topic, await this.#deps.admin.bounds(topic)] as const));
    for (const [topic, partitions] of all) {
      for (const [partition, bounds] of partitions) {
        const place = placeOf(topic, partition);
        const position = this.#positions.get(place);
        const before = position === undefined ? undefined : { position, wanted: this.#missing.get(place) };
        const now = readingPlace(bounds, this.#options.from, before);
        this.#positions.set(place, now.position);
        if (now.wanted === undefined) this.#missing.delete(place);
        else this.#missing.set(place, now.wanted);
      }
    }
    this.#look();
  }

  /** Reads until closed (resolves) or until kafkajs fails (rejects). */
  async #read(): Promise<void> {
    const { topics, partitionsOf, maxWaitMs } = this.#options;
    const client = openClient(this.#deps.connection, retry);
    const groupId = `${this.#deps.prefix}tail-${randomUUID()}`;
    const consumer = client.kafka.consumer({
      groupId,
      partitionAssigners: [copartitioned(partitionsOf)],
      sessionTimeout: this.#deps.sessionTimeoutMs,
      // There is nobody else to wait for: a coordinator that says nothing to who joins is given up after this and 5 s, not after a minute.
      rebalanceTimeout: this.#deps.sessionTimeoutMs,
      heartbeatInterval: Math.floor(this.#deps.sessionTimeoutMs / 4),
      maxWaitTimeInMs: maxWaitMs,
      metadataMaxAge: leadersBelievedMs,
      readUncommitted: false,
      allowAutoTopicCreation: false,
      retry: { ...retry, restartOnFailure: async () => false },
    });
    this.#client = client;
    this.#consumer = consumer;
    const crashed = Promise.withResolvers<never>();
    crashed.promise.catch(() => undefined);
    const { promise: closed, resolve: onClose } = Promise.withResolvers<void>();
    const stopListening = new AbortController(); // or each interruption would leave something behind until the close
    this.#closing.signal.addEventListener("abort", () => onClose(), { once: true, signal: stopListening.signal });
    const stall = new StallWatch(
      silenceMs,
      () => this.#deps.admin.reach(),
      () => performance.now(),
    );
    this.#listen(consumer, stall, crashed.reject);
    const watch = setInterval(async () => {
      if (await stall.look()) crashed.reject(new Error("not all partitions are read any more although Kafka answers"));
    }, watchEveryMs);
    try {
      await Promise.race([this.#begin(consumer, topics), crashed.promise, closed]);
      if (!this.#closing.signal.aborted) await Promise.race([crashed.promise, closed]);
    } finally {
      clearInterval(watch);
      stopListening.abort();
      await Promise.race([consumer.disconnect().catch(() => undefined), pause(leaveMs)]);
      client.kill();
      this.#consumer = null;
      this.#client = null;
    }
    // Others that are left behind have no members and no offsets: the broker removes them.
    await this.#deps.admin.forgetGroup(groupId);
  }

  async #begin(consumer: Consumer, topics: readonly string[]): Promise<void> {
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 4,
      eachBatch: (payload) => this.#take(payload),
    });
  }

  /** A heartbeat is no sign, nor is an answer of one of several leaders: what counts here is that all partitions are read. */
  #listen(consumer: Consumer, stall: StallWatch, crashed: (error: Error) => void): void {
    const { events } = consumer;
    consumer.on(events.GROUP_JOIN, () => {
      stall.sign();
      this.#freshness.joined();
      for (const [place, offset] of this.#positions) this.#seek(consumer, place, offset);
    });
    consumer.on(events.REQUEST, ({ payload }) => {
      if (payload.apiName === "Fetch") this.#freshness.answered(payload.broker);
    });
    consumer.on(events.FETCH, ({ payload }) => {
      if (!this.#freshness.fetched(`${payload.nodeId}`)) return;
      stall.sign();
      this.#failures = 0;
    });
    // The only event that also tells of batches with nothing but transaction markers or aborted records.
    consumer.on(events.END_BATCH_PROCESS, ({ payload }) => {
      if (payload.batchSize === 0) this.#advance(payload.topic, payload.partition, Number(payload.lastOffset) + 1);
    });
    consumer.on(events.CRASH, ({ payload }) => crashed(payload.error));
  }

  #seek(consumer: Consumer, place: string, offset: number): void {
    const [topic = "", partition = ""] = place.split("\n");
    try {
      consumer.seek({ topic, partition: Number(partition), offset: String(offset) });
    } catch (error) {
      // It restarts, and seeks again when it has joined.
      this.#deps.log.debug({ error: reasonOf(error) }, "the consumer is restarting");
    }
  }

  async #take({ batch, isStale, isRunning, resolveOffset }: EachBatchPayload): Promise<void> {
    const { topic, partition } = batch;
    const place = placeOf(topic, partition);
    if (isStale()) return;
    for (const message of batch.messages) {
      if (!isRunning() || this.#closing.signal.aborted) return;
      const offset = Number(message.offset);
      if (offset < (this.#positions.get(place) ?? 0)) continue;
      const pending = this.#options.onRecord(topic, partition, message);
      const verdict = pending instanceof Promise ? await pending : pending;
      if (verdict === "later") return this.#holdBack(topic, partition, place);
      this.#positions.set(place, offset + 1);
    }
    const end = Number(batch.lastOffset()) + 1;
    resolveOffset(String(end - 1));
    this.#advance(topic, partition, end);
  }

  /** Stops fetching the partition for a while and then goes on with the record that could not be taken. */
  #holdBack(topic: string, partition: number, place: string): void {
    const consumer = this.#consumer;
    if (consumer === null) return;
    const places = [{ topic, partitions: [partition] }];
    consumer.pause(places);
    this.#seek(consumer, place, this.#positions.get(place) ?? 0);
    void pause(backoffMs(2, 200, 5_000), this.#closing.signal).then(() => {
      if (this.#consumer === consumer && !this.#closing.signal.aborted) {
        try {
          consumer.resume(places);
        } catch (error) {
          this.#deps.log.debug({ error: reasonOf(error) }, "the consumer is restarting");
        }
      }
    });
  }

  #advance(topic: string, partition: number, end: number): void {
    const place = placeOf(topic, partition);
    if (end <= (this.#positions.get(place) ?? 0) && !this.#missing.has(place)) return;
    this.#positions.set(place, Math.max(end, this.#positions.get(place) ?? 0));
    const wanted = this.#missing.get(place);
    if (wanted !== undefined && end >= wanted) this.#missing.delete(place);
    this.#look();
  }

  #look(): void {
    if (this.#missing.size === 0) this.#settle.resolve();
  }
}

function placeOf(topic: string, partition: number): string {
  return `${topic}\n${partition}`;
}
