import { KnownError } from "../../errors/known-error.ts";
import { backoffMs, pause, type RuntimeDeps } from "../deps.ts";
import { isFenced, isKafka, isRefused, reasonOf } from "../kafka/errors.ts";
import { TransactionalProducer } from "../kafka/producer.ts";
import type { Committed, Task, TaskRole } from "../port.ts";
import { readMetadata } from "./commit-metadata.ts";
import { groupIdOf, transactionalIdOf } from "./group-id.ts";
import { TaskInput } from "./input.ts";
import { TaskQueue } from "./queue.ts";
import { TaskSession } from "./session.ts";

/** What a task's lifecycle asks of the role's one consumer. */
export interface TaskHost {
  /** Fetch the partition from here on; drops what was fetched before. `topic` with prefix. */
  seek(topic: string, partition: number, offset: number): void;
  /** Stops or allows fetching all inputs of the partition. */
  hold(partition: number): void;
  release(partition: number): void;
  /** Resolves when the group coordinator has confirmed, after now, that this process is still a member. */
  confirmed(signal: AbortSignal): Promise<void>;
  /** The role cannot go on. */
  crash(error: Error): void;
}

/** A task that failed this often in a row, without a commit in between and not by Kafka's doing, ends the role. */
const mostFailures = 5;
/** Longest wait for the last flush of a task that stops. */
const stopMs = 3_000;
const lastPartMs = 500;

/**
 * Keeps one partition of a role going for as long as this process owns it:
 *
 * ```
 *  ┌─> fence ──> read committed ──> start ──> run ──stop──> end
 *  │    any error in any of them: throw task and producer away
 *  ├──────────── wait (backoff) <──────────────┤
 *  └── wait for proof of membership <──fenced──┘
 * ```
 *
 * Fencing comes first and reading second: only then nobody else can still move the committed offsets (rule 3). A fenced
 * task does not fence back at once, or two owners would take turns for ever: it waits until the coordinator confirms
 * that the partition is still ours, which it does not do for a zombie.
 */
export class TaskLifecycle {
  readonly queue: TaskQueue;
  readonly #deps: RuntimeDeps;
  readonly #role: TaskRole;
  readonly #partition: number;
  readonly #groupId: string;
  readonly #host: TaskHost;
  readonly #names: readonly string[];
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  #session: TaskSession | null = null;
  #producer: TransactionalProducer | null = null;
  #inputs: ReadonlyMap<string, TaskInput> = new Map();
  #failures = 0;
  #bugs = 0;
  #isHeld = true;

  constructor(deps: RuntimeDeps, role: TaskRole, partition: number, host: TaskHost) {
    this.#deps = deps;
    this.#role = role;
    this.#partition = partition;
    this.#groupId = groupIdOf(deps.prefix, role);
    this.#host = host;
    this.#names = role.inputs.map(({ name }) => deps.prefix + name);
    this.queue = new TaskQueue({ maxRecords: Math.max(2_000, role.flushRecords * 4), maxBytes: 32 * 1024 * 1024 });
    host.hold(partition);
    this.#ended = this.#keepGoing();
  }

  get isRunning(): boolean {
    return this.#session !== null;
  }

