import { KnownError } from "../../errors/known-error.ts";
import { meanWithUnscored, type UnscoredRule, unscoredRule } from "../rollout/evidence/missing.ts";
import type { PlannedSignal } from "../rollout/spec/plan.ts";
import { type BetSizes, betSizes, type Margin } from "../stats/bet.ts";
import { addFreeze, advanceWeights, type BetTable, binaryBet, floorAdvanceWeights, floorTable, freezeWeights, gridBet, tableBet } from "../stats/kernel.ts";
import { mixture, threshold } from "../stats/nano-nats.ts";
import { AdvanceRun } from "./advance-run.ts";
import { FreezeRuns } from "./freeze-runs.ts";
import { Learned, type MutableMoments, momentsIn, noMoments } from "./learned.ts";
import { type ArmCounts, PairCounts } from "./subject-counts.ts";

/** Records that each arm of a block should have (statistics.md section 0). */
const LEAST_RECORDS = 5;
const PERCENTILE = 0.95;
const RUNAWAY_LEVEL = 0.995;

/** What all signals of a simulated attempt share. */
export interface Frame {
  readonly paneMs: number;
  readonly windowMs: number;
  /** Most incriminating blocks that a sustained breach must hold without. */
  readonly setAside: number;
  readonly steps: number;
  readonly alpha: number;
  /** ln(1/alpha_adv) of the attempt, nano-nats. */
  readonly ceiling: number;
  /** false: only harm is looked for, which takes half the time. */
  readonly advances: boolean;
}

/** Losses that a score or a capped quantity can have, ascending, in [0, 1]. */
export interface Grid {
  readonly values: Float64Array;
  /** Of quantities: place of the first value that is a runaway (beyond twice the baseline's P99); null: none is. */
  readonly runawayFrom: number | null;
}

const scoreGrid: Grid = { values: Float64Array.from({ length: 101 }, (_, i) => i / 100), runawayFrom: null };
/** Advancing at a limit of 1: other limits scale it. */
const unitAdvance = betSizes({ kind: "difference", tolerated: 0, limit: 1 }, "advance");
const increments = new Float64Array(freezeWeights.length);
const floorCounts = new Float64Array(2);
const candidateMoments = noMoments();
const baselineMoments = noMoments();

function marginOf({ kind, margin, judgeJ }: PlannedSignal): Margin {
  if (kind === "percentile") return { kind, level: PERCENTILE };
  return { kind: kind === "mean" ? "ratio" : "difference", tolerated: margin.tolerated * judgeJ, limit: margin.limit * judgeJ };
}

/**
 * One signal of a simulated attempt: src/domain/rollout/evidence on counts, in place. Without shadow, slices, late rounds,
 * other evaluator versions and edits. Give it every pane, with zeros where nothing was recorded.
 */
export class SimulatedSignal {
  readonly planned: PlannedSignal;
  readonly relative: FreezeRuns;
  readonly floor: FreezeRuns | null;
  readonly runaway: FreezeRuns | null;
  readonly #frame: Frame;
  readonly #freeze: BetSizes;
  readonly #advance: BetSizes;
  readonly #advances: AdvanceRun[] = [];
  readonly #reverse: AdvanceRun | null;
  readonly #floorAdvance: AdvanceRun | null;
  readonly #tables: { readonly freeze: BetTable; readonly advance: BetTable } | null;
  readonly #baselineFloor = new Float64Array(freezeWeights.length);
  readonly #runawaySizes = betSizes({ kind: "percentile", level: RUNAWAY_LEVEL }, "freeze");
  readonly #grid: Grid;
  readonly #clusters: PairCounts[] | null;
  readonly #learned = new Learned();
  #isBelowFloor = false;
  // The open block.
  #openFromMs = -1;
  #openStep = 0;
  #pref = 0;
  #v = 0;
  #u = 0;
  readonly #pending = { na: 0, ya: 0, xa: 0, nb: 0, yb: 0, unscoredA: 0, unscoredB: 0 };
  readonly #candidate: Float64Array;
  readonly #baseline: Float64Array;
  /** Scored records of this step. */
  candidateN = 0;
  baselineN = 0;

