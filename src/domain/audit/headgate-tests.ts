import {
  type Coefficients,
  coefficients,
  deltas,
  FREEZE_WEIGHTS,
  HALF_LIFE_MS,
  type Known,
  type Margin,
  type Null,
  nullsOf,
  predictableMean,
  predictableVariance,
} from "../stats/bet.ts";
import { floorAlternatives } from "../stats/floor.ts";
import { exp, ln, log1p } from "../stats/ln.ts";
import { NANO, nano } from "../stats/nano-nats.ts";

/**
 * The product's processes as mutable numbers, for millions of simulated minutes. The bets, weights, margins and roundings are
 * those of src/domain/stats; a test feeds the same blocks to both.
 */

const K = FREEZE_WEIGHTS.length;
/** Most incriminating blocks that a sustained breach must hold without. */
const SET_ASIDE = 2;
/** Blocks whose evidence is remembered, for what is recent. */
const RECENT = 15;
/** Blocks that count as recent however long ago they were. */
export const LEAST_RECENT = 5;

/** One freeze process: log sums, what is set aside, and the last blocks. Nano-nats. */
export class FreezeSums {
  readonly q = new Float64Array(K);
  readonly #top = new Float64Array(K * SET_ASIDE);
  readonly #recent = new Float64Array(K * RECENT);
  readonly #endMinutes = new Int32Array(RECENT);
  #blocks = 0;

  reset(): void {
    this.q.fill(0);
    this.#top.fill(0);
    this.#blocks = 0;
  }

  add(increments: Float64Array, endMinute: number): void {
    const place = this.#blocks % RECENT;
    for (let k = 0; k < K; k++) {
      const x = increments[k] ?? Number.NaN;
      this.q[k] = (this.q[k] ?? 0) + x;
      this.#recent[place * K + k] = x;
      const [first, second] = [this.#top[2 * k] ?? 0, this.#top[2 * k + 1] ?? 0];
      if (x > first) {
        this.#top[2 * k] = x;
        this.#top[2 * k + 1] = first;
      } else if (x > second) this.#top[2 * k + 1] = x;
    }
    this.#endMinutes[place] = endMinute;
    this.#blocks++;
  }

  /** The largest component: log E is at most this. Nano-nats. */
  most(): number {
    let most = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < K; k++) most = Math.max(most, this.q[k] ?? 0);
    return most;
  }

