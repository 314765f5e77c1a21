/**
 * Wall clock that never goes back: event times and marks of one instance must not, or a mark that was given would be broken. After a
 * backward jump it stands still until the wall clock has caught up.
 */
export class EventClock {
  readonly #wallMs: () => number;
  #lastMs = 0;

  constructor(wallMs: () => number = Date.now) {
    this.#wallMs = wallMs;
  }

  nowMs(): number {
    this.#lastMs = Math.max(this.#lastMs, Math.floor(this.#wallMs()));
    return this.#lastMs;
  }
}