  /** True while fetched records are of use; otherwise they are dropped and fetched again after the next seek. */
  accept(topic: string, highWatermark: number): boolean {
    const input = this.#inputs.get(topic);
    if (this.#session === null || input === undefined) return false;
    input.highWatermark = highWatermark;
    return true;
  }

  /** Call after filling the queue. */
  filled(): void {
    if (this.queue.isFull && !this.#isHeld) this.#hold();
    this.#session?.arrived();
  }

  /** Asks for a flush now: the group is about to rebalance, and what is committed need not be done again. */
  hurry(): void {
    this.#session?.wake();
  }

  /** Position and end of each input, for the lag metric. */
  lags(): readonly { readonly topic: string; readonly records: number }[] {
    return [...this.#inputs.values()].map((input) => ({ topic: input.topic.name, records: Math.max(0, input.highWatermark - input.position) }));
  }

  /** Ends the task, with a last flush if it is possible in time. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#session?.stop();
    await Promise.race([this.#ended, pause(stopMs)]);
    this.#producer?.kill();
    await Promise.race([this.#ended, pause(lastPartMs)]);
  }

  #hold(): void {
    this.#isHeld = true;
    this.#host.hold(this.#partition);
  }

  #release(): void {
    this.#isHeld = false;
    this.#host.release(this.#partition);
  }

  async #keepGoing(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#live();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!(await this.#recover(error))) return;
      }
    }
  }

  /** @returns false when the task must not be started again */
  async #recover(error: unknown): Promise<boolean> {
    const { signal } = this.#stopping;
    const about = { role: this.#role.name, partition: this.#partition, error: reasonOf(error) };
    if (isFenced(error)) {
      this.#count("fenced");
      this.#deps.log.warn(about, "another process took the task, or its transaction timed out: waiting for proof that it is ours");
      await this.#host.confirmed(signal);
      return !signal.aborted;
    }
    if (error instanceof KnownError && error.code === "GAP") {
      this.#host.crash(error);
      return false;
    }
    if (isRefused(error)) {
      this.#host.crash(new Error(`role ${this.#role.name} is not allowed to do its work: ${reasonOf(error)}`, { cause: error }));
      return false;
    }
    const isOutage = isKafka(error) || (error instanceof KnownError && (error.code === "REGISTRY_UNREACHABLE" || error.code === "KAFKA_UNREACHABLE"));
    const isWaiting = error instanceof KnownError && error.code === "LAYOUT_UNKNOWN";
    if (!isOutage && !isWaiting && ++this.#bugs >= mostFailures) {
      this.#host.crash(new Error(`task ${this.#role.name}-${this.#partition} failed ${this.#bugs} times in a row`, { cause: error }));
      return false;
    }
    this.#count(isOutage ? "kafka" : "failed");
    const waitMs = backoffMs(this.#failures++, isWaiting ? 5_000 : 100, isWaiting ? 30_000 : 5_000);
    // The whole error, stack included, when it is a bug; one line when it is an outage.
    if (isOutage) this.#deps.log.warn({ ...about, waitMs: Math.round(waitMs) }, "the task starts anew");
    else this.#deps.log.error({ ...about, err: error, waitMs: Math.round(waitMs) }, "the task failed and starts anew");
    await pause(waitMs, signal);
    return true;
  }

  #count(reason: string): void {
    this.#deps.metrics.restarts.inc({ role: this.#role.name, reason });
  }

  async #live(): Promise<void> {
    const { faults, connection, log, prefix } = this.#deps;
    this.#hold();
    this.queue.clear();
    let task: Task | null = null;
    try {
      const producer = await TransactionalProducer.open(connection, transactionalIdOf(prefix, this.#role, this.#partition));
      this.#producer = producer;
      await faults?.("fenced", this.#partition);
      const inputs = await this.#readCommitted();
      await faults?.("committed-read", this.#partition);
      if (this.#stopping.signal.aborted) return;
      const context = {
        partition: this.#partition,
        wake: () => this.#session?.wake(),
        partitionsOf: this.#deps.partitionsOf,
        now: this.#deps.now,
      };
      task = this.#role.createTask(context);
      this.#inputs = await this.#startTask(task, inputs);
      await faults?.("started", this.#partition);
      await this.#runSession(task, producer);
      log.info({ role: this.#role.name, partition: this.#partition }, "task stopped");
    } finally {
      this.#session = null;
      this.#inputs = new Map();
      this.queue.clear();
      this.#stopTask(task);
      const producer = this.#producer;
      this.#producer = null;
      if (this.#stopping.signal.aborted) await producer?.close();
      else producer?.kill();
    }
  }

  #stopTask(task: Task | null): void {
    try {
      task?.stop?.();
    } catch (error) {
      this.#deps.log.error({ err: error, role: this.#role.name, partition: this.#partition }, "a task failed to stop");
    }
  }

  async #runSession(task: Task, producer: TransactionalProducer): Promise<void> {
    const session = new TaskSession({
      deps: this.#deps,
      role: this.#role,
      partition: this.#partition,
      groupId: this.#groupId,
      task,
      producer,
      queue: this.queue,
      inputs: this.#inputs,
      drained: () => {
        if (this.#isHeld && this.queue.hasRoom) this.#release();
      },
      committed: () => {
        this.#failures = 0;
        this.#bugs = 0;
      },
    });
    for (const [name, { position }] of this.#inputs) this.#host.seek(name, this.#partition, position);
    this.#session = session;
    this.#release();
    const positions = Object.fromEntries([...this.#inputs].map(([name, { position }]) => [name, position]));
    this.#deps.log.info({ role: this.#role.name, partition: this.#partition, positions }, "task running");
    if (this.#stopping.signal.aborted) session.stop();
    await session.run();
  }

  async #startTask(task: Task, read: ReadonlyMap<string, ReadInput>): Promise<ReadonlyMap<string, TaskInput>> {
    const committed = new Map<string, Committed>();
    for (const [, { topic, offset, metadata }] of read)
      if (offset !== null) committed.set(topic.name, { offset, metadata: readMetadata(offset, metadata).own });
    const wanted = (await task.start(committed)) ?? {};
    return new Map(
      [...read].map(([name, { topic, offset, metadata, low, high }]) => {
        const start = Math.min(Math.max(wanted[topic.name] ?? offset ?? low, low), high);
        return [name, new TaskInput(topic, name, { start, committed: offset ?? low, metadata, high })];
      }),
    );
  }

  /** What the group has committed, checked against what the log still holds (rule 6). */
  async #readCommitted(): Promise<Map<string, ReadInput>> {
    const { admin, acceptGap, log } = this.#deps;
    const [offsets, ...bounds] = await Promise.all([
      admin.committed(this.#groupId, this.#names, this.#partition),
      ...this.#names.map((name) => admin.bounds(name)),
    ]);
    const read = new Map<string, ReadInput>();
    for (const [i, topic] of this.#role.inputs.entries()) {
      const name = this.#deps.prefix + topic.name;
      const { low, high } = bounds[i]?.get(this.#partition) ?? { low: 0, high: 0 };
      let { offset, metadata } = offsets.get(name) ?? { offset: null, metadata: "" };
      if (offset !== null && (offset < low || offset > high)) {
        if (!acceptGap) throw gapError(this.#role.name, name, this.#partition, { offset, low, high });
        log.error({ topic: name, partition: this.#partition, committed: offset, low, high }, "a gap is accepted: records were never read");
        offset = Math.min(Math.max(offset, low), high);
        metadata = "";
      }
      if (offset === null && high > low) {
        log.warn(
          { role: this.#role.name, topic: name, partition: this.#partition, records: high - low },
          "nothing is committed: all records are read, which is right at a first start; a role that has run here before lost its offsets and counts them twice (docs/topics.md)",
        );
      }
      read.set(name, { topic, offset, metadata, low, high });
    }
    return read;
  }
}

interface ReadInput {
  readonly topic: TaskRole["inputs"][number];
  readonly offset: number | null;
  readonly metadata: string;
  readonly low: number;
  readonly high: number;
}

/** GAP, with what is known about it. A negative offset is what kafkajs writes when it resets a position by itself. */
export function gapError(role: string, topic: string, partition: number, about: { offset: number; low: number; high: number }): KnownError {
  const { offset, low, high } = about;
  const problem =
    offset > high
      ? `${topic}[${partition}] ends at ${high}, before offset ${offset} that ${role} has committed: the topic was created anew, or lost acknowledged records`
      : `${topic}[${partition}] begins at ${low}; what ${role} had not read yet (committed offset ${offset < 0 ? "was reset" : offset}) is deleted`;
  return new KnownError("GAP", problem, {
    fix: "find out what was lost; to go on without it, start the role once with --accept-gap (HEADGATE_ACCEPT_GAP=true)",
    details: { role, topic, partition, committed: offset, low, high },
  });
}
