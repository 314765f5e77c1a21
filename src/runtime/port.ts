import type { Topic, ValueOf } from "../../topics/index.ts";

/**
 * The narrow port between headgate and its log. Everything that a role may do with Kafka is named here; nothing outside
 * `src/runtime` knows which client is behind it (DESIGN.md section 5, rule 10). Topic names are without prefix; offsets
 * are numbers (exact to 2^53).
 */

/** One record, read committed, in offset order per partition. `value` is null for a tombstone. */
export interface Incoming<V = unknown> {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** Broker append time where the topic is configured so, else the producer's time; epoch ms. */
  readonly appendedAtMs: number;
  readonly value: V | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** One record to write. The partition is always fixed by us (rule 1), see `partitionFor`. */
export interface Outgoing<T extends Topic = Topic> {
  readonly topic: T;
  readonly partition: number;
  readonly key: string | null;
  /** null writes a tombstone (compacted topics only). */
  readonly value: ValueOf<T> | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What was committed for one input of a task. */
export interface Committed {
  readonly offset: number;
  /** At most 4,000 bytes; empty when none was written. */
  readonly metadata: string;
}

/** Outputs of a task with the input offsets they cover: committed in one transaction, or not at all. */
export interface Batch {
  readonly outputs: readonly Outgoing[];
  /**
   * Next offset and metadata per input topic. An input that is absent is committed at the position up to which records
   * were handed to the task; give it explicitly when the task still needs older records after a restart. Metadata that is
   * not given is empty from then on. An offset never goes back.
   */
  readonly offsets?: Readonly<Record<string, { readonly offset?: number; readonly metadata?: string }>>;
}

/**
 * One partition's worth of a role: state in memory, no I/O of its own towards Kafka. The runtime makes a new one whenever
 * ownership or anything else is in doubt, fences its predecessor, reads what is committed, and feeds it from there. A
 * failed transaction throws the task away, so `flush` may forget what it returns.
 */
export interface Task {
  /**
   * Called once after fencing, before the first record.
   * @param committed what the last owner committed, per input topic; an input that was never committed is absent
   * @returns where to start instead of the committed offset (rarely needed), per input topic
   */
  start(committed: ReadonlyMap<string, Committed>): undefined | Readonly<Record<string, number>> | Promise<undefined | Readonly<Record<string, number>>>;
  /** Takes one decoded record. Must not block or await. Throw `ParkError` to dead-letter it with a reason. */
  take(record: Incoming): void;
  /**
   * Asked after each delivery when `flushRecords` are pending, every `flushEveryMs`, and whenever the task called `wake`.
   * @returns what to commit now, or null when there is nothing; called again only after the transaction succeeded
   */
  flush(nowMs: number): Batch | null;
  /** True while the task can take no more: its partitions are paused until `wake` is called or a flush empties it. */
  isFull?(): boolean;
  /**
   * A record of this input did not and will not reach `take`, because it is in the dead-letter topic: it could not be decoded, or
   * it was parked (also by `take` itself) before a restart and is read again because an older offset was committed.
   */
  parked?(topic: string, offset: number): void;
  /** Ownership is gone or the process stops: abort outstanding work. Called at most once. */
  stop?(): void;
}

export interface TaskContext {
  readonly partition: number;
  /** Asks for a `flush` as soon as possible (work finished, or the task is no longer full). */
  readonly wake: () => void;
  /** Partition count of a topic in this prefix's layout. */
  readonly partitionsOf: (topic: Topic) => number;
  /** Wall clock, epoch ms. */
  readonly now: () => number;
}

/** A role whose unit of work is the task: partition p of all its inputs, with one transactional producer. */
export interface TaskRole {
  /** Transactional ids are `<prefix><name>-<p>`; the group is `<prefix><name>.<hash of inputs and assigner>` (rule 9). */
  readonly name: string;
  /** Inputs; all must have the same partition count. */
  readonly inputs: readonly Topic[];
  /**
   * Reader schema per input for consumers that need only some fields, as a subset of the topic's shape: the rest is never decoded.
   */
  readonly projections?: Readonly<Record<string, readonly string[]>>;
  readonly flushEveryMs: number;
  readonly flushRecords: number;
  createTask(context: TaskContext): Task;
}

/**
 * Thrown by `Task.take` for a record that is deterministically bad: it goes to `<topic>.dlq` in the next transaction. The task
 * must not have changed its state by then.
 */
export class ParkError extends Error {
  override readonly name = "ParkError";
}

/** A compacted topic held in memory, read committed, restored before `ready` resolves and followed from then on. */
export interface Table<V> {
  get(key: string): V | undefined;
  entries(): IterableIterator<[string, V]>;
  readonly size: number;
  /** Called for every change after it is applied (also during restore); `value` undefined: deleted. */
  onChange(listener: (key: string, value: V | undefined, record: Incoming<V>) => void): void;
  /** Last successful fetch of all partitions by the steady clock (steady-clock.ts), epoch ms; 0 before the first. The base of staleness rules. */
  freshAtMs(): number;
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** Follows topics from the beginning or the end, without a group commit: views, server-sent events, demo, tests. */
export interface Follower {
  /** Resolves when everything that was in the topics at start has been delivered. */
  readonly caughtUp: Promise<void>;
  close(): Promise<void>;
}

/** Appends without a transaction (gateways, control): idempotent, one send in flight, dead after an error and made anew. */
export interface Appender {
  /**
   * Writes the records, in order per partition. Resolves when all are acknowledged by all in-sync replicas. Rejects when
   * the outcome is unknown or bad; the caller may append the same records again (readers drop repeats by their own id).
   * @throws {KnownError} RECORD_INVALID before anything is sent, naming the field; RECORD_TOO_LARGE; the same codes when the broker will never take
   * one of these records, which must not be tried again as they are
   */
  append(records: readonly Outgoing[]): Promise<void>;
  close(): Promise<void>;
}

/** A running role. */
export interface Running {
  /** Rejects when the role can not go on (crash, fenced for good); the process then exits. Resolves on `stop`. */
  readonly finished: Promise<void>;
  /** Partitions whose task is started and processing; for readiness and tests. */
  owned(): readonly number[];
  stop(): Promise<void>;
}

/** A connection to one headgate prefix on one Kafka cluster. Made by `connectLog` in `log-client.ts`. */
export interface LogClient {
  readonly prefix: string;
  /** Partition count of a topic, from the layout record of the prefix. */
  partitionsOf(topic: Topic): number;
  /** murmur2(key) mod n, as Java's default partitioner does. */
  partitionFor(topic: Topic, key: string): number;
  runRole(role: TaskRole): Promise<Running>;
  openTable<T extends Topic>(topic: T, options?: { readonly fields?: readonly string[] }): Table<ValueOf<T>>;
  follow(
    topics: readonly Topic[],
    options: {
      readonly from: "beginning" | "end";
      /** Per topic the fields to decode (a projection); absent: all of them. */
      readonly fields?: Readonly<Record<string, readonly string[]>>;
      readonly onRecord: (record: Incoming) => void;
      readonly onError?: (error: Error) => void;
    },
  ): Follower;
  openAppender(options?: { readonly retryBudgetMs?: number }): Appender;
  close(): Promise<void>;
}
