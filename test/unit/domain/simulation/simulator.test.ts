import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { thresholdOf } from "../../../../src/domain/rollout/evidence/baseline.ts";
import type { Block } from "../../../../src/domain/rollout/input.ts";
import { lookAt } from "../../../../src/domain/rollout/look.ts";
import type { PlannedSignal, RolloutPlan } from "../../../../src/domain/rollout/spec/plan.ts";
import { type Attempt, isRunning } from "../../../../src/domain/rollout/state.ts";
import type { Grid } from "../../../../src/domain/simulation/simulated-signal.ts";
import { type SimulatedAction, Simulator } from "../../../../src/domain/simulation/simulator.ts";
import { ArmCounts } from "../../../../src/domain/simulation/subject-counts.ts";
import { exceedances } from "../../../../src/domain/stats/exceedance.ts";
import { type Histogram, mergeHistograms, total } from "../../../../src/domain/stats/histogram.ts";
import { bucketMidpoint, logBucket } from "../../../../src/domain/stats/log-bucket.ts";
import type { RoutingTable } from "../../../../topics/index.ts";
import { type Behaviour, dice, good, spec, specInput, startMs, taskRubric, World, type WorldOptions } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const FIRST_BUCKET = 0;
const BUCKETS = 700;
const scoreRubric: RoutingTable["rubrics"] = [{ name: "task@1", digest: "d1", signals: [{ name: "task_completion", form: "grid" }] }];

/** A world whose judge gives scores, and whose calls differ in cost; the candidate's cost more by a factor. */
class ValuedWorld extends World {
  readonly #random = dice(7);
  readonly #costRatio: number;

  constructor(options: WorldOptions, costRatio = 1) {
    super(options);
    this.#costRatio = costRatio;
  }

  override traffic(atMs: number): Block[] {
    return super.traffic(atMs).map((block) => {
      if (block.signal === "cost_per_request") return this.#priced(block);
      return block.signal === "task_completion" && block.kind === "binary" ? this.#scored(block) : block;
    });
  }