  /** @param grid of a mean, required; scores have steps of 0.01. `hasSubjects`: records are counted by subject too */
  constructor(planned: PlannedSignal, frame: Frame, about: { readonly grid?: Grid | undefined; readonly hasSubjects?: boolean | undefined } = {}) {
    if (planned.kind === "mean" && about.grid === undefined)
      throw new KnownError("EVALUATION_ERROR", `no values are given for ${planned.name}`, { fix: "give the grid of its capped values" });
    const recent = Math.ceil(frame.windowMs / frame.paneMs) + 1;
    const runs = () => new FreezeRuns(frame.steps, frame.setAside, recent);
    const margin = marginOf(planned);
    this.planned = planned;
    this.#frame = frame;
    this.relative = runs();
    this.floor = planned.floor === null ? null : runs();
    this.runaway = planned.kind === "mean" ? runs() : null;
    this.#freeze = betSizes(margin, "freeze");
    this.#advance = betSizes(margin, "advance");
    const advance = (weights: Float64Array) => {
      const run = new AdvanceRun(weights, frame.ceiling);
      this.#advances.push(run);
      return run;
    };
    advance(advanceWeights);
    this.#floorAdvance = planned.floor === null ? null : advance(floorAdvanceWeights);
    this.#reverse = planned.source === "missing" ? advance(advanceWeights) : null;
    const t = 1 - (planned.floor ?? 0);
    this.#tables = planned.floor === null ? null : { freeze: floorTable(t, "freeze"), advance: floorTable(t, "advance") };
    this.#grid = about.grid ?? scoreGrid;
    this.#clusters = about.hasSubjects === true ? Array.from({ length: frame.steps }, () => new PairCounts()) : null;
    this.#candidate = new Float64Array(this.#grid.values.length);
    this.#baseline = new Float64Array(this.#grid.values.length);
  }

