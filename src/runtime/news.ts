/** Most that is remembered; more than an outage has to say. */
const mostReasons = 50;

/** Tells what is new from what has been told lately: an outage says the same few things over and over, in turn. */
export class News {
  readonly #againMs: number;
  readonly #now: () => number;
  readonly #toldAtMs = new Map<string, number>();

  /**
   * @param againMs after how long the same is news again
   * @param now monotonic, ms
   */
  constructor(againMs: number, now: () => number) {
    this.#againMs = againMs;
    this.#now = now;
  }

  /** Whether this has not been told for a while; if so, it is told now. */
  isNew(reason: string): boolean {
    const nowMs = this.#now();
    const toldAtMs = this.#toldAtMs.get(reason);
    if (toldAtMs !== undefined && nowMs - toldAtMs <= this.#againMs) return false;
    if (this.#toldAtMs.size >= mostReasons) this.#toldAtMs.clear();
    this.#toldAtMs.set(reason, nowMs);
    return true;
  }
}
