/** Callers slow down when the newest records of a topic are this old when they are read, ms: the judge has `grace.judge`, and this is well within it. */
const TOO_LATE_MS = 3_000;
/** They go faster again below this. */
const GOOD_MS = 1_500;
/** What is slowed down takes as long to be seen. */
const CALM_MS = 3_000;
const START = 0.5;
const SLOWEST = 0.08;

/**
 * How fast the callers go, as a share of the rates that the stories ask for: what this machine can carry, so that a slow machine shows
 * fewer calls and not a judge that comes too late. Additive increase, multiplicative decrease, on the age of records when the demo reads
 * them from the topics. It starts at half, because the first seconds of every process are its slowest.
 */
export class Pace {
  /** In (0, 1]. */
  factor = START;
  slowest = START;
  /** Seconds in a row in which records came, and none was late. */
  settledFor = 0;
  readonly #ages = new Map<string, number[]>();
  #calmUntilMs = 0;

  /** The age of a record when it was read, ms. */
  saw(topic: string, ageMs: number): void {
    const known = this.#ages.get(topic);
    if (known) known.push(ageMs);
    else this.#ages.set(topic, [ageMs]);
  }

  /** Sets the pace by what was seen since the last time; once a second. */
  adjust(nowMs: number): void {
    const worst = Math.max(0, ...[...this.#ages.values()].map(ninthDecile));
    this.settledFor = this.#ages.size > 0 && worst < GOOD_MS ? this.settledFor + 1 : 0;
    this.#ages.clear();
    if (worst > TOO_LATE_MS) {
      if (nowMs < this.#calmUntilMs) return;
      this.factor = Math.max(SLOWEST, this.factor * 0.7);
      this.slowest = Math.min(this.slowest, this.factor);
      this.#calmUntilMs = nowMs + CALM_MS;
    } else if (worst < GOOD_MS) this.factor = Math.min(1, this.factor + 0.04);
  }
}

function ninthDecile(ages: readonly number[]): number {
  return [...ages].sort((a, b) => a - b)[Math.floor(0.9 * ages.length)] ?? 0;
}