  #scored(block: Block): Block {
    const bad = block.values.reduce((sum, value, i) => sum + value * (block.counts[i] ?? 0), 0);
    const losses = Array.from({ length: block.records }, (_, i) => Math.floor(100 * this.#random() * (i < bad ? 1 : 0.3)));
    return { ...block, kind: "grid", ...counted(losses), subjectCounts: [], subjectSums: [] };
  }

  #priced(block: Block): Block {
    const ratio = block.arm === "candidate" ? this.#costRatio : 1;
    const price = () => logBucket(500 * ratio * Math.exp(4 * (this.#random() + this.#random() + this.#random() - 1.5)));
    return { ...block, ...counted(Array.from({ length: block.records }, price)) };
  }
}

function counted(values: readonly number[]): Pick<Block, "values" | "counts"> {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].sort(([a], [b]) => a - b);
  return { values: sorted.map(([value]) => value), counts: sorted.map(([, n]) => n) };
}

/** What the reducer was given and did in one minute. */
interface Minute {
  readonly before: Attempt;
  readonly after: Attempt;
  readonly blocks: readonly Block[];
  readonly actions: readonly SimulatedAction[];
  readonly logA: number;
  readonly logAMinus: number;
  /** Of each signal: proven safe in the step. */
  readonly safe: readonly boolean[];
}

interface History {
  readonly world: World;
  readonly minutes: number;
  readonly signals?: readonly string[];
  readonly rubrics?: RoutingTable["rubrics"];
  readonly hasSubjects?: boolean;
  readonly ends: SimulatedAction;
}

function record({ world, minutes, signals = ["schema_validity", "task_completion", "latency_p95", "error_rate"], rubrics = taskRubric }: History): Minute[] {
  const declared = spec({ signals: [...signals], shadow: { share: 0 }, ladder: [10, 50, 100], dwell: { min: "10m", minLate: "10m", max: "24h" } });
  world.give(specInput(declared, world.atMs, { rubrics }));
  const recorded: Minute[] = [];
  while (recorded.length < minutes) {
    const before = world.state.current;
    if (!isRunning(before) || before.phase !== "canary") break;
    const [inputs, events] = [world.inputs.length, world.events.length];
    world.minutes(1);
    const after = world.state.current;
    assert.ok(after !== null);
    const { crossing, assessments } = lookAt(world.state, { ...after, step: before.step, phase: "canary" }, world.atMs);
    recorded.push({
      before,
      after,
      blocks: world.inputs.slice(inputs).flatMap((input) => (input.kind === "pane" ? input.blocks : [])),
      actions: world.events.slice(events).flatMap(({ action, toPhase }): SimulatedAction[] => {
        if (action === "advanced") return [toPhase === "observing" ? "done" : "advance"];
        const known: Readonly<Record<string, SimulatedAction>> = { frozen: "freeze", thawed: "thaw", rolled_back: "rollback" };
        const found = known[action];
        return found === undefined ? [] : [found];
      }),
      logA: crossing.logA,
      logAMinus: crossing.logAMinus,
      safe: assessments.map(({ isSafe }) => isSafe),
    });
  }
  return recorded;
}

const none: Histogram = { values: [], counts: [] };

/** Blocks of one signal and arm in a minute, holdback with the baseline. */
function armOf(blocks: readonly Block[], signal: string, isCandidate: boolean): { readonly histogram: Histogram; readonly subjects: ArmCounts } {
  const mine = blocks.filter((block) => block.signal === signal && (block.arm === "candidate") === isCandidate);
  const subjects = new ArmCounts();
  for (const { subjectCounts, subjectSums } of mine)
    subjectCounts.forEach((n, g) => {
      for (let i = 0; i < n; i++) subjects.count(g, i < (subjectSums[g] ?? 0) ? 1 : 0);
    });
  return { histogram: mine.reduce<Histogram>((sum, block) => mergeHistograms(sum, block), none), subjects };
}

function into(array: Float64Array, { values, counts }: Histogram, placeOf: (value: number) => number): Float64Array {
  array.fill(0);
  values.forEach((value, i) => {
    array[placeOf(value)] = counts[i] ?? 0;
  });
  return array;
}

/** Values of cost as the attempt came to cap them. */
function costGrid(newest: Attempt): Grid | null {
  const cost = newest.signals.find(({ name }) => name === "cost_per_request");
  if (cost === undefined || cost.cap === null) return null;
  const { cap, runawayBucket } = cost;
  const values = Float64Array.from({ length: BUCKETS }, (_, i) => Math.min(bucketMidpoint(FIRST_BUCKET + i), cap) / cap);
  return { values, runawayFrom: runawayBucket === null ? null : runawayBucket - FIRST_BUCKET };
}

class Follower {
  readonly simulator: Simulator;
  readonly #plan: RolloutPlan;
  readonly #hasSubjects: boolean;
  readonly #scores = [new Float64Array(101), new Float64Array(101)] as const;
  readonly #costs = [new Float64Array(BUCKETS), new Float64Array(BUCKETS)] as const;

  constructor(minutes: readonly Minute[], hasSubjects: boolean) {
    const newest = minutes.at(-1)?.after;
    assert.ok(newest !== undefined);
    const grid = costGrid(newest);
    this.#plan = newest.plan;
    this.#hasSubjects = hasSubjects;
    this.simulator = new Simulator(newest.plan, { hasSubjects, grids: grid === null ? {} : { cost_per_request: grid } });
  }

  take({ before, after, blocks }: Minute): SimulatedAction {
    this.#plan.signals.forEach((planned, i) => {
      this.#feed(i, planned, { before, after, blocks });
    });
    return this.simulator.look();
  }

