import type { Request } from "../../../../topics/index.ts";
import type { Spooled } from "./spool/frames.ts";

/** A record that waits. `partition` is -1 until partitions are known, `value.seq` 0 until it is numbered. */
export interface QueuedRecord {
  readonly kind: "record";
  partition: number;
  readonly value: Request;
  readonly bytes: number;
}
/** Records that were dropped at this place, per partition (-1: not known). */
interface QueuedGap {
  readonly kind: "gap";
  readonly counts: Map<number, number>;
  isNumbered: boolean;
  /** It has been written down as it is, or is about to be: what is lost from now on makes a new one. */
  isClosed: boolean;
}
export type Queued = QueuedRecord | QueuedGap;

/** Records and losses in the order in which they happened, bounded: losses next to each other take one place. */
export class MemoryQueue {
  readonly #max: { readonly records: number; readonly bytes: number };
  #items: Queued[] = [];
  records = 0;
  bytes = 0;

  constructor(max: { readonly records: number; readonly bytes: number }) {
    this.#max = max;
  }

  /** Records and losses that wait. */
  get length(): number {
    return this.#items.length;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  /** When the oldest record that waits was queued, epoch ms; null: none waits. */
  get oldestMs(): number | null {
    for (const item of this.#items) if (item.kind === "record") return item.value.endedAtMs;
    return null;
  }

  get isHalfFull(): boolean {
    return this.records * 2 >= this.#max.records || this.bytes * 2 >= this.#max.bytes;
  }

  hasRoomFor(bytes: number): boolean {
    return this.records < this.#max.records && this.bytes + bytes <= this.#max.bytes;
  }

  push(record: QueuedRecord): void {
    this.#items.push(record);
    this.records++;
    this.bytes += record.bytes;
  }

  /** A record that finds no room. */
  lose(partition: number): void {
    let last = this.#items.at(-1);
    if (last?.kind !== "gap" || last.isClosed) {
      last = { kind: "gap", counts: new Map(), isNumbered: false, isClosed: false };
      this.#items.push(last);
    }
    last.counts.set(partition, (last.counts.get(partition) ?? 0) + 1);
  }

  *all(): IterableIterator<Queued> {
    yield* this.#items;
  }

  /** What comes first, at least one item if there is one. */
  head(maxItems: number, maxBytes: number): readonly Queued[] {
    let bytes = 0;
    const end = this.#items.findIndex((item, i) => {
      bytes += item.kind === "record" ? item.bytes : 0;
      return i > 0 && (i >= maxItems || bytes > maxBytes);
    });
    return end < 0 ? this.#items.slice() : this.#items.slice(0, end);
  }

  shift(items: number): void {
    for (const item of this.#items.splice(0, items)) {
      if (item.kind !== "record") continue;
      this.records--;
      this.bytes -= item.bytes;
    }
  }
}

/** As it goes to disk; null when nothing of it has to. A gap is closed by that. */
export function spooledOf(item: Queued): Spooled | null {
  if (item.kind === "record") return { kind: "record", partition: item.partition, value: item.value };
  item.isClosed = true;
  return item.isNumbered ? null : { kind: "gap", counts: [...item.counts] };
}
