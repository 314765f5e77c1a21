import { allTopics, type Topic } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";
import { pause, type RuntimeDeps } from "./deps.ts";
import { isKafka, isRefused, isType, isUnsure, reasonOf } from "./kafka/errors.ts";
import { IdempotentProducer } from "./kafka/producer.ts";
import { sizeOf, type WireRecord } from "./kafka/wire.ts";
import { encodeOutgoing } from "./outgoing.ts";
import type { Appender, Outgoing } from "./port.ts";

const defaultRetryBudgetMs = 15_000;
/** Longest wait for the answer to whether a topic is there, ms. */
const askMs = 500;
/** Before records are sent again whose leader has moved, ms. */
const movedWaitMs = 50;
/** Most bytes of one micro-batch; more waits for the next. */
const maxBatchBytes = 4 * 1024 * 1024;
const maxBatchRecords = 5_000;

interface Waiting {
  readonly records: readonly WireRecord[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Appends without a transaction. Whatever is appended while a send is under way goes out together with the next one, so
 * that one send in flight (rule 1) costs no throughput. kafkajs repeats a send by itself, with the same sequence
 * numbers, until the budget is used up; then the producer is dead and a new one is made for the next batch. Only what a moving leader left unsure (`SendUnsureError`)
 * is repeated here.
 */
export class LogAppender implements Appender {
  readonly #deps: RuntimeDeps;
  readonly #budgetMs: number;
  #queue: Waiting[] = [];
  #producer: IdempotentProducer | null = null;
  #running: Promise<void> | null = null;
  #isClosed = false;
  readonly #known = new Map<string, Promise<void>>();
  /** Keeps the order of calls while the first record of a topic waits for its schema. */
  #entry: Promise<unknown> = Promise.resolve();

  constructor(deps: RuntimeDeps, options: { readonly retryBudgetMs?: number } = {}) {
    this.#deps = deps;
    this.#budgetMs = options.retryBudgetMs ?? defaultRetryBudgetMs;
  }

  async append(records: readonly Outgoing[]): Promise<void> {
    if (this.#isClosed) throw new Error("the appender is closed");
    if (records.length === 0) return;
    const topics = [...new Set(records.map(({ topic }) => topic))];
    const entered = this.#entry.then(() => this.#enter(topics, records));
    this.#entry = entered.catch(() => undefined);
    const sent = await entered;
    await sent.promise;
  }

  async #enter(topics: readonly Topic[], records: readonly Outgoing[]): Promise<{ promise: Promise<void> }> {
    for (const topic of topics) await this.#prepare(topic);
    const wire = records.map((record) => encodeOutgoing(this.#deps.serde, this.#deps.prefix, record));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ records: wire, bytes: wire.reduce((sum, record) => sum + sizeOf(record), 0), resolve, reject });
    this.#running ??= this.#drain();
    return { promise };
  }

  #prepare(topic: Topic): Promise<void> {
    let known = this.#known.get(topic.name);
    if (known === undefined) {
      known = Promise.all([this.#deps.verify([topic]), this.#deps.serde.prepare([topic])]).then(() => undefined);
      this.#known.set(topic.name, known);
      known.catch(() => this.#known.delete(topic.name));
    }
    return known;
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // appends of the same turn go together
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#send(batch.flatMap(({ records }) => records));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        this.#deps.metrics.appendFailures.inc();
        const records = batch.reduce((sum, waiting) => sum + waiting.records.length, 0);
        const known = isRefusedRecord(error) ? knownOf(error) : ((await this.#missingOf(batch)) ?? knownOf(error));
        this.#deps.log.warn({ error: reasonOf(known), appends: batch.length, records }, "an append failed or its outcome is unknown");
        // Who refuses one record refuses the request that it is in, with the records of other callers.
        if (batch.length > 1 && isRefusedRecord(error)) await this.#sendApart(batch);
        else for (const { reject } of batch) reject(known);
      }
    }
    this.#running = null; // in the same turn as the last look at the queue, or what is appended in between is forgotten
  }

  /** TOPIC_MISSING where Kafka, which takes no records, still says soon enough that a topic of them is gone: kafkajs asks for its leader until the time is over. */
  async #missingOf(batch: readonly Waiting[]): Promise<KnownError | undefined> {
    const names = new Set(batch.flatMap(({ records }) => records.map(({ topic }) => topic.slice(this.#deps.prefix.length))));
    const asked = this.#deps.verify(allTopics.filter(({ name }) => names.has(name))).then(
      () => undefined,
      (error: unknown) => (error instanceof KnownError && error.code === "TOPIC_MISSING" ? error : undefined),
    );
    return Promise.race([asked, pause(askMs).then(() => undefined)]);
  }

  async #sendApart(batch: readonly Waiting[]): Promise<void> {
    for (const { records, resolve, reject } of batch) await this.#send(records).then(resolve, (error: unknown) => reject(knownOf(error)));
  }

  #nextBatch(): Waiting[] {
    let bytes = 0;
    let records = 0;
    let taken = 0;
    for (const waiting of this.#queue) {
      if (taken > 0 && (bytes + waiting.bytes > maxBatchBytes || records + waiting.records.length > maxBatchRecords)) break;
      bytes += waiting.bytes;
      records += waiting.records.length;
      taken++;
    }
    return this.#queue.splice(0, taken);
  }

  async #send(records: readonly WireRecord[]): Promise<void> {
    const deadline = Promise.withResolvers<never>();
    deadline.promise.catch(() => undefined); // it may come when nobody waits for it any more
    const timer = setTimeout(() => deadline.reject(new Error(`no acknowledgement within ${this.#budgetMs} ms`)), this.#budgetMs);
    try {
      // A leader that moved is found at once by a new producer; what some brokers have is then in the log twice, as after any append that is tried again.
      for (let isAgain = false; !(await this.#sendOnce(records, deadline.promise, isAgain)); isAgain = true) {
        await Promise.race([pause(movedWaitMs), deadline.promise]);
      }
      for (const [topic, count] of countByTopic(records)) this.#deps.metrics.appended.inc({ topic: topic.slice(this.#deps.prefix.length) }, count);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param isAgain a leader moved: the broker that it left may be going, and kafkajs asks one of the list, once, for the number of a new producer
   * @returns false when a leader moved meanwhile, so that all has to be sent again
   */
  async #sendOnce(records: readonly WireRecord[], deadline: Promise<never>, isAgain: boolean): Promise<boolean> {
    let producer = this.#producer;
    let isOver = false;
    let isOpen = false;
    try {
      if (producer === null || producer.isDead) {
        const opening = this.#open();
        // Whoever comes after the deadline is not needed any more.
        opening.then((late) => isOver && late.kill()).catch(() => undefined);
        producer = await Promise.race([opening, deadline]);
        this.#producer = producer;
      }
      isOpen = true;
      const sending = producer.send(records);
      sending.catch(() => undefined);
      await Promise.race([sending, deadline]);
      return true;
    } catch (error) {
      isOver = true;
      producer?.kill();
      this.#producer = null;
      const isNotOpened = !isOpen && isKafka(error) && !isRefused(error);
      if (!isUnsure(error) && !(isAgain && isNotOpened)) throw error;
      this.#deps.log.info({ error: reasonOf(error), records: records.length }, "a leader moved while records were sent: they are sent again");
      return false;
    }
  }

  #open(): Promise<IdempotentProducer> {
    const retry = { initialRetryTime: 50, maxRetryTime: 1_000, retries: 10 + Math.ceil(this.#budgetMs / 500) };
    return IdempotentProducer.open(this.#deps.connection, retry, this.#budgetMs);
  }

  /** Sends what is waiting, within the budget, and disconnects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#entry;
    await this.#running;
    await this.#producer?.close();
    this.#producer = null;
  }
}

function countByTopic(records: readonly WireRecord[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { topic } of records) counts.set(topic, (counts.get(topic) ?? 0) + 1);
  return counts;
}

const tooLarge = ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"];

/** Whether the broker will never take one of the records, however often it is asked. */
const isRefusedRecord = (error: unknown): boolean => isType(error, ...tooLarge, "INVALID_RECORD");

/** What a caller can tell from an outage: the same code that it gets for a record that is not sent at all. */
function knownOf(error: unknown): Error {
  if (!isRefusedRecord(error)) return error instanceof Error ? error : new Error(String(error));
  const isTooLong = isType(error, ...tooLarge);
  return new KnownError(isTooLong ? "RECORD_TOO_LARGE" : "RECORD_INVALID", `the broker refuses a record: ${reasonOf(error)}`, {
    fix: isTooLong ? "raise max.message.bytes of the topic to what `headgate topics diff` shows" : "look for rules of your own for this topic at the broker",
    cause: error,
  });
}