  /** A new attempt, of which nothing is known. */
  reset(): void {
    for (const runs of [this.relative, this.floor, this.runaway]) runs?.reset();
    for (const run of this.#advances) run.reset();
    for (const counts of this.#clusters ?? []) counts.reset();
    this.#baselineFloor.fill(0);
    this.#learned.reset();
    this.#isBelowFloor = false;
    this.#clearBlock();
    this.candidateN = 0;
    this.baselineN = 0;
  }

  /** A step begins: what was proven before is worth nothing for leaving it. */
  enterStep(): void {
    for (const run of this.#advances) run.reset();
    this.candidateN = 0;
    this.baselineN = 0;
  }

  /** What a mean's cap was taken from also says what to expect of it. */
  startFrom(moments: Readonly<MutableMoments>): void {
    this.#learned.startFrom(moments);
  }

  /** Whether the floor binds: the baseline is not proven below it, or it is strict. */
  get isFloorBinding(): boolean {
    return this.floor !== null && (this.planned.isFloorStrict || !this.#isBelowFloor);
  }

  get isSafe(): boolean {
    return this.#advances.every((run) => run.isSafe || (run === this.#floorAdvance && !this.isFloorBinding));
  }

  get isFloorSafe(): boolean {
    return this.#floorAdvance === null || !this.isFloorBinding || this.#floorAdvance.isSafe;
  }

  /** Tests whose evidence of harm counts. */
  *harmTests(): Iterable<FreezeRuns> {
    yield this.relative;
    if (this.floor !== null && this.isFloorBinding) yield this.floor;
    if (this.runaway !== null) yield this.runaway;
  }

  /** No process of the signal is above this, nano-nats. */
  get most(): number {
    return Math.max(this.relative.most, this.isFloorBinding ? (this.floor?.most ?? 0) : 0, this.runaway?.most ?? 0);
  }

  /** Too much is unscored to prove anything. */
  get hasNoData(): boolean {
    return this.candidateN === 0 || this.baselineN === 0 || (this.#isJudged && this.#ruleAt(this.#unscoredShare) === null);
  }

  /** Counts records by subject, before the pane that they are in is fed. */
  subjects(step: number, candidate: ArmCounts, baseline: ArmCounts): void {
    for (let j = 0; j <= step; j++) this.#clusters?.[j]?.add(candidate, baseline);
  }

  /**
   * A pane of pass/fail records, or of exceedances.
   *
   * @param ya candidate's bad records; of percentiles those beyond T shifted by `tolerated`, and `xa` beyond T shifted by `limit`
   * @param unscoredA candidate's records that were drawn and not scored; not among `na`
   */
  feedBinary(step: number, endMs: number, na: number, ya: number, nb: number, yb: number, xa = ya, unscoredA = 0, unscoredB = 0): void {
    this.#begin(step, endMs);
    if (na + nb + unscoredA + unscoredB > 0) {
      if (nb + unscoredB > 0) this.#testBaselineFloor(nb, yb);
      this.#open(step, endMs);
      const block = this.#pending;
      block.na += na;
      block.ya += ya;
      block.xa += xa;
      block.nb += nb;
      block.yb += yb;
      block.unscoredA += unscoredA;
      block.unscoredB += unscoredB;
      if (block.na >= LEAST_RECORDS && block.nb >= LEAST_RECORDS) this.#close(step, endMs);
      if (na > 0) this.#feedFloor(step, endMs, na, ya, unscoredA);
    }
    if (nb + unscoredB > 0) {
      // Losses of 0 and 1; nobody asks for their spread.
      Object.assign(baselineMoments, { n: nb, sum: yb, sumSquares: yb });
      this.#learned.learn(endMs, baselineMoments, baselineMoments, unscoredB);
    }
    this.candidateN += na;
    this.baselineN += nb;
  }

  /** A pane of scores or capped quantities: records per value of the grid. */
  feedGrid(step: number, endMs: number, candidate: Float64Array, baseline: Float64Array, unscoredA = 0, unscoredB = 0): void {
    this.#begin(step, endMs);
    const a = momentsIn(candidate, this.#grid.values, candidateMoments);
    const b = momentsIn(baseline, this.#grid.values, baselineMoments);
    if (a.n + b.n + unscoredA + unscoredB > 0) {
      this.#open(step, endMs);
      const block = this.#pending;
      for (let i = 0; i < candidate.length; i++) {
        this.#candidate[i] = (this.#candidate[i] ?? 0) + (candidate[i] ?? 0);
        this.#baseline[i] = (this.#baseline[i] ?? 0) + (baseline[i] ?? 0);
      }
      block.na += a.n;
      block.nb += b.n;
      block.unscoredA += unscoredA;
      block.unscoredB += unscoredB;
      if (block.na >= LEAST_RECORDS && block.nb >= LEAST_RECORDS) this.#close(step, endMs);
      this.#feedRunaway(step, endMs, a.n, candidate, b.n, baseline);
    }
    if (b.n + unscoredB > 0) this.#learned.learn(endMs, b, a, unscoredB);
    this.candidateN += a.n;
    this.baselineN += b.n;
  }

  #begin(step: number, endMs: number): void {
    // A block never spans steps, and one that has waited for the longest time is taken as it is.
    const isOverdue = this.#openFromMs >= 0 && endMs - this.#openFromMs > this.#frame.windowMs;
    if (this.#openFromMs >= 0 && (isOverdue || this.#openStep !== step)) this.#close(step, this.#openToMs);
  }

  #openToMs = 0;

  #open(step: number, endMs: number): void {
    this.#openToMs = endMs;
    if (this.#openFromMs >= 0) return;
    this.#openFromMs = endMs - this.#frame.paneMs;
    this.#openStep = step;
    const { reference, referenceVariance, kind } = this.planned;
    const expected = kind === "percentile" ? 1 - PERCENTILE : reference;
    this.#pref = this.#learned.mean(expected);
    this.#v = this.#isSpread ? this.#learned.variance(referenceVariance) : -1;
    this.#u = this.#unscoredShare;
  }

  #clearBlock(): void {
    this.#openFromMs = -1;
    Object.assign(this.#pending, { na: 0, ya: 0, xa: 0, nb: 0, yb: 0, unscoredA: 0, unscoredB: 0 });
    this.#candidate.fill(0);
    this.#baseline.fill(0);
  }

  get #isSpread(): boolean {
    return this.planned.kind === "score" || this.planned.kind === "mean";
  }

  get #isJudged(): boolean {
    return this.planned.group === "judge" && this.planned.source !== "missing" && this.planned.kind !== "mean" && this.planned.kind !== "percentile";
  }

  get #unscoredShare(): number {
    return this.planned.group === "judge" ? this.#learned.unscoredShare : 0;
  }

  #ruleAt(u: number): UnscoredRule | null {
    return unscoredRule(this.planned.margin.limit * this.planned.judgeJ, u);
  }

  #close(step: number, endMs: number): void {
    const { na, ya, nb, yb } = this.#pending;
    const isSpread = this.#isSpread;
    if (isSpread) gridBet(increments, this.#freeze, this.#pref, this.#v, this.#grid.values, this.#candidate, this.#baseline);
    else binaryBet(increments, this.#freeze, this.#pref, na, ya, nb, yb);
    this.relative.add(increments, this.#openStep, endMs);
    this.#temper(this.relative, "two");
    if (this.#frame.advances && this.#openStep === step) this.#closeAdvance(step);
    this.#clearBlock();
  }

  #closeAdvance(step: number): void {
    const { na, xa, nb, yb, unscoredA, unscoredB } = this.#pending;
    const rule = this.#isJudged ? this.#ruleAt(this.#u) : null;
    if (this.#isJudged && rule === null) return;
    const sizes = rule === null ? this.#advance : { ...unitAdvance, d: rule.limit, unit: rule.limit };
    // Of the baseline's unscored records the worst is that they were good.
    const failedB = rule?.as === "worst" ? 0 : unscoredB;
    const deff = this.#clusters?.[step]?.deff("two", "advance", this.planned.kind === "binary") ?? 1;
    const pref = rule === null ? this.#pref : meanWithUnscored(this.#pref, this.#u, rule);
    if (this.#isSpread) {
      const last = this.#grid.values.length - 1;
      this.#candidate[last] = (this.#candidate[last] ?? 0) + unscoredA;
      const place = failedB === 0 ? 0 : last;
      this.#baseline[place] = (this.#baseline[place] ?? 0) + unscoredB;
      gridBet(increments, sizes, pref, this.#v, this.#grid.values, this.#candidate, this.#baseline);
    } else binaryBet(increments, sizes, pref, na + unscoredA, xa + unscoredA, nb + unscoredB, yb + failedB);
    this.#advances[0]?.add(increments, deff);
    if (this.#reverse === null) return;
    binaryBet(increments, sizes, pref, nb, yb, na, xa);
    this.#reverse.add(increments, deff);
  }

  #temper(runs: FreezeRuns, arms: "one" | "two"): void {
    if (this.#clusters === null) return;
    for (let j = 0; j < runs.started; j++) runs.temper(j, this.#clusters[j]?.deff(arms, "freeze", this.planned.kind === "binary") ?? 1);
  }

  #testBaselineFloor(nb: number, yb: number): void {
    if (this.#tables === null || this.planned.isFloorStrict || this.#isBelowFloor || nb === 0) return;
    floorCounts[0] = nb - yb;
    floorCounts[1] = yb;
    tableBet(increments, this.#tables.freeze, floorCounts);
    addFreeze(this.#baselineFloor, noTop, increments);
    const bound = threshold(this.#frame.alpha);
    let most = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < this.#baselineFloor.length; k++) most = Math.max(most, this.#baselineFloor[k] ?? 0);
    this.#isBelowFloor = most >= bound && mixture(this.#baselineFloor, freezeWeights) >= bound;
  }

  #feedFloor(step: number, endMs: number, na: number, ya: number, unscored: number): void {
    if (this.floor === null || this.#tables === null) return;
    floorCounts[0] = na - ya;
    floorCounts[1] = ya;
    tableBet(increments, this.#tables.freeze, floorCounts);
    this.floor.add(increments, step, endMs);
    this.#temper(this.floor, "one");
    if (!this.#frame.advances) return;
    floorCounts[1] = ya + (this.planned.group === "judge" ? unscored : 0);
    tableBet(increments, this.#tables.advance, floorCounts);
    this.#floorAdvance?.add(increments, this.#clusters?.[step]?.deff("one", "advance", true) ?? 1);
  }

  #feedRunaway(step: number, endMs: number, na: number, candidate: Float64Array, nb: number, baseline: Float64Array): void {
    const from = this.#grid.runawayFrom;
    if (this.runaway === null || from === null || na === 0 || nb === 0) return;
    binaryBet(increments, this.#runawaySizes, 1 - RUNAWAY_LEVEL, na, tail(candidate, from), nb, tail(baseline, from));
    this.runaway.add(increments, step, endMs);
    this.#temper(this.runaway, "two");
  }
}

const noTop = new Float64Array(0);

function tail(counts: Float64Array, from: number): number {
  let n = 0;
  for (let i = from; i < counts.length; i++) n += counts[i] ?? 0;
  return n;
}
