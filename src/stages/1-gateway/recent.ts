/**
 * A map of what came lately. When it is full the older half is forgotten at once, which costs less than keeping an order: of `max` entries at least the
 * youngest half is always known.
 */
export class Recent<V> {
  readonly #half: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  /** @param max entries that are held */
  constructor(max: number) {
    this.#half = max / 2;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** What was found is one of the youngest from now on. */
  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#half) [this.#old, this.#young] = [this.#young, new Map()];
    this.#young.set(key, value);
  }
}
