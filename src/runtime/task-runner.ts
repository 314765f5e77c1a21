import type { Consumer, EachBatchPayload } from "kafkajs";
import { KnownError } from "../errors/known-error.ts";
import { pause, type RuntimeDeps } from "./deps.ts";
import { unreachable } from "./kafka/admin.ts";
import { copartitioned } from "./kafka/assigner.ts";
import { type Client, openClient } from "./kafka/client.ts";
import { causesOf, isKafka, isType, reasonOf } from "./kafka/errors.ts";
import { PositionLostError } from "./kafka/repairs/reading.ts";
import { News } from "./news.ts";
import type { Running, TaskRole } from "./port.ts";
import { StallWatch } from "./stall-watch.ts";
import { groupIdOf } from "./tasks/group-id.ts";
import { gapError, type TaskHost, TaskLifecycle } from "./tasks/lifecycle.ts";

const fetchWaitMs = 150;
/**
 * How long it is believed who leads the inputs, ms; kafkajs would for five minutes. A broker whose leadership has moved away goes on answering as any replica may, and one
 * that has been cut off from the others then has nothing new, and no lag by its own account.
 */
const leadersBelievedMs = 30_000;
const heartbeatMs = 1_000;
/** Heartbeats that must succeed before a fenced task is taken again; the first may have been under way already. */
const proofHeartbeats = 2;
const watchEveryMs = 1_000;
const leaveMs = 5_000;
const tellAgainMs = 60_000;

/**
 * Runs a role in this process: one consumer for all its inputs, one task for each partition that the group gives us.
 * The consumer only fetches and enqueues; each task reads, works and commits on its own (rules 3 to 5).
 *
 * @throws {KnownError} TOPIC_MISSING, LAYOUT_MISMATCH, REGISTRY_UNREACHABLE
 */
export async function runRole(deps: RuntimeDeps, role: TaskRole): Promise<Running> {
  await deps.verify(role.inputs);
  const counts = new Set(role.inputs.map((topic) => deps.partitionsOf(topic)));
  if (counts.size !== 1) {
    throw new KnownError("LAYOUT_MISMATCH", `the inputs of ${role.name} (${role.inputs.map(({ name }) => name).join(", ")}) have different partition counts`, {
      fix: "topics that one role joins need the same count: create the topics again under a new prefix",
    });
  }
  const runner = new RoleRunner(deps, role, [...counts][0] ?? 0);
  await runner.begin();
  return runner;
}

class RoleRunner implements Running, TaskHost {
  readonly finished: Promise<void>;
  readonly #deps: RuntimeDeps;
  readonly #role: TaskRole;
  readonly #client: Client;
  readonly #consumer: Consumer;
  readonly #tasks = new Map<number, TaskLifecycle>();
  /** Tasks that ended but are not gone yet: their partition is not started again before. */
  readonly #leaving = new Map<number, Promise<void>>();
  #assigned = new Set<number>();
  readonly #held = new Set<number>();
  /** Per input and partition the offset that the next fetched batch must start at. */
  readonly #expected = new Map<string, number>();
  readonly #proofs = new Set<() => void>();
  #settle: { resolve: () => void; reject: (error: Error) => void };
  #isStopping = false;
  #ending: Promise<void> | null = null;
  readonly #stall: StallWatch;
  readonly #news = new News(tellAgainMs, () => performance.now());
  #watch: NodeJS.Timeout | null = null;

