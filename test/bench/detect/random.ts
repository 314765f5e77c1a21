/** Seeded dice for simulated traffic: sfc32 by Chris Doty-Humphrey (PractRand), which is small and fast. */
export class Dice {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, stream = 0) {
    this.#a = seed | 0;
    this.#b = stream | 0;
    this.#c = 0x9e3779b9 | 0;
    for (let i = 0; i < 15; i++) this.next();
  }

  /** Uniform in [0, 1), 32 bits. */
  next(): number {
    const t = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return (t >>> 0) / 4_294_967_296;
  }

  /** Uniform in [0, n). */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }
}

/** Draws from a finite distribution in constant time. @see Vose 1991, A linear algorithm for generating random numbers with a given distribution */
export class Alias {
  readonly #chance: Float64Array;
  readonly #other: Int32Array;

  /** @param weights not negative, of any sum above 0 */
  constructor(weights: readonly number[]) {
    const n = weights.length;
    const sum = weights.reduce((all, weight) => all + weight, 0);
    const scaled = weights.map((weight) => (weight * n) / sum);
    this.#chance = new Float64Array(n).fill(1);
    this.#other = Int32Array.from({ length: n }, (_, i) => i);
    const small = scaled.flatMap((weight, i) => (weight < 1 ? [i] : []));
    const large = scaled.flatMap((weight, i) => (weight < 1 ? [] : [i]));
    while (small.length > 0 && large.length > 0) {
      const [less = 0, more = 0] = [small.pop(), large[large.length - 1]];
      this.#chance[less] = scaled[less] ?? 0;
      this.#other[less] = more;
      scaled[more] = (scaled[more] ?? 0) + (scaled[less] ?? 0) - 1;
      if ((scaled[more] ?? 0) < 1) small.push(large.pop() ?? 0);
    }
  }

  draw(dice: Dice): number {
    const x = dice.next() * this.#chance.length;
    const i = Math.floor(x);
    return dice.next() < (this.#chance[i] ?? 1) ? i : (this.#other[i] ?? i);
  }
}

const logFactorials: number[] = [0];
function logFactorial(k: number): number {
  for (let i = logFactorials.length; i <= k; i++) logFactorials.push((logFactorials[i - 1] ?? 0) + Math.log(i));
  return logFactorials[k] ?? 0;
}

/** Poisson counts of a rate that stays: a table with all but 1e-15 of the probability. */
export class Poisson {
  readonly #table: Alias | null;
  readonly #from: number;

  constructor(rate: number) {
    const spread = 9 * Math.sqrt(rate) + 20;
    this.#from = Math.max(0, Math.floor(rate - spread));
    const to = Math.ceil(rate + spread);
    this.#table =
      rate > 0
        ? new Alias(Array.from({ length: to - this.#from + 1 }, (_, i) => Math.exp((this.#from + i) * Math.log(rate) - rate - logFactorial(this.#from + i))))
        : null;
  }

  draw(dice: Dice): number {
    return this.#table === null ? 0 : this.#from + this.#table.draw(dice);
  }
}

const kept = new Map<number, Poisson>();
/** The table of a rate that is used again and again. */
export function poissonOf(rate: number): Poisson {
  const known = kept.get(rate);
  if (known !== undefined) return known;
  const made = new Poisson(rate);
  kept.set(rate, made);
  return made;
}

/**
 * A Poisson count of any rate: inversion below 12, transformed rejection above.
 *
 * @see Hoermann 1993, The transformed rejection method for generating Poisson random variables, algorithm PTRS
 */
export function poisson(dice: Dice, rate: number): number {
  if (!(rate > 0)) return 0;
  if (rate < 12) {
    let p = Math.exp(-rate);
    let u = dice.next() - p;
    let k = 0;
    while (u >= 0 && k < 200) {
      k++;
      p *= rate / k;
      u -= p;
    }
    return k;
  }
  const b = 0.931 + 2.53 * Math.sqrt(rate);
  const a = -0.059 + 0.02483 * b;
  const inverse = 1.1239 + 1.1328 / (b - 3.4);
  const quick = 0.9277 - 3.6224 / (b - 2);
  const logRate = Math.log(rate);
  for (;;) {
    const u = dice.next() - 0.5;
    const v = 1 - dice.next();
    const us = 0.5 - Math.abs(u);
    const k = Math.floor(((2 * a) / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= quick) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (Math.log((v * inverse) / (a / (us * us) + b)) <= k * logRate - rate - logFactorial(k)) return k;
  }
}

/** Standard normal tail P(Z > x), to 1e-7 relative or better in the body. @see Numerical Recipes, erfc by a Chebyshev fit */
export function normalTail(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 2 / (2 + z);
  const ty = 4 * t - 2;
  let d = 0;
  let dd = 0;
  for (let i = coefficients.length - 1; i > 0; i--) [d, dd] = [ty * d - dd + (coefficients[i] ?? 0), d];
  const tail = 0.5 * t * Math.exp(-z * z + 0.5 * ((coefficients[0] ?? 0) + ty * d) - dd);
  return x >= 0 ? tail : 1 - tail;
}
const coefficients = [
  -1.3026537197817094, 0.64196979235649, 1.9476473204185836e-2, -9.561514786808631e-3, -9.46595344482036e-4, 3.66839497852761e-4, 4.2523324806907e-5,
  -2.0278578112534e-5, -1.624290004647e-6, 1.30365583558e-6, 1.5626441722e-8, -8.5238095915e-8, 6.529054439e-9, 5.059343495e-9, -9.91364156e-10,
  -2.27365122e-10, 9.6467911e-11, 2.394038e-12, -6.886027e-12, 8.94487e-13, 3.13092e-13, -1.12708e-13, 3.81e-16, 7.106e-15,
];

/** Probabilities of a Beta(a, b) variable rounded to hundredths; b at least 1. Substituting t = x^a takes the pole at 0 away. */
export function roundedBeta(a: number, b: number): number[] {
  const edges = Array.from({ length: 102 }, (_, i) => Math.min(Math.max((i - 0.5) / 100, 0), 1) ** a);
  const density = (t: number) => (1 - Math.min(t ** (1 / a), 1)) ** (b - 1);
  const masses = Array.from({ length: 101 }, (_, i) => simpson(density, edges[i] ?? 0, edges[i + 1] ?? 1));
  const sum = masses.reduce((all, mass) => all + mass, 0);
  return masses.map((mass) => mass / sum);
}

function simpson(f: (x: number) => number, from: number, to: number): number {
  const steps = 64;
  const h = (to - from) / steps;
  let sum = f(from) + f(to);
  for (let i = 1; i < steps; i++) sum += f(from + i * h) * (i % 2 === 1 ? 4 : 2);
  return (sum * h) / 3;
}
