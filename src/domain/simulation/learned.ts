import { HALF_LIFE_MS, PRIOR_RECORDS } from "../stats/bet.ts";
import { exp } from "../stats/ln.ts";

const TINY = 1e-6;

/** n, sum of x and sum of x squared, changed in place. */
export interface MutableMoments {
  n: number;
  sum: number;
  sumSquares: number;
}

export const noMoments = (): MutableMoments => ({ n: 0, sum: 0, sumSquares: 0 });

/** Moments of counts per value, summed in the order of the values. */
export function momentsIn(counts: Float64Array, values: Float64Array, into: MutableMoments): MutableMoments {
  let n = 0;
  let sum = 0;
  let sumSquares = 0;
  for (let i = 0; i < values.length; i++) {
    const count = counts[i] ?? 0;
    if (count === 0) continue;
    const x = values[i] ?? 0;
    n += count;
    sum += count * x;
    sumSquares += count * x * x;
  }
  into.n = n;
  into.sum = sum;
  into.sumSquares = sumSquares;
  return into;
}

/** What earlier panes show of a signal: what six hours old counts half. The numbers of `learnSlice` and `knownBefore`. */
export class Learned {
  readonly #prior = noMoments();
  readonly #spread = noMoments();
  #atMs = 0;
  #sampled = 0;
  #unscored = 0;
  #keptFor = 0;
  #kept = 1;

  reset(): void {
    Object.assign(this.#prior, noMoments());
    Object.assign(this.#spread, noMoments());
    this.#atMs = 0;
    this.#sampled = 0;
    this.#unscored = 0;
  }

  /** Takes these for the moments of both arms before the first pane. */
  startFrom({ n, sum, sumSquares }: Readonly<MutableMoments>): void {
    Object.assign(this.#prior, { n, sum, sumSquares });
    Object.assign(this.#spread, { n, sum, sumSquares });
  }

  /** `predictableMean` of the baseline. */
  mean(reference: number): number {
    return (this.#prior.sum + PRIOR_RECORDS * reference) / (this.#prior.n + PRIOR_RECORDS);
  }

  /** `predictableVariance` of both arms. */
  variance(reference: number): number {
    const { n, sum, sumSquares } = this.#spread;
    const spread = Math.max(sumSquares - (sum * sum) / Math.max(n, 1), 0);
    return Math.max((spread + PRIOR_RECORDS * reference) / (n + PRIOR_RECORDS), TINY);
  }

  /** Unscored share of what was drawn of the baseline; 0 before anything was. */
  get unscoredShare(): number {
    return this.#sampled > 0 ? this.#unscored / this.#sampled : 0;
  }

  /** Takes a pane in; `unscored`: of the baseline, beside its n. */
  learn(endMs: number, baseline: Readonly<MutableMoments>, candidate: Readonly<MutableMoments>, unscored: number): void {
    const elapsedMs = this.#atMs === 0 ? 0 : endMs - this.#atMs;
    if (elapsedMs !== this.#keptFor) {
      this.#keptFor = elapsedMs;
      this.#kept = elapsedMs > 0 ? exp((-elapsedMs / HALF_LIFE_MS) * Math.LN2) : 1;
    }
    decayAndAdd(this.#prior, this.#kept, baseline.n, baseline.sum, baseline.sumSquares);
    decayAndAdd(this.#spread, this.#kept, baseline.n + candidate.n, baseline.sum + candidate.sum, baseline.sumSquares + candidate.sumSquares);
    this.#atMs = endMs;
    this.#sampled = this.#sampled * this.#kept + baseline.n + unscored;
    this.#unscored = this.#unscored * this.#kept + unscored;
  }
}

function decayAndAdd(earlier: MutableMoments, kept: number, n: number, sum: number, sumSquares: number): void {
  earlier.n = earlier.n * kept + n;
  earlier.sum = earlier.sum * kept + sum;
  earlier.sumSquares = earlier.sumSquares * kept + sumSquares;
}
