/** So far the wall clock may be set back without being followed, ms: far more than the 5 s beyond which readers take a time for one of a wrong clock. */
const MOST_BEHIND_MS = 60_000;

/**
 * Wall clock that does not go back: event times and marks of one instance must not, or a mark that was given would be broken. After a
 * backward jump it stands still until the wall clock has caught up.
 *
 * One exception: a clock that was wrong by more than a minute and is right again is followed back, or every call until the next restart would have a date of the
 * future. Readers have held the marks from then down to their append time, and keep the highest of an instance, so none of theirs goes back.
 */
export class EventClock {
  readonly #wallMs: () => number;
  readonly #onResync: (behindMs: number) => void;
  #lastMs = 0;

  /** @param onResync told when the clock goes back, and by how much, ms */
  constructor(wallMs: () => number = Date.now, onResync: (behindMs: number) => void = () => undefined) {
    this.#wallMs = wallMs;
    this.#onResync = onResync;
  }

  nowMs(): number {
    const wallMs = Math.floor(this.#wallMs());
    const behindMs = this.#lastMs - wallMs;
    this.#lastMs = behindMs > MOST_BEHIND_MS ? wallMs : Math.max(this.#lastMs, wallMs);
    if (behindMs > MOST_BEHIND_MS) this.#onResync(behindMs);
    return this.#lastMs;
  }
}
