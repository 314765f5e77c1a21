/** An answer that took longer than this says that Kafka was away meanwhile, not that it was there; ms. */
const promptMs = 3_000;
/** So many times in a row nothing may have come although Kafka answers. */
const mostSuspicions = 2;

/**
 * Finds out that kafkajs has stopped fetching without an error, which it has been seen to do. Silence alone proves nothing, for Kafka may be away: it counts
 * only when Kafka answers promptly, twice, a silence apart, and nothing has come since it was asked.
 */
export class StallWatch {
  readonly #silenceMs: number;
  readonly #reach: () => Promise<void>;
  readonly #now: () => number;
  #signAtMs: number;
  #lookedAtMs: number;
  #isAsking = false;
  #suspicions = 0;

  /**
   * @param silenceMs how long without a sign is suspicious
   * @param reach rejects when Kafka does not answer
   * @param now monotonic, ms
   */
  constructor(silenceMs: number, reach: () => Promise<void>, now: () => number) {
    this.#silenceMs = silenceMs;
    this.#reach = reach;
    this.#now = now;
    this.#signAtMs = now();
    this.#lookedAtMs = this.#signAtMs;
  }

  /** The consumer does something. */
  sign(): void {
    this.#signAtMs = this.#now();
    this.#suspicions = 0;
  }

  /** To be called again and again, also while an earlier call is not over. @returns true when the consumer has stopped */
  async look(): Promise<boolean> {
    const askedAtMs = this.#now();
    if (this.#isAsking || askedAtMs - Math.max(this.#signAtMs, this.#lookedAtMs) < this.#silenceMs) return false;
    this.#isAsking = true;
    const isUp = await this.#reach().then(
      () => true,
      () => false,
    );
    this.#isAsking = false;
    this.#lookedAtMs = this.#now();
    if (isUp && this.#lookedAtMs - askedAtMs <= promptMs && this.#signAtMs <= askedAtMs) this.#suspicions++;
    else this.#suspicions = 0;
    return this.#suspicions >= mostSuspicions;
  }
}
