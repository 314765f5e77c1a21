import type { Grid } from "../../../src/domain/simulation/simulated-signal.ts";
import { GAMMA_LN } from "../../../src/domain/stats/log-bucket.ts";
import { Alias, type Dice, normalTail, poissonOf, roundedBeta } from "./random.ts";

/** Traffic of statistics.md section 3, as /work/shared/stats/mc_v2.py draws it: counts per minute, each signal's on its own. */
export const signalNames = ["schema", "error", "task", "groundedness", "relevance", "latency", "ttft", "cost"] as const;
export type SignalName = (typeof signalNames)[number];

/** Rates of bad; mean losses of the two scores; medians and means as multiples of the baseline's. */
export type Levels = Readonly<Record<SignalName, number>>;

export const baseLevels: Levels = { schema: 0.002, error: 0.01, task: 0.15, groundedness: 0.15, relevance: 0.2, latency: 1, ttft: 1, cost: 1 };

export interface Model {
  readonly name: "A" | "B" | "C";
  readonly about: string;
  /** Calls per minute, candidate and baseline; judged records per minute. */
  readonly calls: readonly [number, number];
  readonly judged: readonly [number, number];
  readonly minutes: number;
  /** Runs of the tables of false stops. */
  readonly runs: number;
}

export const models: readonly Model[] = [
  { name: "A", about: "10 requests/s, 10 %", calls: [60, 540], judged: [12, 60], minutes: 300, runs: 1000 },
  { name: "B", about: "2 requests/s, 10 %", calls: [12, 108], judged: [12, 24], minutes: 480, runs: 2000 },
  { name: "C", about: "50 requests/s, 1 %, baseline thinned", calls: [30, 600], judged: [12, 60], minutes: 480, runs: 400 },
];

export interface Scenario {
  readonly name: string;
  readonly candidate: Levels;
  readonly base?: Levels;
  /** The signal that harm is in. */
  readonly harmed?: SignalName;
}

const harmed = (name: string, signal: SignalName, level: number): Scenario => ({ name, harmed: signal, candidate: { ...baseLevels, [signal]: level } });
const edge: Levels = { schema: 0.004, error: 0.012, task: 0.16, groundedness: 0.156, relevance: 0.206, latency: 1.0192, ttft: 1.0192, cost: 1.04 };

export const identical: Scenario = { name: "identical", candidate: baseLevels };
/** Schema at 0.4 %: as far from the baseline as is tolerated; its floor of 0.5 % is not reached. */
export const atEdge: Scenario = { name: "at the edge of every tolerated margin", candidate: edge };
/** A baseline of 0.3 % puts the candidate at the floor and at the relative margin at once. */
export const atFloor: Scenario = { name: "the same, and at the floor", candidate: { ...edge, schema: 0.005 }, base: { ...baseLevels, schema: 0.003 } };
export const harmful: readonly Scenario[] = [
  harmed("schema 2 % invalid", "schema", 0.02),
  harmed("schema 5 % invalid", "schema", 0.05),
  harmed("error 1 → 3 %", "error", 0.03),
  harmed("task −5 pt", "task", 0.2),
  harmed("task −10 pt", "task", 0.25),
  harmed("groundedness −.05", "groundedness", 0.2),
  harmed("P95 +15 %", "latency", 1.15),
  harmed("P95 +30 %", "latency", 1.3),
  harmed("cost +40 %", "cost", 1.4),
];

/** Variance of a judge's score, and of a cost over its cap of 20 means. */
export const SCORE_VARIANCE = 0.0256;
export const COST_VARIANCE = 1.718 / 400;
const CAP = 20;
const LATENCY_SIGMA = 0.6;
/** Threshold of the percentile, in buckets above the baseline's median, and the buckets of the tolerated shift and of the limit. */
const T = 51;
const SHIFTS = { tolerated: 1, limit: 5 } as const;

const LOWEST_BUCKET = -315;
const CAPPED_BUCKET = 157;
/** Bucket of twice the baseline's P99. */
const RUNAWAY_BUCKET = 131;

export const costGrid: Grid = {
  values: Float64Array.from({ length: CAPPED_BUCKET - LOWEST_BUCKET + 1 }, (_, i) => Math.min(Math.exp((LOWEST_BUCKET + i + 0.5) * GAMMA_LN), CAP) / CAP),
  runawayFrom: RUNAWAY_BUCKET - LOWEST_BUCKET,
};
const scoreValues = Float64Array.from({ length: 101 }, (_, i) => i / 100);

function costChances(mean: number): number[] {
  const below = (bucket: number) => 1 - normalTail(bucket * GAMMA_LN - Math.log(mean) + 0.5);
  return Array.from(costGrid.values, (_, i) => {
    const bucket = LOWEST_BUCKET + i;
    const from = i === 0 ? 0 : below(bucket);
    return (bucket === CAPPED_BUCKET ? 1 : below(bucket + 1)) - from;
  });
}

function scoreChances(mean: number): number[] {
  const size = (mean * (1 - mean)) / SCORE_VARIANCE - 1;
  return roundedBeta(mean * size, (1 - mean) * size);
}

/** Chances of a latency to lie beyond T, beyond T shifted by tolerated, and beyond T shifted by the limit. */
export function latencyChances(ratio: number): readonly [number, number, number] {
  const beyond = (bucket: number) => normalTail((bucket * GAMMA_LN - Math.log(ratio)) / LATENCY_SIGMA);
  return [beyond(T), beyond(T + SHIFTS.tolerated), beyond(T + SHIFTS.limit)];
}