  constructor(deps: RuntimeDeps, role: TaskRole, partitions: number) {
    this.#deps = deps;
    this.#role = role;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.finished = promise;
    promise.catch(() => undefined); // whoever started the role looks at it, maybe later
    this.#settle = { resolve, reject };
    const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 };
    this.#stall = new StallWatch(
      Math.max(3 * deps.sessionTimeoutMs, 30_000),
      () => deps.admin.reach(),
      () => performance.now(),
    );
    this.#client = openClient(deps.connection, retry);
    this.#consumer = this.#client.kafka.consumer({
      groupId: groupIdOf(deps.prefix, role),
      partitionAssigners: [copartitioned(() => partitions)],
      sessionTimeout: deps.sessionTimeoutMs,
      rebalanceTimeout: Math.max(deps.sessionTimeoutMs, 15_000),
      heartbeatInterval: Math.min(heartbeatMs, Math.floor(deps.sessionTimeoutMs / 4)),
      maxWaitTimeInMs: fetchWaitMs,
      metadataMaxAge: leadersBelievedMs,
      maxBytesPerPartition: 1024 * 1024,
      maxBytes: 16 * 1024 * 1024,
      readUncommitted: false,
      allowAutoTopicCreation: false,
      retry: { ...retry, restartOnFailure: async () => !this.#isStopping },
    });
  }

  async begin(): Promise<void> {
    this.#listen();
    try {
      await this.#consumer.connect();
      await this.#consumer.subscribe({ topics: this.#role.inputs.map(({ name }) => this.#deps.prefix + name), fromBeginning: true });
      this.#stall.sign();
      this.#watch = setInterval(() => void this.#look(), watchEveryMs);
      await this.#consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 4,
        eachBatch: async (payload) => this.#enqueue(payload),
      });
    } catch (error) {
      await this.stop();
      throw isKafka(error) ? unreachable(this.#deps.connection.brokers, error) : error;
    }
  }

  owned(): readonly number[] {
    return [...this.#tasks].flatMap(([partition, task]) => (task.isRunning ? [partition] : [])).sort((a, b) => a - b);
  }

  async stop(): Promise<void> {
    this.#ending ??= this.#end().finally(() => this.#settle.resolve());
    await this.#ending;
  }

  crash(error: Error): void {
    if (this.#isStopping) return;
    this.#deps.log.error({ role: this.#role.name, err: error }, "the role cannot go on");
    this.#ending ??= this.#end().finally(() => this.#settle.reject(error));
  }

  async #end(): Promise<void> {
    this.#isStopping = true;
    if (this.#watch !== null) clearInterval(this.#watch);
    await Promise.all([...this.#tasks.values()].map((task) => task.stop()));
    this.#tasks.clear();
    this.#measure();
    await Promise.race([this.#consumer.disconnect().catch(() => undefined), pause(leaveMs)]);
    this.#client.kill();
  }

  #listen(): void {
    const { events } = this.#consumer;
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => this.#reconcile(Object.values(payload.memberAssignment)[0] ?? []));
    this.#consumer.on(events.REBALANCING, () => {
      for (const task of this.#tasks.values()) task.hurry();
    });
    this.#consumer.on(events.HEARTBEAT, () => {
      this.#stall.sign();
      for (const proof of [...this.#proofs]) proof();
    });
    this.#consumer.on(events.FETCH, () => this.#stall.sign());
    this.#consumer.on(events.END_BATCH_PROCESS, ({ payload }) => {
      // Batches of transaction markers or aborted records only never reach eachBatch.
      if (payload.batchSize === 0) this.#passed(payload.topic, payload.partition, Number(payload.lastOffset) + 1, Number(payload.highWatermark));
    });
    this.#consumer.on(events.CRASH, ({ payload }) => {
      this.#stall.sign();
      this.#tellCrash(payload.error, payload.restart);
      if (!payload.restart) void this.#crashed(payload.error);
    });
  }

  /** kafkajs restarts several times a second for as long as an input is missing: the same is told once a minute. */
  #tellCrash(error: Error, restart: boolean): void {
    const reason = reasonOf(error);
    const isNews = this.#news.isNew(reason) || !restart;
    const inputs = this.#role.inputs.map(({ name }) => this.#deps.prefix + name);
    const fix = isType(error, "UNKNOWN_TOPIC_OR_PARTITION")
      ? { inputs, fix: "one of the inputs does not exist: run `headgate topics apply` with this prefix" }
      : {};
    this.#deps.log[isNews ? "warn" : "debug"]({ role: this.#role.name, error: reason, restart, ...fix }, "the consumer crashed");
  }

  async #crashed(error: Error): Promise<void> {
    const lost = causesOf(error).find((cause) => cause instanceof PositionLostError);
    if (lost === undefined) {
      this.crash(new Error(`the consumer of ${this.#role.name} crashed`, { cause: error }));
      return;
    }
    const { topic, partition } = lost;
    const bounds = await this.#deps.admin.bounds(topic).catch(() => undefined);
    const { low, high } = bounds?.get(partition) ?? { low: Number.NaN, high: Number.NaN };
    this.crash(gapError(this.#role.name, topic, partition, { offset: this.#expected.get(`${topic}\n${partition}`) ?? 0, low, high }));
  }

  /** A new generation of the group: start what is new, stop what is gone, go on with the rest. */
  #reconcile(partitions: readonly number[]): void {
    this.#stall.sign();
    if (this.#isStopping) return;
    this.#assigned = new Set(partitions);
    this.#deps.log.info({ role: this.#role.name, partitions: [...partitions] }, "partitions assigned");
    for (const [partition, task] of this.#tasks) if (!this.#assigned.has(partition)) this.#dismiss(partition, task);
    // kafkajs starts a generation from the committed offsets and may have forgotten what was paused: put both right.
    for (const partition of partitions) this.#apply(partition);
    for (const [place, offset] of this.#expected) {
      const [topic = "", partition = ""] = place.split("\n");
      if (this.#tasks.has(Number(partition))) this.#consumer.seek({ topic, partition: Number(partition), offset: String(offset) });
    }
    for (const partition of partitions) this.#employ(partition);
  }

  #employ(partition: number): void {
    if (this.#isStopping || !this.#assigned.has(partition) || this.#tasks.has(partition) || this.#leaving.has(partition)) return;
    this.#tasks.set(partition, new TaskLifecycle(this.#deps, this.#role, partition, this));
    this.#measure();
  }

  #dismiss(partition: number, task: TaskLifecycle): void {
    this.#tasks.delete(partition);
    for (const { name } of this.#role.inputs) this.#expected.delete(`${this.#deps.prefix}${name}\n${partition}`);
    const gone = task.stop().then(() => {
      this.#leaving.delete(partition);
      this.#measure();
      this.#employ(partition);
    });
    this.#leaving.set(partition, gone);
  }

  /** Runs to its end without waiting, so that nothing can come between the look at `isStale` and the resolve. */
  #enqueue({ batch, isStale, isRunning, resolveOffset }: EachBatchPayload): void {
    const { topic, partition } = batch;
    const task = this.#tasks.get(partition);
    if (task === undefined || isStale() || !isRunning() || !task.accept(topic, Number(batch.highWatermark))) return;
    if (!this.#isInOrder(topic, partition, Number((batch as unknown as { fetchedOffset: string }).fetchedOffset), Number(batch.highWatermark))) return;
    // A batch of a broker that no longer leads can come after newer ones: what has been queued stays so, or the next would seem to leave a gap.
    const end = Math.max(Number(batch.lastOffset()) + 1, this.#expected.get(`${topic}\n${partition}`) ?? 0);
    for (const message of batch.messages) task.queue.push({ topic, message, offset: Number(message.offset) });
    task.queue.push({ topic, message: null, offset: end });
    this.#expected.set(`${topic}\n${partition}`, end);
    resolveOffset(String(end - 1));
    task.filled();
  }

  /**
   * A batch that was fetched beyond where the last one ended: our position had been deleted from the log, and kafkajs
   * has moved on to the start of it without asking.
   */
  #isInOrder(topic: string, partition: number, fetchedOffset: number, high: number): boolean {
    const expected = this.#expected.get(`${topic}\n${partition}`);
    if (expected === undefined || fetchedOffset <= expected) return true;
    if (this.#deps.acceptGap) {
      this.#deps.log.error({ topic, partition, expected, found: fetchedOffset }, "a gap is accepted: records were never read");
      return true;
    }
    this.crash(gapError(this.#role.name, topic, partition, { offset: expected, low: fetchedOffset, high }));
    return false;
  }

  #passed(topic: string, partition: number, end: number, highWatermark: number): void {
    const task = this.#tasks.get(partition);
    const expected = this.#expected.get(`${topic}\n${partition}`) ?? 0;
    if (task === undefined || end < expected || !task.accept(topic, highWatermark)) return;
    this.#expected.set(`${topic}\n${partition}`, end);
    task.queue.push({ topic, message: null, offset: end });
    task.filled();
  }

  // TaskHost

  seek(topic: string, partition: number, offset: number): void {
    this.#expected.set(`${topic}\n${partition}`, offset);
    this.#attempt(() => this.#consumer.seek({ topic, partition, offset: String(offset) }));
  }

  hold(partition: number): void {
    this.#held.add(partition);
    this.#apply(partition);
  }

  release(partition: number): void {
    this.#held.delete(partition);
    this.#apply(partition);
  }

  #apply(partition: number): void {
    const places = this.#role.inputs.map(({ name }) => ({ topic: this.#deps.prefix + name, partitions: [partition] }));
    this.#attempt(() => (this.#held.has(partition) ? this.#consumer.pause(places) : this.#consumer.resume(places)));
  }

  /** kafkajs refuses seek and pause while its consumer restarts; the next generation applies them again. */
  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#deps.log.debug({ error: reasonOf(error) }, "the consumer is restarting");
    }
  }

  async confirmed(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let missing = proofHeartbeats;
    const proof = () => {
      if (--missing <= 0) resolve();
    };
    this.#proofs.add(proof);
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (!signal.aborted) await promise;
    this.#proofs.delete(proof);
  }

  // Watching over kafkajs

  async #look(): Promise<void> {
    this.#measure();
    const hasStopped = await this.#stall.look();
    if (hasStopped && !this.#isStopping) this.crash(new Error(`the consumer of ${this.#role.name} has stopped fetching although Kafka answers`));
  }

  #measure(): void {
    const { metrics } = this.#deps;
    const role = this.#role.name;
    metrics.owned.set({ role }, this.owned().length);
    for (const [partition, task] of this.#tasks) {
      for (const { topic, records } of task.lags()) metrics.lag.set({ role, topic, partition: String(partition) }, records);
    }
  }
}
