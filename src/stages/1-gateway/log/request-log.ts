import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { type Request, requests } from "../../../../topics/index.ts";
import type { Appender } from "../../../runtime/port.ts";
import type { CallRecord } from "../call/record.ts";
import { Delivery, type RequestRecord } from "./delivery.ts";
import type { EventClock } from "./event-clock.ts";
import { markRecord } from "./mark-record.ts";
import { MemoryQueue, type Queued, type QueuedRecord } from "./memory-queue.ts";
import { Numbers } from "./numbers.ts";
import { Overflow } from "./overflow.ts";
import type { Spool } from "./spool/spool.ts";

/** Where the record of a completed call goes. */
export interface CallLog {
  /** Takes the record of a call that ended just now. Never waits and never throws. */
  push(call: CallRecord): void;
  /** The record of a call that ended just now could not be made: it is lost, and readers see its gap. */
  lose(subject: string): void;
}

/** For `log: off`. */
export const noCallLog: CallLog = { push: () => undefined, lose: () => undefined };

/** Why records were lost; a label of the metric. */
export type DropReason = "buffer_full" | "refused" | "shutdown" | "spool_damaged" | "unrecordable";

export interface RequestLogOptions {
  readonly instance: string;
  readonly clock: EventClock;
  readonly log: Logger;
  /** Bounds of what is buffered; beyond them new records are dropped and counted. */
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly onDrop: (reason: DropReason, records: number) => void;
  readonly onAppendFailure: () => void;
  /** Disk that takes what memory should not keep; null: there is none. */
  readonly spool?: Spool | null;
  /** A record that waits for so long in memory goes to the spool, with all that come after it, ms. */
  readonly spillAfterMs?: number;
  readonly onSpoolFailure?: () => void;
  readonly onReplay?: (records: number) => void;
  /** How long a first record waits for others, ms; a full batch waits for nothing. */
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
  /** When a record for it was last queued, epoch ms. */
  queuedAtMs: number;
  /** Records queued and not yet acknowledged. */
  pending: number;
}

const MAX_BATCH_RECORDS = 500;
/** Small batches cost several times the processor time per record: each is compressed, sent and acknowledged by itself. */
const LINGER_MS = 50;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Estimated size of a record without its texts. */
const RECORD_BYTES = 1024;
/** A partition that had no record for so long gets a mark while calls flow, else after the longer time. */
const MARK_FLOWING_MS = 1_000;
const MARK_SILENT_MS = 10_000;
/** For so long after the last call calls are taken to flow: longer than a pane, so that the last pane closes in time. */
const FLOWING_MS = 120_000;
const SPILL_AFTER_MS = 1_000;
const RETRY_MS = 1_000;
/** Of the time for stopping, what is kept for writing the rest to disk. */
const SPILL_RESERVE_MS = 1_000;

const bytesOf = (value: Request): number =>
  RECORD_BYTES +
  (value.requestBody?.length ?? 0) +
  (value.responseBody?.length ?? 0) +
  (value.responseFormat?.length ?? 0) +
  (value.reference?.length ?? 0) +
  (value.twin?.responseBody?.length ?? 0);

/**
 * The gateway's way into the log, off the request path: a bounded buffer in memory, a bounded spool on disk, and one writer. While anything is in
 * the spool everything goes through it; what finds no room in either is dropped and counted.
 *
 * What readers rely on: within a partition, records stand in the order in which the calls ended, `seq` is contiguous from 1, and `markMs` is
 * the record's own end. That is true as a mark, because an end is taken from a clock that never goes back at the moment when the record is queued,
 * everything stays in that order, and a failed append is repeated with the same records until it succeeds: when a record is in its
 * partition, every call that this instance ended before `markMs` is there already. A record that is dropped takes its number with it, so that
 * readers see and count the gap. Numbers are given when a record's turn to be written has come, from the order alone.
 */
export class RequestLog {
  readonly #options: RequestLogOptions;
  readonly #queue: MemoryQueue;
  readonly #overflow: Overflow | null;
  #destination: Destination | null = null;
  #delivery: Delivery | null = null;
  #numbers: Numbers | null = null;
  #partitions: Partition[] = [];
  #lastCallMs = Number.NEGATIVE_INFINITY;
  #lastTickMs = Number.NEGATIVE_INFINITY;
  #draining: Promise<void> | null = null;
  #linger: NodeJS.Timeout | null = null;
  #stopped = false;
  dropped = 0;

  constructor(options: RequestLogOptions) {
    this.#options = options;
    this.#queue = new MemoryQueue({ records: options.maxRecords, bytes: options.maxBytes });
    this.#overflow =
      options.spool === undefined || options.spool === null
        ? null
        : new Overflow({
            spool: options.spool,
            queue: this.#queue,
            log: options.log,
            onFailure: () => options.onSpoolFailure?.(),
            onLost: (records) => this.#drop("spool_damaged", records),
            onReplay: (records) => options.onReplay?.(records),
            onSpilled: (items) => this.#settled(items),
          });
  }

  get isConnected(): boolean {
    return this.#destination !== null;
  }