/** Counts of one signal in one minute. */
export class Counts {
  na = 0;
  nb = 0;
  /** Bad records; of latencies those beyond T shifted by tolerated (candidate) and T (baseline). */
  ya = 0;
  yb = 0;
  /** Candidate's latencies beyond T shifted by the limit, and beyond T itself. */
  xa = 0;
  za = 0;
  /** Records per value of scores and costs. */
  readonly candidate: Float64Array;
  readonly baseline: Float64Array;
  readonly values: Float64Array;
  /** Sums of losses and of their squares. */
  sumA = 0;
  sumB = 0;
  squaresA = 0;
  squaresB = 0;

  constructor(values: Float64Array) {
    this.values = values;
    this.candidate = new Float64Array(values.length);
    this.baseline = new Float64Array(values.length);
  }
}

const isJudged = (name: SignalName) => name === "task" || name === "groundedness" || name === "relevance";

/** Draws minutes of both arms. */
export class Traffic {
  readonly counts: readonly Counts[];
  readonly #model: Model;
  readonly #base: Levels;
  readonly #candidate: Levels;
  readonly #tables: Readonly<Partial<Record<SignalName, readonly [Alias, Alias]>>>;

  constructor(model: Model, base: Levels, candidate: Levels) {
    this.#model = model;
    this.#base = base;
    this.#candidate = candidate;
    const scores = (name: SignalName) => [new Alias(scoreChances(candidate[name])), new Alias(scoreChances(base[name]))] as const;
    this.#tables = {
      groundedness: scores("groundedness"),
      relevance: scores("relevance"),
      cost: [new Alias(costChances(candidate.cost)), new Alias(costChances(base.cost))],
    };
    const none = new Float64Array(0);
    this.counts = signalNames.map((name) => new Counts(name === "cost" ? costGrid.values : this.#tables[name] === undefined ? none : scoreValues));
  }

  /** @param outage share of the minute in which every call of the candidate fails, and none is judged or checked */
  draw(dice: Dice, outage = 0): void {
    signalNames.forEach((name, i) => {
      const counts = this.counts[i];
      if (counts === undefined) return;
      const [rateA, rateB] = isJudged(name) ? this.#model.judged : this.#model.calls;
      const isLost = outage > 0 && name !== "cost";
      const served = isLost ? rateA * (1 - outage) : rateA;
      const failed = isLost && !isJudged(name) && name !== "schema" ? poissonOf(rateA * outage).draw(dice) : 0;
      const tables = this.#tables[name];
      if (tables !== undefined) drawValues(counts, dice, poissonOf(served).draw(dice), poissonOf(rateB).draw(dice), tables);
      else if (name === "latency" || name === "ttft") drawLatencies(counts, dice, { served, failed, rateB, ratio: this.#candidate[name] });
      else drawBinary(counts, dice, { served, failed, rateB, bad: this.#candidate[name], badOfBaseline: this.#base[name] });
    });
  }
}

function drawBinary(counts: Counts, dice: Dice, about: { served: number; failed: number; rateB: number; bad: number; badOfBaseline: number }): void {
  const { served, failed, rateB, bad, badOfBaseline } = about;
  counts.ya = poissonOf(served * bad).draw(dice) + failed;
  counts.na = counts.ya + poissonOf(served * (1 - bad)).draw(dice);
  counts.yb = poissonOf(rateB * badOfBaseline).draw(dice);
  counts.nb = counts.yb + poissonOf(rateB * (1 - badOfBaseline)).draw(dice);
  counts.xa = counts.ya;
  counts.za = counts.ya;
}

const latencyKept = new Map<number, readonly [number, number, number]>();
function chancesOf(ratio: number): readonly [number, number, number] {
  const known = latencyKept.get(ratio) ?? latencyChances(ratio);
  latencyKept.set(ratio, known);
  return known;
}

function drawLatencies(counts: Counts, dice: Dice, about: { served: number; failed: number; rateB: number; ratio: number }): void {
  const { served, failed, rateB, ratio } = about;
  const [beyondT, beyondTolerated, beyondLimit] = chancesOf(ratio);
  counts.xa = poissonOf(served * beyondLimit).draw(dice) + failed;
  counts.ya = counts.xa + poissonOf(served * (beyondTolerated - beyondLimit)).draw(dice);
  counts.za = counts.ya + poissonOf(served * (beyondT - beyondTolerated)).draw(dice);
  counts.na = counts.za + poissonOf(served * (1 - beyondT)).draw(dice);
  const [ofBaseline] = chancesOf(1);
  counts.yb = poissonOf(rateB * ofBaseline).draw(dice);
  counts.nb = counts.yb + poissonOf(rateB * (1 - ofBaseline)).draw(dice);
}

function drawValues(counts: Counts, dice: Dice, na: number, nb: number, [mine, other]: readonly [Alias, Alias]): void {
  const { values, candidate, baseline } = counts;
  candidate.fill(0);
  baseline.fill(0);
  counts.na = na;
  counts.nb = nb;
  counts.sumA = 0;
  counts.sumB = 0;
  counts.squaresA = 0;
  counts.squaresB = 0;
  for (let i = 0; i < na; i++) {
    const place = mine.draw(dice);
    const x = values[place] ?? 0;
    candidate[place] = (candidate[place] ?? 0) + 1;
    counts.sumA += x;
    counts.squaresA += x * x;
  }
  for (let i = 0; i < nb; i++) {
    const place = other.draw(dice);
    const x = values[place] ?? 0;
    baseline[place] = (baseline[place] ?? 0) + 1;
    counts.sumB += x;
    counts.squaresB += x * x;
  }
}
