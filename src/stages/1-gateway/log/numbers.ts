/**
 * Sequence numbers of one instance, contiguous from 1 in each partition. A record that is lost uses its number up, so that readers see the loss. A
 * function of the order of records and losses alone: whoever reads the same order again gives the same numbers.
 */
export class Numbers {
  readonly #last: number[];

  constructor(partitions: number) {
    this.#last = Array.from({ length: partitions }, () => 0);
  }

  /** The last number given, per partition. */
  get last(): readonly number[] {
    return this.#last;
  }

  next(partition: number): number {
    return this.#add(partition, 1);
  }

  /** Uses up numbers. What was lost before the partitions were known leaves its gap in partition 0. */
  skip(partition: number, records: number): void {
    this.#add(Math.max(0, partition), records);
  }

  /** Goes on after numbers that were given before; never back. */
  goOnAfter(last: readonly number[]): void {
    for (const [partition, seq] of last.entries()) if (partition < this.#last.length) this.#last[partition] = Math.max(this.#last[partition] ?? 0, seq);
  }

  #add(partition: number, by: number): number {
    const last = this.#last[partition];
    if (last === undefined) throw new Error(`no partition ${partition} of ${this.#last.length}`);
    this.#last[partition] = last + by;
    return last + by;
  }
}