  #feed(i: number, planned: PlannedSignal, { before, after, blocks }: Pick<Minute, "before" | "after" | "blocks">): void {
    const { simulator } = this;
    const candidate = armOf(blocks, planned.name, true);
    const baseline = armOf(blocks, planned.name, false);
    const [a, b] = [candidate.histogram, baseline.histogram];
    const known = before.signals[i];
    if (this.#hasSubjects && planned.kind === "binary") simulator.subjects(i, candidate.subjects, baseline.subjects);
    if (planned.kind === "score") {
      const [mine, other] = this.#scores;
      simulator.grid(i, into(mine, a, Number), into(other, b, Number));
    } else if (planned.kind === "mean") {
      // Before its cap is known nothing is compared; then the records that it rests on say what to expect.
      const [mine, other] = this.#costs;
      const place = (bucket: number) => bucket - FIRST_BUCKET;
      if (known !== undefined && known.cap !== null) simulator.grid(i, into(mine, a, place), into(other, b, place));
      else simulator.signals[i]?.startFrom(after.signals[i]?.prior ?? { n: 0, sum: 0, sumSquares: 0 });
    } else if (planned.kind === "percentile") {
      const threshold = known === undefined ? null : thresholdOf(known);
      const above = (shift: number) => (threshold === null ? 0 : exceedances(a, threshold + shift));
      if (threshold === null) simulator.binary(i, 0, 0, 0, 0);
      else simulator.binary(i, total(a), above(planned.shift?.tolerated ?? 0), total(b), exceedances(b, threshold), above(planned.shift?.limit ?? 0));
    } else simulator.binary(i, total(a), exceedances(a, 1), total(b), exceedances(b, 1));
  }
}

const worse = (over: Partial<Behaviour>): Behaviour => ({ ...good, ...over });
const outage = (fromMinute: number, minutes: number) => (atMs: number) =>
  atMs >= startMs + fromMinute * MINUTE && atMs < startMs + (fromMinute + minutes) * MINUTE ? worse({ errors: 0.95 }) : good;

/** A few nano-nats: sums of moments round differently when nobody had a value. */
function isSameEvidence(got: number, want: number, what: string): void {
  assert.ok(Math.abs(got - want) <= 5, `${what}: ${got}, not ${want}`);
}

describe("the simulator", () => {
  const histories: Readonly<Record<string, () => History>> = {
    "an equally good candidate": () => ({ world: new World({ callsPerMinute: 1200 }), minutes: 160, ends: "done" }),
    "a candidate that fails its task": () => ({ world: new World({ candidate: worse({ taskFail: 0.3 }), seed: 2 }), minutes: 200, ends: "rollback" }),
    "a candidate with broken answers": () => ({ world: new World({ candidate: worse({ schemaFail: 0.08 }), seed: 3 }), minutes: 200, ends: "rollback" }),
    "an outage of a minute": () => ({ world: new World({ candidateAt: outage(12, 1), seed: 4 }), minutes: 40, ends: "thaw" }),
    "a slow candidate": () => ({ world: new World({ candidate: worse({ medianMs: 1_500 }), seed: 5 }), minutes: 50, ends: "freeze" }),
    "worse scores": () => ({ world: new ValuedWorld({ candidate: worse({ taskFail: 0.4 }), seed: 6 }), minutes: 200, rubrics: scoreRubric, ends: "rollback" }),
    "a dearer candidate": () => ({
      world: new ValuedWorld({ seed: 8 }, 2),
      minutes: 60,
      signals: ["task_completion", "cost_per_request"],
      rubrics: scoreRubric,
      ends: "freeze",
    }),
    "records counted by subject": () => ({
      world: new World({ candidate: worse({ taskFail: 0.25 }), hasSubjects: true, seed: 9 }),
      minutes: 120,
      hasSubjects: true,
      ends: "rollback",
    }),
  };
  for (const [name, history] of Object.entries(histories)) {
    it(`decides as the reducer does, in the same minute and by the same evidence: ${name}`, () => {
      const given = history();
      const minutes = record(given);
      const follower = new Follower(minutes, given.hasSubjects === true);
      const seen: SimulatedAction[] = [];
      minutes.forEach((minute, i) => {
        const action = follower.take(minute);
        assert.deepEqual(action === "none" ? [] : [action], minute.actions, `minute ${i + 1}`);
        seen.push(action);
        const safe = follower.simulator.signals.map(({ isSafe }) => isSafe);
        if (action !== "advance" && action !== "done") assert.deepEqual(safe, minute.safe, `minute ${i + 1}`);
        // The reducer looks after the calls' pane already, and a rollback then leaves the judge's unread.
        if (action === "rollback") return;
        isSameEvidence(follower.simulator.logA(false), minute.logA, `log A in minute ${i + 1}`);
        isSameEvidence(follower.simulator.logA(true), minute.logAMinus, `log A- in minute ${i + 1}`);
      });
      assert.ok(seen.includes(given.ends), `${given.ends} is among ${seen.filter((action) => action !== "none").join()}`);
    });
  }
});
