import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { type Request, requests } from "../../../../../topics/index.ts";
import { Delivery, type RequestRecord } from "../delivery.ts";
import { markRecord } from "../mark-record.ts";
import { Numbers } from "../numbers.ts";
import type { Destination, DropReason } from "../request-log.ts";
import { recordsOf } from "./replay.ts";
import { ForeignSpool, Spool, type SpoolOptions } from "./spool.ts";

export interface LeftoversOptions extends Pick<SpoolOptions, "prefix" | "space" | "onDamage"> {
  /** Holds one directory for each process that spools or has spooled. */
  readonly root: string;
  /** Of them, this process's own. */
  readonly own: string;
  readonly log: Logger;
  readonly onDrop: (reason: DropReason, records: number) => void;
  readonly onAppendFailure: () => void;
  readonly onFailure: () => void;
  readonly onReplay: (records: number) => void;
}

const MAX_FRAMES = 500;
const RETRY_MS = 2_000;
const backoffMs = { first: 100, longest: 5_000 };

/**
 * Writes what dead processes left in their spools, under their names and numbers, beside the records of this one: order and numbers are a matter of
 * one instance. Live processes keep theirs, and other installations what is of them.
 */
export class Leftovers {
  readonly #options: LeftoversOptions;
  #running: Promise<void> | null = null;
  #delivery: Delivery | null = null;
  #isStopped = false;
  #open: string | null = null;
  /** Directories with records of another installation. */
  readonly #foreign = new Set<string>();

  constructor(options: LeftoversOptions) {
    this.#options = options;
  }

  /** Name of the directory that is being read now. */
  get open(): string | null {
    return this.#open;
  }

  /** Looks for spools without a process and writes them to the log; one look at a time. */
  look(destination: Destination): void {
    if (this.#isStopped) return;
    this.#running ??= this.#look(destination).finally(() => {
      this.#running = null;
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#delivery?.end();
    await this.#running;
  }

  async #look(destination: Destination): Promise<void> {
    const { root, own } = this.#options;
    const entries = await readdir(root, { withFileTypes: true }).catch((error: unknown) => this.#failed(error, root));
    const names = (entries ?? []).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
    for (const name of names.sort()) {
      if (name === own || this.#isStopped) continue;
      // One that cannot be read holds up no other.
      this.#open = name;
      await this.#replay(join(root, name), destination).catch((error: unknown) => this.#failed(error, join(root, name)));
      this.#open = null;
    }
  }

  async #failed(error: unknown, directory: string): Promise<null> {
    if (error instanceof ForeignSpool) {
      this.#leave(error, directory);
      return null;
    }
    this.#options.onFailure();
    this.#options.log.error({ err: error, directory }, "what earlier processes left cannot be read; it is tried again in a minute");
    if (!this.#isStopped) await pause(RETRY_MS);
    return null;
  }

  /** Told once: it stays so until a person does something. */
  #leave(error: ForeignSpool, directory: string): void {
    if (this.#foreign.has(directory)) return;
    this.#foreign.add(directory);
    this.#options.onFailure();
    this.#options.log.error({ directory }, error.message);
  }

  async #replay(directory: string, destination: Destination): Promise<void> {
    const { prefix, space, onDamage, log, onAppendFailure, onDrop, onReplay } = this.#options;
    const spool = await Spool.open({ directory, prefix, space, onDamage });
    if (spool === null) return;
    const delivery = new Delivery({ ...destination, log, backoffMs, onFailure: onAppendFailure, onRefusal: () => onDrop("refused", 1) });
    this.#delivery = delivery;
    const numbers = new Numbers(destination.partitions);
    numbers.goOnAfter(spool.found ?? []);
    let total = 0;
    let lastRead: Request | null = null;
    try {
      for (let chunk = await spool.next(MAX_FRAMES); chunk !== null; chunk = await spool.next(MAX_FRAMES)) {
        const records = recordsOf(chunk, numbers, destination);
        lastRead = records.at(-1)?.value ?? lastRead;
        // Nothing of this instance follows a loss at the end: without a record behind it nobody would see its gap.
        if (chunk.frames.length === 0 && lastRead !== null) records.push(endOf(lastRead, numbers.next(0)));
        if (this.#isStopped || (records.length > 0 && !(await delivery.deliver(records)))) return;
        if (chunk.lost > 0) onDrop("spool_damaged", chunk.lost);
        await spool.ack(numbers.last);
        total += records.length;
        onReplay(records.length);
      }
      await spool.clear();
      log.info({ directory, records: total }, "what an earlier process left is written");
    } finally {
      this.#delivery = null;
      await spool.close();
    }
  }
}

const endOf = ({ instance, markMs }: Request, seq: number): RequestRecord => ({
  topic: requests,
  partition: 0,
  key: null,
  value: markRecord(instance, seq, markMs),
});
