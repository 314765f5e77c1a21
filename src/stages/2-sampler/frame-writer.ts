import { type Entry, type Frame, partials } from "../../../topics/index.ts";
import { framesOf } from "../../domain/signals/frames.ts";
import type { Outgoing } from "../../runtime/port.ts";

/** A watermark that moved is worth a frame without entries so often, ms. */
const WATERMARK_EVERY_MS = 1_000;
/** A position that moved without anything else is worth one so often, ms: it is what lets the offset be committed. */
const POSITION_EVERY_MS = 10_000;

interface Told {
  atMs: number;
  watermarkMs: number | null;
  toOffset: number;
}

/**
 * Spreads entries over the partitions of routes, and tells every one of them the source's watermark: with entries at once, without at most once a
 * second.
 */
export class FrameWriter {
  readonly #sourcePartition: number;
  readonly #partitionOf: (route: string) => number;
  readonly #told: Told[];

  constructor(sourcePartition: number, about: { readonly partitions: number; readonly fromOffset: number; readonly partitionOf: (route: string) => number }) {
    this.#sourcePartition = sourcePartition;
    this.#partitionOf = about.partitionOf;
    const { fromOffset } = about;
    this.#told = Array.from({ length: about.partitions }, () => ({ atMs: Number.NEGATIVE_INFINITY, watermarkMs: null, toOffset: fromOffset }));
  }

  /** @param toOffset first offset of the source that is not counted in `entries` or before */
  write(entries: readonly Entry[], about: { readonly toOffset: number; readonly watermarkMs: number | null; readonly nowMs: number }): Outgoing[] {
    const { toOffset, watermarkMs, nowMs } = about;
    const parts = new Map<number, Entry[]>();
    for (const entry of entries) {
      const partition = this.#partitionOf(entry.route);
      const part = parts.get(partition);
      if (part === undefined) parts.set(partition, [entry]);
      else part.push(entry);
    }
    return this.#told.flatMap((told, partition) => {
      const part = parts.get(partition) ?? [];
      if (part.length === 0 && !isDue(told, about)) return [];
      const source = { source: "requests", sourcePartition: this.#sourcePartition, fromOffset: told.toOffset, toOffset, watermarkMs };
      Object.assign(told, { atMs: nowMs, watermarkMs, toOffset });
      return framesOf(source, part).map((value: Frame): Outgoing => ({ topic: partials, partition, key: null, value }));
    });
  }
}

function isDue(
  told: Told,
  { toOffset, watermarkMs, nowMs }: { readonly toOffset: number; readonly watermarkMs: number | null; readonly nowMs: number },
): boolean {
  const sinceMs = nowMs - told.atMs;
  if (told.watermarkMs !== watermarkMs) return sinceMs >= WATERMARK_EVERY_MS;
  return told.toOffset !== toOffset && sinceMs >= POSITION_EVERY_MS;
}
