/** A token bucket of calls: as many at once as a minute allows, at least one, and refilled evenly. */
export class RateLimit {
  readonly #perMinute: number;
  readonly #nowMs: () => number;
  #calls: number;
  #atMs: number;

  /**
   * @param perMinute calls, above 0
   * @param nowMs a clock that never goes back, ms
   */
  constructor(perMinute: number, nowMs: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#nowMs = nowMs;
    this.#calls = this.#most;
    this.#atMs = nowMs();
  }

  /** A bucket that holds less than a call would never give one. */
  get #most(): number {
    return Math.max(1, this.#perMinute);
  }

  /** @returns 0 when the call may be made, which is then counted; else whole seconds until one may */
  take(): number {
    const nowMs = this.#nowMs();
    this.#calls = Math.min(this.#most, this.#calls + ((nowMs - this.#atMs) / 60_000) * this.#perMinute);
    this.#atMs = nowMs;
    if (this.#calls >= 1 - 1e-9) {
      this.#calls--;
      return 0;
    }
    return Math.max(1, Math.ceil(((1 - this.#calls) / this.#perMinute) * 60));
  }
}