  /** Why the spool took nothing when it was last written; null: it did, or there is none. */
  get spoolProblem(): string | null {
    return this.#overflow?.problem ?? null;
  }

  /** Records that wait in memory. */
  get queuedRecords(): number {
    return this.#queue.records;
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** Takes the record of a call that ended just now. Never waits and never throws. */
  push(call: CallRecord): void {
    const endedAtMs = this.#options.clock.nowMs();
    this.#lastCallMs = endedAtMs;
    const value: Request = { kind: "call", ...call, endedAtMs, instance: this.#options.instance, seq: 0, markMs: endedAtMs };
    const partition = this.#destination?.partitionOf(value.subject) ?? -1;
    const bytes = bytesOf(value);
    if (this.#stopped || !this.#queue.hasRoomFor(bytes)) {
      this.#lose(partition, "buffer_full");
      return;
    }
    this.#add({ kind: "record", partition, value, bytes });
  }

  lose(subject: string): void {
    this.#lose(this.#destination?.partitionOf(subject) ?? -1, "unrecordable");
  }

  #lose(partition: number, reason: DropReason): void {
    this.#queue.lose(partition);
    this.#drop(reason, 1);
  }

  /** The log is reachable: writing begins. */
  connect(destination: Destination): void {
    // It was being connected when the gateway stopped: its spool may be somebody else's by now.
    if (this.#stopped) return;
    const { log, onAppendFailure, backoffMs = { first: 100, longest: 5_000 } } = this.#options;
    this.#destination = destination;
    this.#delivery = new Delivery({
      appender: destination.appender,
      log,
      backoffMs,
      onFailure: onAppendFailure,
      onRefusal: () => this.#drop("refused", 1),
    });
    this.#numbers = new Numbers(destination.partitions);
    this.#partitions = Array.from({ length: destination.partitions }, () => ({ queuedAtMs: Number.NEGATIVE_INFINITY, pending: 0 }));
    for (const item of this.#queue.all()) {
      if (item.kind !== "record") continue;
      item.partition = destination.partitionOf(item.value.subject);
      this.#placed(item.partition);
    }
    this.tick();
    this.#schedule();
  }

