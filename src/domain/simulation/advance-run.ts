import { addAdvance } from "../stats/kernel.ts";

/** The advance process of one test in the present step. */
export class AdvanceRun {
  readonly #q: Float64Array;
  readonly #weights: Float64Array;
  readonly #ceiling: number;
  isSafe = false;

  /** @param ceiling ln(1/alpha_adv) of the attempt, nano-nats */
  constructor(weights: Float64Array, ceiling: number) {
    this.#q = new Float64Array(weights.length);
    this.#weights = weights;
    this.#ceiling = ceiling;
  }

  /** Starts at 1, with the step. */
  reset(): void {
    this.#q.fill(0);
    this.isSafe = false;
  }

  /** Multiplies a block in: reflection and latch as `addToAdvance` has them. */
  add(increments: Float64Array, deff: number): void {
    if (deff === 1 && !this.isSafe && this.#staysBelow(increments)) return;
    this.isSafe = addAdvance(this.#q, increments, this.#weights, this.#ceiling, this.isSafe, deff);
  }

  /** Adds, when no component can lift the mixture to the ceiling: then there is nothing to cut, and nothing to latch. */
  #staysBelow(increments: Float64Array): boolean {
    const q = this.#q;
    for (let k = 0; k < q.length; k++) {
      const sum = (q[k] ?? 0) + (increments[k] ?? Number.NaN);
      if (!(sum < this.#ceiling - 1 && sum > -1e15)) return false;
    }
    for (let k = 0; k < q.length; k++) q[k] = (q[k] ?? 0) + (increments[k] ?? 0);
    return true;
  }
}
