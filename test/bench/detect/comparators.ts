import { type Counts, type SignalName, signalNames } from "./traffic.ts";

/**
 * Rules that headgate is compared with, on the same counts. They are re-implementations of a rule, not the products. The two
 * that test a null are given headgate's: harm at most what is tolerated (schema: 0.2 points worse than the baseline).
 */
export const comparatorNames = ["thresholds", "kayenta", "z", "growthbook"] as const;
export type ComparatorName = (typeof comparatorNames)[number];
/** Minute of the first alarm of any signal; infinite without one. */
export type Alarms = Record<ComparatorName, number>;

const tolerated: Readonly<Record<SignalName, number>> = {
  schema: 0.002,
  error: 0.002,
  task: 0.01,
  groundedness: 0.006,
  relevance: 0.006,
  latency: 0,
  ttft: 0,
  cost: 0.04,
};
const limit: Readonly<Record<SignalName, number>> = {
  schema: 0.01,
  error: 0.01,
  task: 0.05,
  groundedness: 0.03,
  relevance: 0.03,
  latency: 0,
  ttft: 0,
  cost: 0.2,
};

const WINDOW = 15;
const LEAST = 50;
/** Failures before a normal approximation of few events is believed. */
const LEAST_EVENTS = 5;
const ALPHA = 0.05 / signalNames.length;
/** Normal quantile of 1 - ALPHA. */
const Z_BOUND = 2.4977;
const KAYENTA_POINTS = 30;
const KAYENTA_Z = 3.1;

/** Sums of an arm: records, losses, squares of losses. */
interface Sums {
  n: number;
  x: number;
  xx: number;
}
const noSums = (): Sums => ({ n: 0, x: 0, xx: 0 });

/** Cumulated and recent counts of one signal in one run. */
class Watched {
  readonly #name: SignalName;
  readonly #a = noSums();
  readonly #b = noSums();
  /** Per minute of the window: n, harmful and baseline's. */
  readonly #ring = new Float64Array(WINDOW * 4);
  #minutes = 0;
  readonly #pointsA: number[] = [];
  readonly #pointsB: number[] = [];
  #wins = 0;

  constructor(name: SignalName) {
    this.#name = name;
  }

  get #isMean(): boolean {
    return this.#name === "groundedness" || this.#name === "relevance" || this.#name === "cost";
  }

  get #isLatency(): boolean {
    return this.#name === "latency" || this.#name === "ttft";
  }

  add(counts: Counts): void {
    const { na, nb, ya, yb, sumA, sumB, squaresA, squaresB } = counts;
    const isMean = this.#isMean;
    addTo(this.#a, na, isMean ? sumA : ya, isMean ? squaresA : ya);
    addTo(this.#b, nb, isMean ? sumB : yb, isMean ? squaresB : yb);
    const place = (this.#minutes++ % WINDOW) * 4;
    this.#ring[place] = na;
    this.#ring[place + 1] = isMean ? sumA : this.#isLatency ? counts.xa : ya;
    this.#ring[place + 2] = nb;
    this.#ring[place + 3] = isMean ? sumB : yb;
    if (na > 0) this.#point(this.#pointsA, this.#pointsB, (isMean ? sumA : this.#isLatency ? counts.za : ya) / na, true);
    if (nb > 0) this.#point(this.#pointsB, this.#pointsA, (isMean ? sumB : yb) / nb, false);
  }

  /** Counts how often a candidate's minute is worse than a baseline's: Mann-Whitney's U, kept up to date. */
  #point(mine: number[], others: readonly number[], value: number, isCandidate: boolean): void {
    let wins = 0;
    for (const other of others) wins += value > other ? 1 : value === other ? 0.5 : 0;
    this.#wins += isCandidate ? wins : others.length - wins;
    mine.push(value);
  }

  /** Point estimate of the last 15 minutes beyond the limit. A baseline's P95 is known without error here. */
  thresholds(): boolean {
    let [na, ya, nb, yb] = [0, 0, 0, 0];
    for (let i = 0; i < this.#ring.length; i += 4) {
      na += this.#ring[i] ?? 0;
      ya += this.#ring[i + 1] ?? 0;
      nb += this.#ring[i + 2] ?? 0;
      yb += this.#ring[i + 3] ?? 0;
    }
    if (na < LEAST || nb < LEAST) return false;
    if (this.#isLatency) return ya / na > 0.05;
    return this.#name === "cost" ? ya / na > (yb / nb) * (1 + limit.cost) : ya / na - yb / nb > limit[this.#name];
  }

  kayenta(): boolean {
    const [m, n] = [this.#pointsA.length, this.#pointsB.length];
    if (Math.min(m, n) < KAYENTA_POINTS) return false;
    return (this.#wins - (m * n) / 2) / Math.sqrt((m * n * (m + n + 1)) / 12) > KAYENTA_Z;
  }

  /** Harm beyond what is tolerated, its standard error, and all records; null below the least that is asked. */
  #estimate(events: number): { readonly harm: number; readonly se: number; readonly n: number } | null {
    const [a, b] = [this.#a, this.#b];
    if (a.n < LEAST || b.n < LEAST || a.x < events) return null;
    const ratio = this.#name === "cost" ? 1 + tolerated.cost : 1;
    const harm = a.x / a.n - (ratio * b.x) / b.n - (this.#name === "cost" ? 0 : tolerated[this.#name]);
    const se = Math.sqrt(varianceOf(a, this.#isMean) / a.n + (ratio * ratio * varianceOf(b, this.#isMean)) / b.n);
    return { harm, se, n: a.n + b.n };
  }

  z(): boolean {
    const found = this.#estimate(0);
    return found !== null && found.harm > Z_BOUND * found.se;
  }

  /** @see gbstats 0.8.0, frequentist/tests.py: one-sided sequential bound, N* = 5000 (peers.md section 4) */
  growthbook(): boolean {
    const found = this.#estimate(this.#isMean ? 0 : LEAST_EVENTS);
    if (found === null) return false;
    const { harm, se, n } = found;
    const twice = 2 * ALPHA;
    const rho2 = (-2 * Math.log(twice) + Math.log(-2 * Math.log(twice) + 1)) / 5000;
    const half = Math.sqrt((se * se * n * 2 * (n * rho2 + 1) * Math.log(1 + Math.sqrt(n * rho2 + 1) / twice)) / (n * n * rho2));
    return harm > half;
  }
}

function addTo(sums: Sums, n: number, x: number, xx: number): void {
  sums.n += n;
  sums.x += x;
  sums.xx += xx;
}

function varianceOf({ n, x, xx }: Sums, isMean: boolean): number {
  const mean = isMean ? x / n : (x + 0.5) / (n + 1);
  return isMean ? Math.max(xx / n - mean * mean, 1e-9) : mean * (1 - mean);
}

/** All rules on one run. */
export class Comparators {
  readonly #watched = signalNames.map((name) => new Watched(name));
  readonly alarms: Alarms = {
    thresholds: Number.POSITIVE_INFINITY,
    kayenta: Number.POSITIVE_INFINITY,
    z: Number.POSITIVE_INFINITY,
    growthbook: Number.POSITIVE_INFINITY,
  };

  get areDone(): boolean {
    return comparatorNames.every((name) => Number.isFinite(this.alarms[name]));
  }

  look(minute: number, counts: readonly Counts[]): void {
    counts.forEach((minutes, i) => {
      this.#watched[i]?.add(minutes);
    });
    for (const name of comparatorNames) if (minute < this.alarms[name] && this.#watched.some((signal) => signal[name]())) this.alarms[name] = minute;
  }
}
