interface Link<V> {
  readonly key: string;
  value: V;
  before: Link<V> | null;
  after: Link<V> | null;
}

interface Walk<V> {
  next: Link<V> | null;
}

/**
 * A bounded map in the order in which its keys were set last: exactly the newest `max` are kept. Linked, and not in a Map's own order: a Map that is filled at
 * one end and emptied at the other is searched for its first entry past all that were deleted, which takes 0.1 ms at 100,000 entries.
 */
export class Newest<V> {
  readonly #max: number;
  readonly #links = new Map<string, Link<V>>();
  readonly #walks = new Set<Walk<V>>();
  #first: Link<V> | null = null;
  #last: Link<V> | null = null;

  /** @param max entries that are kept, at least 1 */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#links.size;
  }

  get(key: string): V | undefined {
    return this.#links.get(key)?.value;
  }

  /** Puts it last. */
  set(key: string, value: V): void {
    const known = this.#links.get(key);
    if (known !== undefined) {
      known.value = value;
      if (known === this.#last) return;
      this.#unlink(known);
      this.#append(known);
      return;
    }
    const link: Link<V> = { key, value, before: null, after: null };
    this.#links.set(key, link);
    this.#append(link);
    if (this.#links.size > this.#max) this.#takeFirst();
  }

  /**
   * Reads the last `count` in their order, one after the other, while it may change: what is set meanwhile is put last, and read again there. So whoever sets
   * elsewhere what comes, and each change when it is made, has the same in the end, in the same order. What is not read to its end is to be ended (`return`).
   */
  *walk(count: number): Generator<[string, V]> {
    const walk: Walk<V> = { next: this.#from(count) };
    this.#walks.add(walk);
    try {
      for (let link = walk.next; link !== null; link = walk.next) {
        walk.next = link.after;
        yield [link.key, link.value];
      }
    } finally {
      this.#walks.delete(walk);
    }
  }

  #from(count: number): Link<V> | null {
    if (count >= this.#links.size) return this.#first;
    let from: Link<V> | null = null;
    for (let i = 0; i < count; i++) from = from === null ? this.#last : from.before;
    return from;
  }

  /** Takes out the first `count`, or all when there are fewer. */
  shift(count: number): V[] {
    const taken: V[] = [];
    while (taken.length < count) {
      const first = this.#takeFirst();
      if (first === null) break;
      taken.push(first.value);
    }
    return taken;
  }

  #takeFirst(): Link<V> | null {
    const first = this.#first;
    if (first === null) return null;
    this.#unlink(first);
    this.#links.delete(first.key);
    return first;
  }

  #append(link: Link<V>): void {
    link.before = this.#last;
    link.after = null;
    if (this.#last === null) this.#first = link;
    else this.#last.after = link;
    this.#last = link;
  }

  #unlink(link: Link<V>): void {
    const { before, after } = link;
    if (this.#walks.size > 0) for (const walk of this.#walks) if (walk.next === link) walk.next = after;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
  }
}
