import { exp, ln, log1p } from "../stats/ln.ts";

/**
 * Seeded dice for simulations: the same seed throws the same numbers on every machine. Not for keys or secrets.
 *
 * @see Chris Doty-Humphrey, PractRand: the generator `sfc32`, 128 bits of state
 * @see W. Hoermann 1993, The transformed rejection method for generating Poisson random variables (PTRS), doi:10.1016/0167-6687(93)90997-4
 * @see W. Hoermann 1993, The generation of binomial random variates (BTRS), doi:10.1080/00949659308811496
 */
export class Dice {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  /**
   * @param seed any integer
   * @param stream streams of one seed are independent of each other: one per simulated rollout
   */
  constructor(seed: number, stream = 0) {
    this.#a = seed | 0;
    this.#b = stream | 0;
    this.#c = Math.floor(seed / 4294967296) ^ 0x9e3779b9;
    for (let i = 0; i < 15; i++) this.#next();
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** In (0, 1): never 0, so that its logarithm is finite. */
  uniform(): number {
    return (this.#next() + 0.5) / 4294967296;
  }

  /** A whole number in [0, n). n below 2^32. */
  below(n: number): number {
    return Math.floor((this.#next() / 4294967296) * n);
  }

  /** @param mean at least 0 */
  poisson(mean: number): number {
    if (mean <= 0) return 0;
    return mean < 12 ? this.#poissonByProduct(mean) : this.#poissonByRejection(mean);
  }

  #poissonByProduct(mean: number): number {
    const least = exp(-mean);
    let k = 0;
    for (let product = this.uniform(); product > least; product *= this.uniform()) k++;
    return k;
  }

  #poissonByRejection(mean: number): number {
    const b = 0.931 + 2.53 * Math.sqrt(mean);
    const a = -0.059 + 0.02483 * b;
    const inverseAlpha = 1.1239 + 1.1328 / (b - 3.4);
    const squeeze = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
      const u = this.uniform() - 0.5;
      const v = this.uniform();
      const us = 0.5 - Math.abs(u);
      const k = Math.floor(((2 * a) / us + b) * u + mean + 0.43);
      if (us >= 0.07 && v <= squeeze) return k;
      if (k < 0 || (us < 0.013 && v > us)) continue;
      if (ln((v * inverseAlpha) / (a / (us * us) + b)) <= k * ln(mean) - mean - lnFactorial(k)) return k;
    }
  }

  /**
   * Successes in n independent trials.
   *
   * @param p in [0, 1]; outside it is clipped
   */
  binomial(n: number, p: number): number {
    return this.successes(n, chanceOf(p));
  }

  /** The same for a chance that is asked for many times. */
  successes(n: number, chance: Chance): number {
    const { p, isFlipped } = chance;
    if (n <= 0) return 0;
    const k = p === 0 ? 0 : n * p < 12 ? this.#byInversion(n, chance) : this.#byRejection(n, chance);
    return isFlipped ? n - k : k;
  }

  #byInversion(n: number, { odds, lnQ }: Chance): number {
    let probability = exp(n * lnQ);
    let u = this.uniform();
    let k = 0;
    while (u > probability && k < n) {
      u -= probability;
      k++;
      probability *= (odds * (n - k + 1)) / k;
    }
    return k;
  }

  #byRejection(n: number, { p, lnOdds }: Chance): number {
    const sd = Math.sqrt(n * p * (1 - p));
    const b = 1.15 + 2.53 * sd;
    const a = -0.0873 + 0.0248 * b + 0.01 * p;
    const alpha = (2.83 + 5.1 / b) * sd;
    const squeeze = 0.92 - 4.2 / b;
    const mode = Math.floor((n + 1) * p);
    for (;;) {
      const u = this.uniform() - 0.5;
      const v = this.uniform();
      const us = 0.5 - Math.abs(u);
      const k = Math.floor(((2 * a) / us + b) * u + n * p + 0.5);
      if (us >= 0.07 && v <= squeeze) return k;
      if (k < 0 || k > n) continue;
      const atMode = lnFactorial(mode) + lnFactorial(n - mode) - lnFactorial(k) - lnFactorial(n - k);
      if (ln((v * alpha) / (a / (us * us) + b)) <= atMode + (k - mode) * lnOdds) return k;
    }
  }
}

/** A chance of at most one half with what is computed of it; above one half it is that of failures. */
export interface Chance {
  readonly p: number;
  readonly odds: number;
  readonly lnOdds: number;
  readonly lnQ: number;
  readonly isFlipped: boolean;
}

/** @param chance outside [0, 1] it is clipped */
export function chanceOf(chance: number): Chance {
  const isFlipped = chance > 0.5;
  const p = isFlipped ? Math.max(0, 1 - chance) : Math.max(0, chance);
  return { p, odds: p / (1 - p), lnOdds: p === 0 ? 0 : ln(p / (1 - p)), lnQ: log1p(-p), isFlipped };
}

const exact: number[] = [0];
for (let k = 1; k < 256; k++) exact.push((exact[k - 1] ?? 0) + ln(k));
const HALF_LN_TWO_PI = 0.9189385332046727;

/** ln k!: summed below 256, by Stirling's series above, where its error is below 1e-15. */
function lnFactorial(k: number): number {
  const known = exact[k];
  if (known !== undefined) return known;
  return (k + 0.5) * ln(k) - k + HALF_LN_TWO_PI + 1 / (12 * k) - 1 / (360 * k * k * k);
}
