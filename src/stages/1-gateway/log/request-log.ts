import type { Logger } from "pino";
import { type Request, requests } from "../../../../topics/index.ts";
import { KnownError } from "../../../errors/known-error.ts";
import type { Appender, Outgoing } from "../../../runtime/port.ts";
import type { CallRecord } from "../call/record.ts";
import type { EventClock } from "./event-clock.ts";
import { markRecord } from "./mark-record.ts";

/** Where the record of a completed call goes. */
export interface CallLog {
  /** Takes the record of a call that ended just now. Never waits and never throws. */
  push(call: CallRecord): void;
}

/** For `log: off`. */
export const noCallLog: CallLog = { push: () => undefined };

/** Why records were lost; a label of the metric. */
export type DropReason = "buffer_full" | "refused" | "shutdown";

export interface RequestLogOptions {
  readonly instance: string;
  readonly clock: EventClock;
  readonly log: Logger;
  /** Bounds of what is buffered; beyond them new records are dropped and counted. */
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly onDrop: (reason: DropReason, records: number) => void;
  readonly onAppendFailure: () => void;
  /** How long a first record waits for others, ms. */
  readonly lingerMs?: number;
  /** First and longest pause after a failed append, ms. */
  readonly backoffMs?: { readonly first: number; readonly longest: number };
}

/** Where records go once the log is reachable. */
export interface Destination {
  readonly appender: Appender;
  readonly partitions: number;
  readonly partitionOf: (subject: string) => number;
}

interface Partition {
  /** Last sequence number given. */
  seq: number;
  /** When a record for it was last queued, epoch ms. */
  queuedAtMs: number;
  /** Records queued and not yet acknowledged. */
  pending: number;
}
interface Entry {
  readonly record: Outgoing<typeof requests> & { readonly value: Request };
  readonly bytes: number;
}

const MAX_BATCH_RECORDS = 500;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Estimated size of a record without its texts. */
const RECORD_BYTES = 1024;
/** A partition that had no record for so long gets a mark while calls flow, else after the longer time. */
const MARK_FLOWING_MS = 1_000;
const MARK_SILENT_MS = 10_000;
/** For so long after the last call calls are taken to flow: longer than a pane, so that the last pane closes in time. */
const FLOWING_MS = 120_000;

const bytesOf = (value: Request): number =>
  RECORD_BYTES +
  (value.requestBody?.length ?? 0) +
  (value.responseBody?.length ?? 0) +
  (value.responseFormat?.length ?? 0) +
  (value.reference?.length ?? 0) +
  (value.twin?.responseBody?.length ?? 0);

const isRefusal = (error: unknown): boolean => error instanceof KnownError && (error.code === "RECORD_INVALID" || error.code === "RECORD_TOO_LARGE");

/**
 * The gateway's way into the log, off the request path: a bounded buffer and one writer.
 *
 * What readers rely on: within a partition, records stand in the order in which the calls ended, `seq` is contiguous from 1, and `markMs` is
 * the record's own end. That is true as a mark, because an end is taken from a clock that never goes back at the moment when the record is queued,
 * the queue is in order, and a failed append is repeated with the same records until it succeeds: when a record is in its
 * partition, every call that this instance ended before `markMs` is there already. A record that is dropped takes its number with it, so that
 * readers see and count the gap.
 */
export class RequestLog implements CallLog {
  readonly #options: RequestLogOptions;
  /** Calls that ended before the partitions were known. */
  #unplaced: Entry[] = [];
  #unplacedDrops = 0;
  #queue: Entry[] = [];
  #bytes = 0;
  #destination: Destination | null = null;
  #partitions: Partition[] = [];
  #lastCallMs = Number.NEGATIVE_INFINITY;
  #draining: Promise<void> | null = null;
  #linger: NodeJS.Timeout | null = null;
  #stopped = false;
  #wakeBackoff: () => void = () => undefined;
  dropped = 0;

  constructor(options: RequestLogOptions) {
    this.#options = options;
  }

  get isConnected(): boolean {
    return this.#destination !== null;
  }

  get queuedRecords(): number {
    return this.#unplaced.length + this.#queue.length;
  }

  get queuedBytes(): number {
    return this.#bytes;
  }