  /** E, at most e^60: enough for every threshold, and no overflow. */
  value(isMinus: boolean): number {
    let sum = 0;
    for (let k = 0; k < K; k++) {
      const log = (this.q[k] ?? 0) - (isMinus ? (this.#top[2 * k] ?? 0) + (this.#top[2 * k + 1] ?? 0) : 0);
      sum += (FREEZE_WEIGHTS[k] ?? 0) * exp(Math.min(log / NANO, 60));
    }
    return sum;
  }

  /** Blocks that are evidence of harm by themselves, of the last `windowMinutes` and at least of the last five. */
  recentHarm(minute: number, windowMinutes: number): number {
    let harm = 0;
    const kept = Math.min(this.#blocks, RECENT);
    for (let back = 1; back <= kept; back++) {
      const place = (this.#blocks - back) % RECENT;
      if (back > LEAST_RECENT && (this.#endMinutes[place] ?? 0) <= minute - windowMinutes) continue;
      if (this.#isHarm(place)) harm++;
    }
    return harm;
  }

  #isHarm(place: number): boolean {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += (FREEZE_WEIGHTS[k] ?? 0) * exp((this.#recent[place * K + k] ?? 0) / NANO);
    return sum > 1;
  }
}

/** What one minute more lets the baseline's past count, with the product's half-life. */
export const KEPT_PER_MINUTE = exp((-60_000 / HALF_LIFE_MS) * ln(2));
const increments = new Float64Array(K);

/** Records that each arm of a block should have, and minutes after which a block is taken as it is. */
const LEAST_RECORDS = 5;
const LONGEST_BLOCK_MINUTES = 15;

/** The two-sample test on counts of 0 and 1: pass/fail signals and exceedances. */
export class BinaryTest {
  readonly sums = new FreezeSums();
  readonly #null: Null;
  readonly #deltas: readonly number[];
  readonly #reference: number;
  readonly #counts = { na: 0, ya: 0, nb: 0, yb: 0 };
  readonly #prior = { n: 0, sum: 0 };
  #openedAt = -1;
  #pref = 0;

  /** @param isLearning false: the reference stays what it is */
  constructor(margin: Margin, reference: number) {
    this.#null = nullsOf(margin).freeze;
    this.#deltas = deltas(margin, 0).freeze;
    this.#reference = reference;
  }

  reset(): void {
    this.sums.reset();
    Object.assign(this.#prior, { n: 0, sum: 0 });
    this.#openedAt = -1;
  }

  /** Whether the next minute begins a block: what a percentile's threshold may change at. */
  get isOpen(): boolean {
    return this.#openedAt >= 0;
  }

  /** Takes a minute's counts: candidate na with ya bad, baseline nb with yb bad. */
  add(minute: number, na: number, ya: number, nb: number, yb: number): void {
    if (this.#openedAt >= 0 && minute - this.#openedAt >= LONGEST_BLOCK_MINUTES) this.#close(minute - 1);
    if (this.#openedAt < 0) {
      this.#openedAt = minute;
      this.#pref = predictableMean(this.#prior, this.#reference);
      Object.assign(this.#counts, { na: 0, ya: 0, nb: 0, yb: 0 });
    }
    const block = this.#counts;
    block.na += na;
    block.ya += ya;
    block.nb += nb;
    block.yb += yb;
    if (block.na >= LEAST_RECORDS && block.nb >= LEAST_RECORDS) this.#close(minute);
  }

  /** Takes the minute's baseline into what is known for later blocks. */
  learn(n: number, bad: number): void {
    this.#prior.n = this.#prior.n * KEPT_PER_MINUTE + n;
    this.#prior.sum = this.#prior.sum * KEPT_PER_MINUTE + bad;
  }

  #close(minute: number): void {
    const { na, ya, nb, yb } = this.#counts;
    this.#openedAt = -1;
    if (na === 0 || nb === 0) return;
    const known: Known = { pref: this.#pref, v: null };
    for (let k = 0; k < K; k++) {
      const { ca, ta, cb, tb } = coefficients(na, nb, known, this.#null, this.#deltas[k] ?? 0);
      increments[k] = nano(two(na, ya, ca, ta) + two(nb, yb, cb, tb));
    }
    this.sums.add(increments, minute);
  }
}

/** Bet of an arm with losses 0 and 1. */
function two(n: number, bad: number, c: number, t: number): number {
  return (n - bad > 0 ? (n - bad) * log1p(-c * t) : 0) + (bad > 0 ? bad * log1p(c * (1 - t)) : 0);
}

/** The one-sample test of a floor. */
export class FloorTest {
  readonly sums = new FreezeSums();
  readonly #good: readonly number[];
  readonly #bad: readonly number[];

  /** @param floor smallest acceptable rate of good */
  constructor(floor: number) {
    const t = 1 - floor;
    const { freeze } = floorAlternatives(t);
    this.#bad = freeze.map((p) => ln(p / t));
    this.#good = freeze.map((p) => ln((1 - p) / (1 - t)));
  }

  reset(): void {
    this.sums.reset();
  }

  add(minute: number, n: number, bad: number): void {
    if (n === 0) return;
    for (let k = 0; k < K; k++) increments[k] = nano((n - bad) * (this.#good[k] ?? 0) + bad * (this.#bad[k] ?? 0));
    this.sums.add(increments, minute);
  }
}

/**
 * The two-sample test of a capped quantity's mean. Five minutes make a block here, where the product takes each minute: the
 * same bet, five times cheaper, noticed at most four minutes later.
 */
export class MeanTest {
  static readonly BLOCK_MINUTES = 5;
  readonly sums = new FreezeSums();
  readonly #margin: Margin & { readonly kind: "ratio" };
  readonly #reference: number;
  readonly #referenceVariance: number;
  readonly #candidate: Int32Array;
  readonly #baseline: Int32Array;
  readonly #a: Present;
  readonly #b: Present;
  #values: Float64Array | null = null;
  #minutes = 0;
  #prior = { n: 0, sum: 0 };
  #spread = { n: 0, sum: 0, sumSquares: 0 };

  constructor(
    limits: { readonly tolerated: number; readonly limit: number },
    about: { readonly reference: number; readonly referenceVariance: number; readonly classes: number },
  ) {
    this.#margin = { kind: "ratio", ...limits };
    this.#reference = about.reference;
    this.#referenceVariance = about.referenceVariance;
    this.#candidate = new Int32Array(about.classes);
    this.#baseline = new Int32Array(about.classes);
    this.#a = noneOf(about.classes);
    this.#b = noneOf(about.classes);
  }

  reset(): void {
    this.sums.reset();
    this.#values = null;
    this.#prior = { n: 0, sum: 0 };
    this.#spread = { n: 0, sum: 0, sumSquares: 0 };
    this.#clearBlock();
  }

  #clearBlock(): void {
    this.#minutes = 0;
    this.#candidate.fill(0);
    this.#baseline.fill(0);
  }

  get hasCap(): boolean {
    return this.#values !== null;
  }

  /**
   * Fixes the cap for the rollout, from the baseline's first records, which also say what mean to expect.
   *
   * @param values of the classes, capped and divided by the cap
   */
  start(values: Float64Array, first: { readonly n: number; readonly sum: number; readonly sumSquares: number }): void {
    this.#values = values;
    this.#prior = { n: first.n, sum: first.sum };
    this.#spread = { ...first };
    this.#clearBlock();
  }

  add(minute: number, candidate: Int32Array, baseline: Int32Array): void {
    const values = this.#values;
    if (values === null) return;
    for (let i = 0; i < values.length; i++) {
      this.#candidate[i] = (this.#candidate[i] ?? 0) + (candidate[i] ?? 0);
      this.#baseline[i] = (this.#baseline[i] ?? 0) + (baseline[i] ?? 0);
    }
    if (++this.#minutes < MeanTest.BLOCK_MINUTES) return;
    const a = momentsIn(this.#candidate, values);
    const b = momentsIn(this.#baseline, values);
    if ((a.n < LEAST_RECORDS || b.n < LEAST_RECORDS) && this.#minutes < LONGEST_BLOCK_MINUTES) return;
    if (a.n > 0 && b.n > 0) this.#bet(minute, a.n, b.n, values);
    this.#learn(a, b);
    this.#clearBlock();
  }

  #bet(minute: number, na: number, nb: number, values: Float64Array): void {
    const pref = predictableMean(this.#prior, this.#reference);
    const known: Known = { pref, v: predictableVariance(this.#spread, this.#referenceVariance) };
    const sizes = deltas(this.#margin, pref).freeze;
    const nothing = nullsOf(this.#margin).freeze;
    keepPresent(this.#a, this.#candidate, values);
    keepPresent(this.#b, this.#baseline, values);
    for (let k = 0; k < K; k++) {
      const found: Coefficients = coefficients(na, nb, known, nothing, sizes[k] ?? 0);
      increments[k] = nano(grid(this.#a, found.ca, found.ta) + grid(this.#b, found.cb, found.tb));
    }
    this.sums.add(increments, minute);
  }

  #learn(a: { n: number; sum: number; sumSquares: number }, b: { n: number; sum: number; sumSquares: number }): void {
    let kept = 1;
    for (let i = 0; i < this.#minutes; i++) kept *= KEPT_PER_MINUTE;
    this.#prior = { n: this.#prior.n * kept + b.n, sum: this.#prior.sum * kept + b.sum };
    this.#spread = {
      n: this.#spread.n * kept + a.n + b.n,
      sum: this.#spread.sum * kept + a.sum + b.sum,
      sumSquares: this.#spread.sumSquares * kept + a.sumSquares + b.sumSquares,
    };
  }
}

/** n, sum and sum of squares of counts of values. */
export function momentsIn(counts: Int32Array, values: Float64Array): { n: number; sum: number; sumSquares: number } {
  let n = 0;
  let sum = 0;
  let sumSquares = 0;
  for (let i = 0; i < values.length; i++) {
    const count = counts[i] ?? 0;
    const x = values[i] ?? 0;
    n += count;
    sum += count * x;
    sumSquares += count * x * x;
  }
  return { n, sum, sumSquares };
}

/** The values that a block holds at all, with their counts. */
interface Present {
  readonly values: Float64Array;
  readonly counts: Float64Array;
  n: number;
}

const noneOf = (classes: number): Present => ({ values: new Float64Array(classes), counts: new Float64Array(classes), n: 0 });

function keepPresent(present: Present, counts: Int32Array, values: Float64Array): void {
  let n = 0;
  for (let i = 0; i < values.length; i++) {
    const count = counts[i] as number;
    if (count === 0) continue;
    present.counts[n] = count;
    present.values[n++] = values[i] as number;
  }
  present.n = n;
}

function grid({ values, counts, n }: Present, c: number, t: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (counts[i] as number) * log1p(c * ((values[i] as number) - t));
  return sum;
}
