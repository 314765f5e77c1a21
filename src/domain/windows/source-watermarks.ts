/**
 * The watermarks of all partitions of `requests`, as their frames tell them. Event time has passed a point only when every source says so: a
 * source that never spoke holds everything, because nothing is known of the calls in it.
 */
export class SourceWatermarks {
  readonly #marks: (number | null)[];

  constructor(sources: number) {
    this.#marks = new Array<number | null>(sources).fill(null);
  }

  take(sourcePartition: number, watermarkMs: number): void {
    if (sourcePartition >= this.#marks.length) return;
    this.#marks[sourcePartition] = Math.max(this.#marks[sourcePartition] ?? 0, watermarkMs);
  }

  /** The minimum over all sources, epoch ms; null while one of them has not been seen. */
  get leastMs(): number | null {
    let least: number | null = null;
    for (const mark of this.#marks) {
      if (mark === null) return null;
      least = least === null ? mark : Math.min(least, mark);
    }
    return least;
  }
}
