import { hash32 } from "../hash/hash32.ts";

/** What a record says about the instance that wrote it. */
export interface Stamp {
  readonly instance: string;
  readonly seq: number;
  readonly markMs: number;
  readonly appendedAtMs: number;
}

/**
 * How a record follows the last one of its instance. `lost`: how many numbers were skipped. `unnumbered`: the writer has no numbers (0), so that
 * repeats cannot be told.
 */
export type Arrival = { readonly kind: "next"; readonly lost: number } | { readonly kind: "repeat" } | { readonly kind: "unnumbered" };

interface Instance {
  seq: number;
  markMs: number;
  appendedAtMs: number;
}

/** An instance whose last record is so far behind the newest of its partition no longer holds the watermark, ms. */
export const INSTANCE_SILENT_MS = 30_000;

/** A time that is so far ahead of the broker's append time comes from a wrong clock, ms. */
export const CLOCK_SKEW_MS = 5_000;

/**
 * Bytes of commit metadata, of 4,000 in all. An instance takes 14 to 34: the limit is about 120 instances per partition; of more, those that wrote
 * last are kept. A forgotten one that writes again starts anew: its next repeats are told, a repeat of what it wrote before is not.
 */
export const BOOK_BYTES = 3_900;

const FORMAT = "i1";
const BASE = 36;
const SECOND_SEED = 0x1f83d9ab;

/** Clamps a time that a writer's clock put more than 5 s after the append time. */
export function clampToAppend(atMs: number, appendedAtMs: number): { readonly atMs: number; readonly clamped: boolean } {
  const clamped = atMs > appendedAtMs + CLOCK_SKEW_MS;
  return { atMs: clamped ? appendedAtMs : atMs, clamped };
}

/** Names are as long as their writers like; 64 bits of hash tell them apart. */
const idOf = (name: string): string => `${hash32(name).toString(BASE)}.${hash32(name, SECOND_SEED).toString(BASE)}`;

/**
 * What one partition of `requests` knows of the instances that write to it: the last sequence number of each, to drop repeats and count losses, and
 * their marks, whose minimum is the partition's watermark. A function of the log alone, small enough to be committed with the offset.
 */
export class InstanceBook {
  #instances = new Map<string, Instance>();
  #newestMs = 0;
  #watermarkMs: number | null = null;

  /** No call that ended before it is still to come from a live instance, epoch ms; never goes back. null: nothing was seen. */
  get watermarkMs(): number | null {
    return this.#watermarkMs;
  }

  get size(): number {
    return this.#instances.size;
  }

  /** Takes the stamp of the next record of the partition. */
  take(stamp: Stamp): Arrival {
    const id = idOf(stamp.instance);
    const known = this.#instances.get(id);
    if (known !== undefined && stamp.seq > 0 && stamp.seq <= known.seq) return { kind: "repeat" };
    const markMs = Math.max(known?.markMs ?? 0, clampToAppend(stamp.markMs, stamp.appendedAtMs).atMs);
    this.#newestMs = Math.max(this.#newestMs, stamp.appendedAtMs);
    // Kept in order of activity: the first of the map is the one to forget.
    this.#instances.delete(id);
    this.#instances.set(id, { seq: stamp.seq > 0 ? stamp.seq : (known?.seq ?? 0), markMs, appendedAtMs: stamp.appendedAtMs });
    this.#advance();
    if (stamp.seq === 0) return { kind: "unnumbered" };
    return { kind: "next", lost: known === undefined || known.seq === 0 ? 0 : stamp.seq - known.seq - 1 };
  }

  #advance(): void {
    let least = Number.POSITIVE_INFINITY;
    for (const { markMs, appendedAtMs } of this.#instances.values()) {
      if (appendedAtMs >= this.#newestMs - INSTANCE_SILENT_MS) least = Math.min(least, markMs);
    }
    if (Number.isFinite(least)) this.#watermarkMs = Math.max(this.#watermarkMs ?? 0, least);
  }

  /**
   * The book as commit metadata, at most `BOOK_BYTES` long: `i1|newest append|watermark|id:seq:mark:append|...`, numbers in base 36, times of an
   * instance relative to the newest append time, the most recently active last. What finds no room is forgotten here too, so that a successor
   * knows exactly what this owner knows.
   *
   * @returns the text, and how many instances that are not silent were forgotten
   */
  encode(): { readonly text: string; readonly forgotten: number } {
    const head = `${FORMAT}|${this.#newestMs.toString(BASE)}|${this.#watermarkMs?.toString(BASE) ?? ""}`;
    const parts: string[] = [];
    const kept: [string, Instance][] = [];
    let room = BOOK_BYTES - head.length;
    let forgotten = 0;
    for (const [id, instance] of [...this.#instances].reverse()) {
      const { seq, markMs, appendedAtMs } = instance;
      const part = `|${id}:${seq.toString(BASE)}:${(this.#newestMs - markMs).toString(BASE)}:${(this.#newestMs - appendedAtMs).toString(BASE)}`;
      room -= part.length;
      if (room >= 0) {
        parts.push(part);
        kept.push([id, instance]);
      } else if (appendedAtMs >= this.#newestMs - INSTANCE_SILENT_MS) forgotten++;
    }
    this.#instances = new Map(kept.reverse());
    return { text: head + parts.reverse().join(""), forgotten };
  }

  /** @throws {Error} when the text was not written by `encode` */
  static decode(text: string): InstanceBook {
    const book = new InstanceBook();
    if (text === "") return book;
    const [format, newest = "", watermark = "", ...parts] = text.split("|");
    if (format !== FORMAT) throw new Error(`commit metadata of format ${format} instead of ${FORMAT}`);
    book.#newestMs = Number.parseInt(newest, BASE);
    book.#watermarkMs = watermark === "" ? null : Number.parseInt(watermark, BASE);
    for (const part of parts) {
      const [id = "", seq = "", mark = "", append = ""] = part.split(":");
      const instance = {
        seq: Number.parseInt(seq, BASE),
        markMs: book.#newestMs - Number.parseInt(mark, BASE),
        appendedAtMs: book.#newestMs - Number.parseInt(append, BASE),
      };
      if (Object.values(instance).some(Number.isNaN)) throw new Error(`commit metadata that cannot be read: ${part}`);
      book.#instances.set(id, instance);
    }
    return book;
  }
}
