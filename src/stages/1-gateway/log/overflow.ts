import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import type { Delivery } from "./delivery.ts";
import { type MemoryQueue, type Queued, spooledOf } from "./memory-queue.ts";
import type { Numbers } from "./numbers.ts";
import type { Spooled } from "./spool/frames.ts";
import { recordsOf } from "./spool/replay.ts";
import type { Spool } from "./spool/spool.ts";

export interface OverflowOptions {
  readonly spool: Spool;
  readonly queue: MemoryQueue;
  readonly log: Logger;
  readonly onFailure: () => void;
  readonly onLost: (records: number) => void;
  readonly onReplay: (records: number) => void;
  /** Items have left the memory for the disk. */
  readonly onSpilled: (items: readonly Queued[]) => void;
}

export interface ReplayTo {
  readonly delivery: Delivery;
  readonly numbers: Numbers;
  readonly partitions: number;
  readonly partitionOf: (subject: string) => number;
}

const MAX_ITEMS = 256;
const MAX_BYTES = 1024 * 1024;
const MAX_FRAMES = 500;
const RETRY_MS = 1_000;

/**
 * Memory's way out while the log does not take records: once begun, everything goes from memory to the spool and from there to the log, until the
 * spool is empty.
 */
export class Overflow {
  /** The batch that was under way when this began has been acknowledged since: it is not sent from the spool again. */
  numberedAreDone = false;
  readonly #options: OverflowOptions;
  #isOn = false;
  /** Deletes what was read: nothing may be written meanwhile. */
  #isLeaving = false;
  /** The last of the spool is on its way: what comes now waits in memory, or steady traffic would keep the disk busy for ever. */
  #isCatchingUp = false;
  #spilling: Promise<void> | null = null;
  /** Goes before the first items: what the numbers were. */
  #preface: Spooled[] = [];
  #failures = 0;
  #problem: string | null = null;
  /** The disk refused to be written; tried again only then, ms of the monotonic clock. */
  #refusedUntilMs = Number.NEGATIVE_INFINITY;
  /** The spool had no room; tried again then, or as soon as some is given back: to find that out for each record that comes costs more than the call. */
  #fullUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: OverflowOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Whether the disk refused a moment ago. */
  get isRefused(): boolean {
    return performance.now() < this.#refusedUntilMs;
  }

  /** Why the disk took nothing when it was last written; null: it took it, or nothing is to be written now. */
  get problem(): string | null {
    return this.#problem;
  }

  /** @param last the numbers given so far, per partition; null while partitions are not known */
  begin(last: readonly number[] | null): Promise<void> {
    this.#isCatchingUp = false;
    if (!this.#isOn) {
      this.#isOn = true;
      this.numberedAreDone = false;
      this.#preface = last === null ? [] : [{ kind: "numbers", last: [...last] }];
      this.#options.log.warn({ records: this.#options.queue.records }, "the log is behind: records go to disk");
    }
    return this.spill();
  }

  /** Tries the disk once more, also when it has just refused: the process ends. */
  lastChance(): void {
    this.#refusedUntilMs = Number.NEGATIVE_INFINITY;
    this.#fullUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Moves what is in memory now to disk, as long as there is room. Resolves when nothing of it is under way any more. */
  spill(): Promise<void> {
    if (!this.#maySpill || this.isRefused || performance.now() < this.#fullUntilMs) return this.#spilling ?? Promise.resolve();
    this.#spilling ??= this.#spill().finally(() => {
      this.#spilling = null;
    });
    return this.#spilling;
  }

  /** Sends what comes next in the spool; when nothing is left, memory's records go straight to the log again. */
  async replay({ delivery, numbers, ...places }: ReplayTo): Promise<void> {
    const { spool, log } = this.#options;
    try {
      await this.spill();
      const chunk = await spool.next(MAX_FRAMES);
      if (chunk === null) {
        await this.#leave();
        return;
      }
      if (chunk.frames.length + chunk.lost >= spool.unreadFrames) this.#isCatchingUp = true;
      const records = recordsOf(chunk, numbers, { ...places, leaveOut: this.numberedAreDone });
      if (records.length > 0 && !(await delivery.deliver(records))) return;
      if (chunk.lost > 0) this.#options.onLost(chunk.lost);
      this.#options.onReplay(records.length);
      await spool.ack(numbers.last);
      this.#fullUntilMs = Number.NEGATIVE_INFINITY;
    } catch (error) {
      this.#failed(error, "the spool cannot be read");
      log.debug({ retryInMs: RETRY_MS }, "the spool is read again later");
      await pause(RETRY_MS);
    }
  }

  async close(): Promise<void> {
    await this.#spilling;
    await this.#options.spool.close();
  }

  get #maySpill(): boolean {
    return !this.#isLeaving && !this.#isCatchingUp;
  }

  async #spill(): Promise<void> {
    const { queue, spool, onSpilled } = this.#options;
    // What comes meanwhile is the next one's: who waits for this one would wait for ever where records come faster than the disk takes them.
    let left = queue.length;
    while (left > 0 && this.#maySpill) {
      const items = queue.head(Math.min(left, MAX_ITEMS), MAX_BYTES);
      // The time to stop is over, and what still waited was given up.
      if (items.length === 0) return;
      left -= items.length;
      const frames = [...this.#preface, ...items.flatMap((item) => spooledOf(item) ?? [])];
      try {
        if (!(await spool.append(frames))) {
          this.#fullUntilMs = performance.now() + RETRY_MS;
          return;
        }
      } catch (error) {
        this.#refusedUntilMs = performance.now() + RETRY_MS;
        this.#problem = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
        this.#failed(error, "the spool cannot be written: records wait in memory");
        return;
      }
      this.#problem = null;
      this.#preface = [];
      queue.shift(items.length);
      onSpilled(items);
    }
  }

  async #leave(): Promise<void> {
    const { spool } = this.#options;
    this.#isLeaving = true;
    try {
      // A write may have begun before the last of the spool was on its way, and have ended after it was read.
      await this.#spilling;
      if ((await spool.next(1)) !== null) return;
      await spool.clear();
      this.#fullUntilMs = Number.NEGATIVE_INFINITY;
      this.#isOn = false;
      this.#problem = null;
      this.#options.log.info("the spool is empty: records go straight to the log again");
    } finally {
      this.#isLeaving = false;
      this.#isCatchingUp = false;
    }
  }

  #failed(error: unknown, message: string): void {
    this.#options.onFailure();
    if (this.#failures++ % 60 === 0) this.#options.log.error({ err: error }, message);
  }
}
