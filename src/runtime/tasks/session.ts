import type { KafkaMessage } from "kafkajs";
import { KnownError } from "../../errors/known-error.ts";
import { backoffMs, type RuntimeDeps } from "../deps.ts";
import { reasonOf } from "../kafka/errors.ts";
import type { TaskOffsets, TransactionalProducer } from "../kafka/producer.ts";
import { defaultMaxBytes, type WireRecord } from "../kafka/wire.ts";
import { encodeOutgoing, textHeaders } from "../outgoing.ts";
import { type Batch, type Incoming, ParkError, type Task, type TaskRole } from "../port.ts";
import { BadRecordError } from "../serde.ts";
import { steadyNowMs } from "../steady-clock.ts";
import { deadLetter } from "./dead-letter.ts";
import type { InputCommit, TaskInput } from "./input.ts";
import type { Queued, TaskQueue } from "./queue.ts";

/** Most records taken before a flush is due, also when the task asks for one after each record: it gets all that is there. */
const chunkRecords = 500;
/** Longest stretch of taking records before other work of the process gets its turn, ms. */
const sliceMs = 15;
/** After this long without a commit, transaction markers alone are worth one: see `TaskInput.plan`. */
const idleCommitMs = 60_000;

/** What a session needs around it. */
export interface SessionParts {
  readonly deps: RuntimeDeps;
  readonly role: TaskRole;
  readonly partition: number;
  readonly groupId: string;
  readonly task: Task;
  readonly producer: TransactionalProducer;
  readonly queue: TaskQueue;
  readonly inputs: ReadonlyMap<string, TaskInput>;
  /** Called whenever records were taken from the queue. */
  readonly drained: () => void;
  /** Called after each commit. */
  readonly committed: () => void;
}

/**
 * One life of a task, from its first record to its end: takes records, asks for flushes, commits. While a transaction is
 * under way records are taken on. Ends by `stop` (resolves) or by the first error (rejects); it is never resumed.
 */
