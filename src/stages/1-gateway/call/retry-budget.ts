/** What a version may spend on retries. */
export interface RetryBudgetOptions {
  /** Retries as a share of first attempts, in percent. */
  readonly budgetPercent: number;
  /** Retries that are allowed each second however few calls there are. */
  readonly floorPerSecond: number;
}

/** Unused retries are kept for this long, so that a burst of failures can use what quiet seconds have saved. */
const KEPT_S = 10;
/** First attempts whose share is kept at most: a version with much traffic saves up no flood. */
const MOST_SAVED = 100;

/**
 * A token bucket of retries. Every first attempt pays in its share and every second the floor; a retry takes one. When an upstream fails for
 * everybody, retries are then a bounded extra and not twice the load.
 */
export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  readonly #nowMs: () => number;
  #fromCalls = 0;
  #fromTime: number;
  #atMs: number;

  /** @param nowMs a clock that never goes back, ms */
  constructor(options: RetryBudgetOptions, nowMs: () => number = () => performance.now()) {
    this.#options = options;
    this.#nowMs = nowMs;
    this.#atMs = nowMs();
    this.#fromTime = this.#mostFromTime;
  }

  /** A floor of less than one retry in that time still saves up for one. */
  get #mostFromTime(): number {
    const { floorPerSecond } = this.#options;
    return floorPerSecond === 0 ? 0 : Math.max(1, floorPerSecond * KEPT_S);
  }

  /** Counts a first attempt. */
  deposit(): void {
    this.#fromCalls = Math.min(MOST_SAVED, this.#fromCalls + this.#options.budgetPercent / 100);
  }

  /** @returns whether one retry may be made now; it is then paid for */
  withdraw(): boolean {
    const nowMs = this.#nowMs();
    this.#fromTime = Math.min(this.#mostFromTime, this.#fromTime + ((nowMs - this.#atMs) / 1000) * this.#options.floorPerSecond);
    this.#atMs = nowMs;
    // Rounding of tenths must not cost the tenth call its retry.
    if (this.#fromCalls >= 1 - 1e-9) {
      this.#fromCalls = Math.max(0, this.#fromCalls - 1);
      return true;
    }
    if (this.#fromTime < 1 - 1e-9) return false;
    this.#fromTime = Math.max(0, this.#fromTime - 1);
    return true;
  }
}
