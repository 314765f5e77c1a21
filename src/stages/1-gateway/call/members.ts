/** What can be a member of one collection at a time: it knows its place in it. */
export interface Member {
  /** Kept by the collection; -1: it is a member of none. */
  place: number;
}

/**
 * Members that come and go with every call. A Set would do the same and cost much more: each time V8 makes a new table for one, the old table points to it, so
 * that one old table that outlived its Set's growth keeps all that come after it, and with them nearly every call, until the next full collection.
 */
export class Members<T extends Member> implements Iterable<T> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  add(member: T): void {
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** Does nothing when it is not a member any more. */
  delete(member: T): void {
    const { place } = member;
    if (place < 0) return;
    member.place = -1;
    const last = this.#members.pop();
    if (last === undefined || last === member) return;
    last.place = place;
    this.#members[place] = last;
  }

  /** Those that are members when it begins, in no order; they may leave meanwhile. */
  [Symbol.iterator](): IterableIterator<T> {
    return [...this.#members].values();
  }
}