  push(call: CallRecord): void {
    const endedAtMs = this.#options.clock.nowMs();
    this.#lastCallMs = endedAtMs;
    const value: Request = { kind: "call", ...call, endedAtMs, instance: this.#options.instance, seq: 0, markMs: endedAtMs };
    const entry = { record: { topic: requests, partition: -1, key: value.subject, value }, bytes: bytesOf(value) };
    const isFull = this.#stopped || this.queuedRecords >= this.#options.maxRecords || this.#bytes + entry.bytes > this.#options.maxBytes;
    if (this.#destination === null) {
      if (isFull) this.#unplacedDrops++;
      else this.#unplaced.push(entry);
    } else this.#place(entry, this.#destination.partitionOf(value.subject), isFull);
    if (isFull) this.#drop("buffer_full", 1);
    else this.#bytes += entry.bytes;
  }

  /** The log is reachable (again): what was buffered gets its partitions, and writing begins. */
  connect(destination: Destination): void {
    if (this.#destination === null) {
      this.#partitions = Array.from({ length: destination.partitions }, () => ({ seq: 0, queuedAtMs: Number.NEGATIVE_INFINITY, pending: 0 }));
      // What was dropped before partitions were known shows as a gap at the head of one of them.
      const first = this.#partitions[0];
      if (first !== undefined) first.seq += this.#unplacedDrops;
      for (const entry of this.#unplaced) this.#place(entry, destination.partitionOf(entry.record.value.subject), false);
      this.#unplaced = [];
    }
    this.#destination = destination;
    this.tick();
    this.#schedule();
  }

  /** Writes marks to silent partitions; to be called a few times a second. */
  tick(): void {
    if (this.#destination === null || this.#stopped) return;
    const nowMs = this.#options.clock.nowMs();
    const afterMs = nowMs - this.#lastCallMs < FLOWING_MS ? MARK_FLOWING_MS : MARK_SILENT_MS;
    this.#partitions.forEach((partition, index) => {
      // A record that still waits says the same as a mark would, so outages do not fill the buffer with marks.
      if (partition.pending === 0 && nowMs - partition.queuedAtMs >= afterMs) this.#mark(index, nowMs);
    });
  }

  /**
   * Writes what is buffered, with a last mark in every partition, and stops.
   *
   * @returns how many records were lost because the deadline came first
   */
  async stop(deadlineMs: number): Promise<number> {
    if (this.#destination !== null && !this.#stopped) {
      for (const index of this.#partitions.keys()) this.#mark(index, this.#options.clock.nowMs());
    }
    this.#stopped = true;
    this.#flush();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.max(0, deadlineMs - Date.now()));
    });
    await Promise.race([this.#draining ?? Promise.resolve(), deadline]);
    clearTimeout(timer);
    const left = [...this.#unplaced, ...this.#queue].filter(({ record }) => record.value.kind === "call").length;
    this.#unplaced = [];
    this.#queue = [];
    this.#destination = null;
    this.#wakeBackoff();
    if (left > 0) this.#drop("shutdown", left);
    return left;
  }

  #drop(reason: DropReason, records: number): void {
    this.dropped += records;
    this.#options.onDrop(reason, records);
  }

  #mark(index: number, nowMs: number): void {
    const value = markRecord(this.#options.instance, 0, nowMs);
    this.#place({ record: { topic: requests, partition: index, key: null, value }, bytes: RECORD_BYTES }, index, false);
    this.#bytes += RECORD_BYTES;
  }

  /** Gives a record its number; a dropped one uses its number up. */
  #place(entry: Entry, index: number, isDropped: boolean): void {
    const partition = this.#partitions[index];
    if (partition === undefined) throw new Error(`no partition ${index} of ${this.#partitions.length}`);
    partition.seq++;
    if (isDropped) return;
    partition.pending++;
    partition.queuedAtMs = this.#options.clock.nowMs();
    const { record, bytes } = entry;
    this.#queue.push({ record: { ...record, partition: index, value: { ...record.value, seq: partition.seq } }, bytes });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#draining !== null || this.#linger !== null || this.#queue.length === 0) return;
    this.#linger = setTimeout(() => this.#flush(), this.#options.lingerMs ?? 10);
  }

  #flush(): void {
    if (this.#linger !== null) clearTimeout(this.#linger);
    this.#linger = null;
    if (this.#draining !== null || this.#destination === null) return;
    this.#draining = this.#drain().finally(() => {
      this.#draining = null;
      this.#schedule();
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0 && this.#destination !== null) {
      const batch = this.#nextBatch();
      await this.#deliver(batch);
      if (this.#destination === null) return;
      this.#queue.splice(0, batch.length);
      for (const { record, bytes } of batch) {
        this.#bytes -= bytes;
        const partition = this.#partitions[record.partition];
        if (partition !== undefined) partition.pending--;
      }
    }
  }

  #nextBatch(): Entry[] {
    let bytes = 0;
    const end = this.#queue.findIndex((entry, i) => {
      bytes += entry.bytes;
      return i > 0 && (i >= MAX_BATCH_RECORDS || bytes > MAX_BATCH_BYTES);
    });
    return end < 0 ? this.#queue.slice() : this.#queue.slice(0, end);
  }

  /** Appends until it succeeds, the same records in the same order: readers drop the repeats by instance and seq. */
  async #deliver(batch: readonly Entry[]): Promise<void> {
    const { first, longest } = this.#options.backoffMs ?? { first: 100, longest: 5_000 };
    for (let pauseMs = first; this.#destination !== null; pauseMs = Math.min(pauseMs * 2, longest)) {
      try {
        await this.#destination.appender.append(batch.map(({ record }) => record));
        return;
      } catch (error) {
        if (isRefusal(error)) return await this.#deliverApart(batch, error as KnownError);
        this.#options.onAppendFailure();
        this.#options.log.warn({ err: error, records: batch.length, queued: this.queuedRecords, retryInMs: pauseMs }, "the log did not take records, retrying");
        await this.#pause(pauseMs);
      }
    }
  }

  /** One record of a batch can never be written: the others must not wait for it. */
  async #deliverApart(batch: readonly Entry[], error: KnownError): Promise<void> {
    if (batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      await this.#deliver(batch.slice(0, middle));
      await this.#deliver(batch.slice(middle));
      return;
    }
    this.#options.log.error({ err: error, requestId: batch[0]?.record.value.requestId }, "a record does not fit its topic and is dropped");
    this.#drop("refused", 1);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms * (0.5 + Math.random() / 2));
      this.#wakeBackoff = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