export class TaskSession {
  readonly #parts: SessionParts;
  #isStopping = false;
  #isWoken = false;
  #failure: unknown = null;
  #committing: Promise<void> | null = null;
  #signal: (() => void) | null = null;
  /** Records taken, or parked, since the last flush was asked for. */
  #pending = 0;
  /** No record was taken since the task last returned a batch. */
  #isSettled = true;
  #deadLetters: WireRecord[] = [];
  #nextFlushAt = 0;
  #lastCommitAt: number;
  /** Until when the registry is left alone; null: it may be asked. */
  #registryWaitUntil: number | null = null;
  #registryFailures = 0;
  #prepared = new Set<string>();

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const now = steadyNowMs();
    this.#lastCommitAt = now;
    this.#nextFlushAt = now + parts.role.flushEveryMs;
  }

  /** Asks for a flush as soon as possible. */
  wake(): void {
    this.#isWoken = true;
    this.#raise();
  }

  /** Something arrived in the queue. */
  arrived(): void {
    this.#raise();
  }

  /** Ends the session after a last flush, so that finished work is not done again. */
  stop(): void {
    this.#isStopping = true;
    this.#raise();
  }

  async run(): Promise<void> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#isStopping) return this.#finish();
      await this.#deliver();
      const now = steadyNowMs();
      if (this.#committing === null && this.#isFlushDue(now)) this.#flush();
      if (this.#failure === null && !this.#isStopping) await this.#rest(now);
    }
  }

  async #finish(): Promise<void> {
    await this.#committing;
    if (this.#failure !== null) throw this.#failure;
    this.#flush();
    await this.#committing;
    if (this.#failure !== null) throw this.#failure;
  }

  #raise(): void {
    this.#signal?.();
  }

  #isFlushDue(now: number): boolean {
    return this.#isWoken || this.#pending >= this.#parts.role.flushRecords || now >= this.#nextFlushAt;
  }

  #canTake(): boolean {
    const most = Math.max(this.#parts.role.flushRecords * 2, chunkRecords);
    return this.#parts.queue.length > 0 && this.#registryWaitUntil === null && this.#pending < most && !(this.#parts.task.isFull?.() ?? false);
  }

  /** Waits for whatever comes first: a record that can be taken, a wake, a commit's end, the next flush. */
  async #rest(now: number): Promise<void> {
    if (this.#registryWaitUntil !== null && now >= this.#registryWaitUntil) this.#registryWaitUntil = null;
    const isBusy = this.#canTake() || (this.#committing === null && this.#isFlushDue(now));
    if (isBusy) return new Promise((resolve) => setImmediate(resolve));
    const flushIn = this.#committing === null ? this.#nextFlushAt - now : Number.POSITIVE_INFINITY;
    const registryIn = this.#registryWaitUntil === null ? Number.POSITIVE_INFINITY : this.#registryWaitUntil - now;
    await new Promise<void>((resolve) => {
      const ms = Math.min(flushIn, registryIn, 1000);
      const timer = setTimeout(resolve, Math.max(1, ms));
      this.#signal = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#signal = null;
  }

  /** Takes what is in the queue, up to a chunk or a slice of time. */
  async #deliver(): Promise<void> {
    const { queue } = this.#parts;
    const startedAt = performance.now();
    let taken = 0;
    while (this.#canTake() && !this.#isStopping && this.#failure === null) {
      const item = queue.peek();
      if (item === undefined) break;
      const pending = this.#deliverOne(item);
      const isTaken = pending instanceof Promise ? await pending : pending;
      if (!isTaken) break;
      queue.shift();
      if (++taken % 16 === 0 && performance.now() - startedAt > sliceMs) break;
    }
    if (taken > 0) this.#parts.drained();
  }

  /** @returns false when the record has to wait (the registry is out of reach) */
  #deliverOne({ topic, message, offset }: Queued): boolean | Promise<boolean> {
    const input = this.#inputOf(topic);
    if (message === null) {
      input.position = Math.max(input.position, offset);
      return true;
    }
    if (offset < input.position) return true;
    if (input.wasParked(offset)) {
      input.handed(offset);
      this.#parts.task.parked?.(input.topic.name, offset);
      this.#pending++;
      return true;
    }
    if (message.value === null) return this.#take(input, message, null);
    try {
      const { deps, role } = this.#parts;
      const value = deps.serde.decode(input.topic, message.value, role.projections?.[input.topic.name]);
      if (!(value instanceof Promise)) return this.#take(input, message, value);
      return value.then(
        (later) => this.#take(input, message, later),
        (error: unknown) => this.#undecodable(input, message, error),
      );
    } catch (error) {
      return this.#undecodable(input, message, error);
    }
  }

  #inputOf(name: string): TaskInput {
    const input = this.#parts.inputs.get(name);
    if (input === undefined) throw new Error(`a record of ${name} reached a task that does not read it: a bug of the runtime`);
    return input;
  }

  #take(input: TaskInput, message: KafkaMessage, value: unknown): boolean {
    this.#registryFailures = 0;
    const { deps, partition, role, task } = this.#parts;
    const offset = Number(message.offset);
    const record: Incoming = {
      topic: input.topic.name,
      partition,
      offset,
      key: message.key === null ? null : message.key.toString("utf8"),
      appendedAtMs: Number(message.timestamp),
      value,
      headers: textHeaders(message.headers),
    };
    this.#pending++;
    try {
      task.take(record);
    } catch (error) {
      if (!(error instanceof ParkError)) {
        throw new Error(`task ${role.name}-${partition} failed on ${input.name}[${partition}] offset ${offset}`, { cause: error });
      }
      this.#park(input, message, error);
      return true;
    }
    this.#isSettled = false;
    input.handed(offset);
    deps.metrics.records.inc({ role: role.name, topic: input.topic.name });
    return true;
  }

  #undecodable(input: TaskInput, message: KafkaMessage, error: unknown): boolean {
    if (error instanceof BadRecordError) {
      this.#pending++;
      this.#park(input, message, error);
      this.#parts.task.parked?.(input.topic.name, Number(message.offset));
      return true;
    }
    if (error instanceof KnownError && error.code === "REGISTRY_UNREACHABLE") {
      this.#waitForRegistry(error);
      return false;
    }
    throw error;
  }

  #park(input: TaskInput, message: KafkaMessage, error: Error): void {
    const { deps, role, partition } = this.#parts;
    if (input.wasCommitted(Number(message.offset))) {
      input.handed(Number(message.offset));
      return;
    }
    const maxBytes = input.topic.maxBytes ?? defaultMaxBytes;
    this.#deadLetters.push(deadLetter({ topic: input.name, partition, message, error, role: role.name, atMs: deps.now(), maxBytes }));
    input.park(Number(message.offset));
    deps.metrics.deadLetters.inc({ role: role.name, topic: input.topic.name });
    deps.log.warn({ topic: input.name, partition, offset: message.offset, error: error.message }, "record goes to the dead-letter topic");
  }

  #waitForRegistry(error: KnownError): void {
    if (this.#registryFailures === 0) this.#parts.deps.log.error({ error: error.message }, "the registry is out of reach: the task waits");
    this.#registryWaitUntil = steadyNowMs() + backoffMs(this.#registryFailures++, 200, 5_000);
  }

  #flush(): void {
    const { task, role, inputs, deps } = this.#parts;
    const now = steadyNowMs();
    this.#isWoken = false;
    this.#pending = 0;
    this.#nextFlushAt = now + role.flushEveryMs;
    const batch = task.flush(deps.now());
    const isIdle = this.#isSettled && now - this.#lastCommitAt >= idleCommitMs && [...inputs.values()].some((input) => input.isBehindMarkers);
    if (batch === null && this.#deadLetters.length === 0 && !isIdle) return;
    const plans = new Map([...inputs.values()].map((input) => [input, input.plan(batch, this.#isSettled, role.name)]));
    const deadLetters = this.#deadLetters;
    this.#deadLetters = [];
    if (batch !== null) this.#isSettled = true;
    this.#committing = this.#commit(batch, deadLetters, plans)
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#committing = null;
        this.#raise();
      });
  }

  async #commit(batch: Batch | null, deadLetters: readonly WireRecord[], plans: ReadonlyMap<TaskInput, InputCommit>): Promise<void> {
    const { deps, role, partition, groupId, producer } = this.#parts;
    const startedAt = performance.now();
    const outputs = batch?.outputs ?? [];
    await this.#prepare(outputs);
    const records = [...outputs.map((output) => encodeOutgoing(deps.serde, deps.prefix, output)), ...deadLetters];
    const offsets: TaskOffsets = {
      groupId,
      partition,
      inputs: new Map([...plans].map(([input, { offset, text }]) => [input.name, { offset, metadata: text }])),
    };
    await producer.commit(records, offsets, (step) => deps.faults?.(step, partition));
    for (const [input, plan] of plans) {
      input.committed(plan);
      if (plan.forgotten > 0)
        deps.log.warn({ topic: input.name, partition, records: plan.forgotten }, "too many dead letters to remember: some may be parked twice");
    }
    this.#lastCommitAt = steadyNowMs();
    this.#parts.committed();
    deps.metrics.transactions.inc({ role: role.name });
    deps.metrics.transactionSeconds.observe({ role: role.name }, (performance.now() - startedAt) / 1000);
  }

  /** Looks up the schemas of topics written for the first time; waits while the registry is out of reach. */
  async #prepare(outputs: Batch["outputs"]): Promise<void> {
    const topics = [...new Set(outputs.map(({ topic }) => topic))].filter(({ name }) => !this.#prepared.has(name));
    if (topics.length === 0) return;
    for (let failures = 0; ; failures++) {
      try {
        await this.#parts.deps.serde.prepare(topics);
        for (const { name } of topics) this.#prepared.add(name);
        return;
      } catch (error) {
        if (!(error instanceof KnownError) || error.code !== "REGISTRY_UNREACHABLE" || this.#isStopping) throw error;
        if (failures === 0) this.#parts.deps.log.error({ error: reasonOf(error) }, "the registry is out of reach: the task waits");
        await new Promise((resolve) => setTimeout(resolve, backoffMs(failures, 200, 5_000)));
      }
    }
  }
}
