import { KnownError } from "../../errors/known-error.ts";

/**
 * Which records of a partition are finished when they finish out of order. The committed offset is that of the oldest
 * record that is not; what is finished above it stands in the commit's metadata, as its complement: the few offsets below
 * the frontier that are *not* finished. So a result is published once although its records are read again, and the
 * metadata stays as small as the window, however far one slow record lags behind.
 *
 * Metadata: `1;<frontier>;<gap>.<gap>...`, numbers in base 36, the first gap absolute, the others as steps from the one before.
 *
 * @see Confluent parallel-consumer, which writes bit sets or run lengths of the finished offsets instead
 */
export class FinishedWindow {
  /** Every offset below is finished, unless it is in `open` or `gaps`. */
  #frontier: number;
  /** Restored gaps that have not been read again yet. */
  readonly #gaps: Set<number>;
  /** Read and not published, in rising order (a Map keeps the order of insertion). */
  readonly #open = new Set<number>();
  #nextOffset: number;

  /**
   * @param committed the committed offset, 0 when there is none
   * @param metadata as `plan` wrote it; empty: nothing is finished above the committed offset
   * @throws {KnownError} LAYOUT_UNKNOWN when another version wrote it
   */
  constructor(committed: number, metadata: string) {
    const { frontier, gaps } = metadata === "" ? { frontier: committed, gaps: [] } : decode(metadata);
    this.#frontier = Math.max(frontier, committed);
    this.#gaps = new Set(gaps.filter((offset) => offset >= committed));
    this.#nextOffset = committed;
  }

  /** Records read and not published. */
  get size(): number {
    return this.#open.size;
  }

  /** Offsets from the oldest unfinished record to the newest one read. */
  get span(): number {
    const [oldest] = this.#open;
    return oldest === undefined ? 0 : this.#nextOffset - oldest;
  }

  /** Notes a record that was read; offsets rise. @returns false when it was finished before and there is nothing to do */
  take(offset: number): boolean {
    const isGap = this.#gaps.has(offset);
    this.skip(offset);
    if (offset < this.#frontier && !isGap) return false;
    this.#open.add(offset);
    return true;
  }

  /** Notes a record that needs no work (it went to the dead-letter topic). */
  skip(offset: number): void {
    this.#nextOffset = Math.max(this.#nextOffset, offset + 1);
    // Gaps that were passed over are gone from the log, or taken now.
    for (const gap of this.#gaps) if (gap <= offset) this.#gaps.delete(gap);
  }

  /**
   * What to commit when these records are published, the oldest first; as many of them as the metadata has room for.
   *
   * @param ready offsets that were taken and whose results are complete
   * @param maxBytes room in the metadata
   * @returns null when none can be published
   */
  plan(ready: readonly number[], maxBytes: number): { readonly published: readonly number[]; readonly offset: number; readonly metadata: string } | null {
    const sorted = [...ready].sort((a, b) => a - b);
    for (let take = sorted.length; take > 0; take = Math.floor(take / 2)) {
      const published = sorted.slice(0, take);
      const { offset, metadata } = this.#after(published);
      if (metadata.length <= maxBytes) return { published, offset, metadata };
    }
    return null;
  }

  #after(published: readonly number[]): { offset: number; metadata: string } {
    const leaving = new Set(published);
    const frontier = Math.max(this.#frontier, (published.at(-1) ?? -1) + 1);
    const unfinished = [...this.#open].filter((offset) => !leaving.has(offset));
    const gaps = [...unfinished, ...this.#gaps].filter((offset) => offset < frontier).sort((a, b) => a - b);
    const offset = unfinished[0] ?? this.#nextOffset;
    return { offset, metadata: frontier <= offset ? "" : encode(frontier, gaps) };
  }

  /** The records of a plan are published for good. */
  published(offsets: readonly number[]): void {
    for (const offset of offsets) {
      this.#open.delete(offset);
      this.#frontier = Math.max(this.#frontier, offset + 1);
    }
  }
}

const layout = "1";

function encode(frontier: number, gaps: readonly number[]): string {
  const steps = gaps.map((offset, i) => (offset - (gaps[i - 1] ?? 0)).toString(36));
  return `${layout};${frontier.toString(36)};${steps.join(".")}`;
}

function decode(metadata: string): { frontier: number; gaps: number[] } {
  if (!/^1;[0-9a-z]+;([0-9a-z]+(\.[0-9a-z]+)*)?$/.test(metadata)) {
    throw new KnownError("LAYOUT_UNKNOWN", "the judge's commit metadata was written by a version that this one does not know", {
      fix: "start the newer version again; it can read its own",
    });
  }
  const [, frontier = "", steps = ""] = metadata.split(";");
  const gaps: number[] = [];
  for (const step of steps === "" ? [] : steps.split(".")) gaps.push((gaps.at(-1) ?? 0) + Number.parseInt(step, 36));
  return { frontier: Number.parseInt(frontier, 36), gaps };
}