  /** Writes marks to silent partitions, and spills what waits for too long; to be called a few times a second. */
  tick(): void {
    if (this.#stopped) return;
    const nowMs = this.#options.clock.nowMs();
    if (nowMs < this.#lastTickMs) this.#clockWentBack(nowMs);
    this.#lastTickMs = nowMs;
    const waitedMs = nowMs - (this.#queue.oldestMs ?? nowMs);
    if (waitedMs >= (this.#options.spillAfterMs ?? SPILL_AFTER_MS) || this.#queue.isHalfFull) void this.#spill();
    // What waits on disk says the same as a mark would, once it is written.
    if (this.#destination === null || this.#overflow?.isOn === true) return;
    const afterMs = nowMs - this.#lastCallMs < FLOWING_MS ? MARK_FLOWING_MS : MARK_SILENT_MS;
    this.#partitions.forEach((partition, index) => {
      // A record that still waits says the same as a mark would, so outages do not fill the buffer with marks.
      if (partition.pending === 0 && nowMs - partition.queuedAtMs >= afterMs) this.#mark(index, nowMs);
    });
  }

  /**
   * Writes what is buffered, with a last mark in every partition, and stops. What cannot be written before the deadline goes to the spool, for
   * the next process that finds it.
   *
   * @returns how many records were lost because the deadline came first
   */
  async stop(deadlineMs: number): Promise<number> {
    const isSpilling = this.#overflow?.isOn === true;
    if (this.#destination !== null && !this.#stopped && !isSpilling) {
      for (const index of this.#partitions.keys()) this.#mark(index, this.#options.clock.nowMs());
    }
    this.#stopped = true;
    this.#flush();
    const reserveMs = this.#overflow === null ? 0 : SPILL_RESERVE_MS;
    // What does not get on now would not in a few seconds either.
    if (!isSpilling || this.#delivery?.isWorking === true) await by(deadlineMs - reserveMs, this.#drained());
    this.#overflow?.lastChance();
    // Twice: one that is under way takes only what waited when it began.
    if (!this.#queue.isEmpty)
      await by(
        deadlineMs,
        this.#spill().then(() => this.#spill()),
      );
    this.#delivery?.end();
    const left = [...this.#queue.all()].filter((item) => item.kind === "record" && item.value.kind === "call").length;
    this.#queue.shift(Number.POSITIVE_INFINITY);
    this.#destination = null;
    // Before anything else can fail: what is lost is counted.
    if (left > 0) this.#drop("shutdown", left);
    const closed = this.#overflow?.close().catch((error: unknown) => {
      this.#options.onSpoolFailure?.();
      this.#options.log.error({ err: error }, "the spool could not be closed: what the disk had not taken for sure may be missing from it");
    });
    await by(deadlineMs, closed ?? null);
    return left;
  }

  /** What was to come a while after a time that lies in the future now would not come for as long. */
  #clockWentBack(nowMs: number): void {
    this.#lastCallMs = Math.min(this.#lastCallMs, nowMs);
    for (const partition of this.#partitions) partition.queuedAtMs = Number.NEGATIVE_INFINITY;
    // Its oldest record is dated later than all that comes.
    if (!this.#queue.isEmpty) void this.#spill();
  }

  /** Batch after batch, as long as one follows another. */
  async #drained(): Promise<void> {
    while (this.#draining !== null) await this.#draining;
  }

  #drop(reason: DropReason, records: number): void {
    this.dropped += records;
    this.#options.onDrop(reason, records);
  }

  #mark(partition: number, nowMs: number): void {
    this.#add({ kind: "record", partition, value: markRecord(this.#options.instance, 0, nowMs), bytes: RECORD_BYTES });
  }

  #add(record: QueuedRecord): void {
    this.#queue.push(record);
    if (record.partition >= 0) this.#placed(record.partition);
    if (this.#overflow?.isOn === true) void this.#overflow.spill();
    this.#schedule();
  }

  #placed(index: number): void {
    const partition = this.#partitions[index];
    if (partition === undefined) throw new Error(`no partition ${index} of ${this.#partitions.length}`);
    partition.pending++;
    partition.queuedAtMs = this.#options.clock.nowMs();
  }

  /** Items have left the memory, for the log or for the disk. */
  #settled(items: readonly Queued[]): void {
    for (const item of items) {
      const partition = item.kind === "record" ? this.#partitions[item.partition] : undefined;
      if (partition !== undefined) partition.pending--;
    }
  }

  /** From now on everything goes through the spool, until that is empty. */
  #spill(): Promise<void> {
    return this.#overflow?.begin(this.#numbers?.last ?? null) ?? Promise.resolve();
  }

  get #hasWork(): boolean {
    return !this.#queue.isEmpty || this.#overflow?.isOn === true;
  }

  #schedule(): void {
    if (this.#draining !== null || this.#linger !== null || this.#destination === null || !this.#hasWork) return;
    const isFull = this.#queue.records >= MAX_BATCH_RECORDS || this.#queue.bytes >= MAX_BATCH_BYTES;
    if (isFull || this.#stopped || this.#overflow?.isOn === true) this.#flush();
    else this.#linger = setTimeout(() => this.#flush(), this.#options.lingerMs ?? LINGER_MS);
  }

  #flush(): void {
    if (this.#linger !== null) clearTimeout(this.#linger);
    this.#linger = null;
    if (this.#draining !== null || this.#destination === null) return;
    // What nobody foresaw here must not end the calls: records wait, and are dropped and counted when there is no room left.
    const onBug = async (error: unknown): Promise<void> => {
      this.#options.log.error({ err: error }, "records could not be written: please report this; they are tried again");
      await sleep(RETRY_MS);
    };
    this.#draining = this.#drain()
      .catch(onBug)
      .finally(() => {
        this.#draining = null;
        this.#schedule();
      });
  }

  /** Writes one batch, or what the spool has of one. */
  async #drain(): Promise<void> {
    const [destination, delivery, numbers] = [this.#destination, this.#delivery, this.#numbers];
    if (destination === null || delivery === null || numbers === null || !this.#hasWork) return;
    if (this.#overflow?.isOn === true) await this.#overflow.replay({ delivery, numbers, ...destination });
    else await this.#write(delivery, numbers);
  }

  async #write(delivery: Delivery, numbers: Numbers): Promise<void> {
    const batch = this.#queue.head(MAX_BATCH_RECORDS, MAX_BATCH_BYTES);
    const records = batch.flatMap((item) => numbered(item, numbers));
    const isDone = records.length === 0 || (await delivery.deliver(records, () => this.#overflow?.isOn === true || this.#beginsToSpill()));
    if (this.#overflow?.isOn === true) {
      // The batch is in the spool, or will be, with the numbers that it has.
      this.#overflow.numberedAreDone = isDone;
    } else if (isDone) {
      this.#queue.shift(batch.length);
      this.#settled(batch);
    }
  }

  /** After a failed append: memory is kept free for what comes. */
  #beginsToSpill(): boolean {
    // Without the disk memory is all there is, and what is under way waits as long as it must.
    if (this.#overflow === null || this.#overflow.isRefused || this.#stopped) return false;
    void this.#spill();
    return true;
  }
}

/** Gives an item its number; what is tried again keeps the one that it has. */
function numbered(item: Queued, numbers: Numbers): RequestRecord[] {
  if (item.kind === "gap") {
    if (!item.isNumbered) for (const [partition, records] of item.counts) numbers.skip(partition, records);
    item.isNumbered = true;
    item.isClosed = true;
    return [];
  }
  const { partition, value } = item;
  if (value.seq === 0) value.seq = numbers.next(partition);
  return [{ topic: requests, partition, key: value.kind === "mark" ? null : value.subject, value }];
}

/** Waits for something, but not beyond a time (epoch ms). */
async function by(deadlineMs: number, work: Promise<unknown> | null): Promise<void> {
  if (work === null) return;
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, deadlineMs - Date.now()));
  });
  await Promise.race([work, deadline]);
  clearTimeout(timer);
}
