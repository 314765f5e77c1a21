import { createHash } from "node:crypto";
import type { ReducerDeps } from "../../src/domain/rollout/gate-event.ts";
import type { Block, PaneInput, ReducerInput } from "../../src/domain/rollout/input.ts";
import { reduce } from "../../src/domain/rollout/reduce.ts";
import { initialState, type RouteState } from "../../src/domain/rollout/state.ts";
import { Simulator } from "../../src/domain/simulation/simulator.ts";
import { addToAdvance, advanceLogE, createAdvance } from "../../src/domain/stats/advance-process.ts";
import { ADVANCE_WEIGHTS, balancedBet, deltas, FREEZE_WEIGHTS, nullsOf, predictableMean } from "../../src/domain/stats/bet.ts";
import { addToFreeze, createFreeze, freezeLogE, freezeLogEMinus, isEvidenceOfHarm } from "../../src/domain/stats/freeze-process.ts";
import { binaryHistogram } from "../../src/domain/stats/histogram.ts";
import { threshold } from "../../src/domain/stats/nano-nats.ts";
import type { RolloutSpec } from "../../topics/index.ts";
import { feed } from "./detect/gates.ts";
import { gatesPlan } from "./detect/plans.ts";
import { Dice } from "./detect/random.ts";
import { baseLevels, type Counts, costGrid, models, type SignalName, signalNames, Traffic } from "./detect/traffic.ts";

/**
 * Speed on one core, in signal-blocks (one signal of one slice in one pane) per second: issue 4 asks for 200,000, and for a simulated
 * rollout of 72 hours with 8 signals and 4 slices in less than 5 s. Kernels and processes alone, and the whole way through the
 * reducer; in turns with the allocating functions of src/domain/stats, and with a yardstick of the machine. Medians of the rounds, JSON.
 */
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const MINUTES = 200;
const MINUTE = 60_000;
const SLICES = ["pricing", "refunds", "shipping", "other"];
const REDUCER_MINUTES = 72 * 60;

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Seconds of processor time; what else the machine does does not count. */
function seconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** Minutes of traffic of model A, drawn before the clock runs. */
function drawn(): (readonly Counts[])[] {
  const [model] = models;
  if (model === undefined) throw new Error("there is no model A");
  const dice = new Dice(1);
  return Array.from({ length: MINUTES }, () => {
    const traffic = new Traffic(model, baseLevels, baseLevels);
    traffic.draw(dice);
    return traffic.counts;
  });
}

const minutes = drawn();

/** Pass/fail signals only: what most signal-blocks are. */
const binaryNames: readonly SignalName[] = ["schema", "error", "task", "latency", "ttft"];

function kernels(names: readonly SignalName[], passes: number): number {
  const plan = gatesPlan(baseLevels);
  const places = names.map((name) => signalNames.indexOf(name));
  const signals = places.flatMap((place) => plan.signals[place] ?? []);
  const share = signals.reduce((sum, { weight }) => sum + weight, 0);
  const simulator = new Simulator(
    { ...plan, signals: signals.map((signal) => ({ ...signal, weight: signal.weight / share })) },
    { restarts: 1, grids: { cost_per_request: costGrid } },
  );
  const counts = minutes.map((minute) => places.flatMap((place) => minute[place] ?? []));
  const took = seconds(() => {
    for (let pass = 0; pass < passes; pass++) {
      simulator.reset();
      for (const minute of counts) {
        feed(simulator, minute);
        simulator.look();
      }
    }
  });
  return (passes * MINUTES * names.length) / took;
}

/** The same evidence of one pass/fail signal by the functions that the reducer calls. */
function allocating(passes: number): number {
  const margin = { kind: "difference", tolerated: 0.01, limit: 0.05 } as const;
  const sizes = deltas(margin, 1);
  const nulls = nullsOf(margin);
  const place = signalNames.indexOf("task");
  let sink = 0;
  const took = seconds(() => {
    for (let pass = 0; pass < passes; pass++) {
      let [freeze, advance] = [createFreeze(FREEZE_WEIGHTS), createAdvance(threshold(0.05), ADVANCE_WEIGHTS)];
      const earlier = { n: 0, sum: 0 };
      for (const minute of minutes) {
        const counts = minute[place];
        if (counts === undefined) continue;
        const known = { pref: predictableMean(earlier, 0.15), v: null };
        const [candidate, baseline] = [binaryHistogram(counts.na, counts.ya), binaryHistogram(counts.nb, counts.yb)];
        const block = balancedBet(candidate, baseline, known, nulls.freeze, sizes.freeze);
        freeze = addToFreeze(freeze, block);
        advance = addToAdvance(advance, balancedBet(candidate, baseline, known, nulls.advance, sizes.advance));
        sink += freezeLogE(freeze) + freezeLogEMinus(freeze) + advanceLogE(advance) + (isEvidenceOfHarm(block) ? 1 : 0);
        earlier.n += counts.nb;
        earlier.sum += counts.yb;
      }
    }
  });
  if (!Number.isFinite(sink)) throw new Error("evidence is not finite");
  return (passes * MINUTES) / took;
}

/** How fast this machine is now: million logarithms per second. */
function yardstick(): number {
  let sum = 0;
  const n = 5_000_000;
  const took = seconds(() => {
    for (let i = 1; i <= n; i++) sum += Math.log1p(i / n);
  });
  return sum > 0 ? n / took / 1e6 : Number.NaN;
}

const deps: ReducerDeps = { sha256: (text) => createHash("sha256").update(text, "utf8").digest("hex"), codeVersion: "bench" };
const productSignals = ["schema_validity", "error_rate", "task_completion", "groundedness", "relevance", "latency_p95", "ttft_p95", "cost_per_request"];
const judged = ["task_completion", "groundedness", "relevance"];
const route = "bench";
const startMs = 1_800_000_000_000;

const spec: RolloutSpec = {
  route,
  baseline: "old@1",
  candidate: "new@1",
  versions: { "old@1": { upstream: "a", model: "old" }, "new@1": { upstream: "a", model: "new" } },
  signals: productSignals,
  judge: { rubric: "bench@1" },
  shadow: { share: 0 },
  slices: SLICES,
  ladder: [10, 100],
  dwell: { min: "90h", minLate: "90h", max: "200h" },
};

function started(): RouteState {
  const signals = judged.map((name) => ({ name, form: name === "task_completion" ? ("binary" as const) : ("grid" as const) }));
  const input: ReducerInput = {
    kind: "spec",
    atMs: startMs,
    route,
    digest: deps.sha256("bench"),
    actor: "bench",
    rubrics: [{ name: "bench@1", digest: "0", signals }],
    spec,
    problems: [],
    gateways: [],
  };
  const { state } = reduce(initialState(route), input, deps);
  if (state.current === null) throw new Error("the bench's own spec is refused");
  return state;
}

function sparse(counts: Float64Array, from = 0): Pick<Block, "values" | "counts"> {
  const values: number[] = [];
  const found: number[] = [];
  counts.forEach((n, i) => {
    if (n === 0) return;
    values.push(from + i);
    found.push(n);
  });
  return { values, counts: found };
}

/** A latency histogram with the exceedances that were drawn: every record below or beyond the percentile in some bucket. */
function latencies(n: number, above: number, dice: Dice): Pick<Block, "values" | "counts"> {
  const counts = new Float64Array(200);
  for (let i = 0; i < n; i++) {
    const place = i < above ? 151 + dice.below(40) : 60 + dice.below(90);
    counts[place] = (counts[place] ?? 0) + 1;
  }
  return sparse(counts, 250);
}

function valuesOf(name: string, minute: Counts, isCandidate: boolean, dice: Dice): Pick<Block, "kind" | "values" | "counts"> {
  const [n, bad] = isCandidate ? [minute.na, minute.ya] : [minute.nb, minute.yb];
  if (name.endsWith("_p95")) return { kind: "log", ...latencies(n, bad, dice) };
  if (name === "cost_per_request") return { kind: "log", ...sparse(isCandidate ? minute.candidate : minute.baseline, 10) };
  if (minute.values.length > 0) return { kind: "grid", ...sparse(isCandidate ? minute.candidate : minute.baseline) };
  return { kind: "binary", values: [0, 1], counts: [n - bad, bad] };
}

/** Blocks of a minute: all traffic, and the four slices with a quarter of it each. */
function blocksOf(minute: readonly Counts[], state: RouteState, dice: Dice): Block[] {
  const attempt = state.current;
  if (attempt === null) return [];
  return productSignals.flatMap((signal, i) =>
    (["candidate", "baseline"] as const).flatMap((arm): Block[] => {
      const counts = minute[i];
      if (counts === undefined) return [];
      const found = valuesOf(signal, counts, arm === "candidate", dice);
      const scored = found.counts.reduce((sum, n) => sum + n, 0);
      const [subjectCounts, subjectSums] = [new Array<number>(32).fill(0), new Array<number>(32).fill(0)];
      for (let k = 0; k < scored; k++) subjectCounts[k % 32] = (subjectCounts[k % 32] ?? 0) + 1;
      found.values.forEach((value, k) => {
        const g = (7 * k) % 32;
        subjectSums[g] = (subjectSums[g] ?? 0) + Math.max(0, found.kind === "log" ? Math.round(1.019245 ** value) : value) * (found.counts[k] ?? 0);
      });
      const common = {
        rollout: attempt.plan.rollout,
        attempt: attempt.attempt,
        step: attempt.step,
        epoch: state.epoch,
        arm,
        exposure: "served" as const,
        version: arm === "candidate" ? "new@1" : "old@1",
        samplePpm: 1_000_000,
        signal,
        evaluatorVersion: judged.includes(signal) ? "v1" : "",
        abstained: 0,
        failed: 0,
        kind: found.kind,
        values: found.values,
      };
      const all: Block = {
        ...common,
        slice: "all",
        records: scored,
        sampled: scored,
        scored,
        counts: found.counts,
        newSubjects: null,
        subjectCounts,
        subjectSums,
      };
      const slices = SLICES.map((slice): Block => {
        const quarter = found.counts.map((n) => Math.round(n / 4));
        const n = quarter.reduce((sum, count) => sum + count, 0);
        return { ...common, slice, records: n, sampled: n, scored: n, counts: quarter, newSubjects: null, subjectCounts: [], subjectSums: [] };
      });
      return [all, ...slices];
    }),
  );
}

/** Feeds the panes of a rollout to the reducer, and looks after each as the decider does. */
function throughReducer(paneCount: number): { readonly perSecond: number; readonly took: number } {
  let state = started();
  const dice = new Dice(2);
  const blocks = minutes.map((minute) => blocksOf(minute, state, dice));
  const groups = (["calls", "judge"] as const).map((group) => ({
    group,
    panes: blocks.map((all) => all.filter(({ signal }) => judged.includes(signal) === (group === "judge"))),
  }));
  const took = seconds(() => {
    for (let i = 0; i < paneCount; i++) {
      const paneStartMs = startMs + i * MINUTE;
      const atMs = paneStartMs + MINUTE;
      for (const { group, panes } of groups) {
        const input: PaneInput = { kind: "pane", atMs, group, paneStartMs, paneMs: MINUTE, round: 0, watermarkMs: atMs, blocks: panes[i % panes.length] ?? [] };
        state = reduce(state, input, deps).state;
      }
      state = reduce(state, { kind: "tick", atMs }, deps).state;
    }
  });
  const attempt = state.current;
  if (attempt === null || attempt.evaluationError !== null) throw new Error(`the rollout could not be evaluated: ${attempt?.evaluationError ?? "it is gone"}`);
  if (!attempt.signals.every(({ shown }) => shown.candidate.n > 0)) throw new Error("a signal saw nothing");
  return { perSecond: (paneCount * productSignals.length * (1 + SLICES.length)) / took, took };
}

interface Round {
  readonly kernelsBinary: number;
  readonly kernelsAllKinds: number;
  readonly allocatingBinary: number;
  readonly reducer: number;
  readonly reducerSeconds: number;
  readonly yardstick: number;
}

function main(): void {
  const rounds: Round[] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    const reducer = throughReducer(i === 0 ? 100 : REDUCER_MINUTES);
    const round = {
      kernelsBinary: kernels(binaryNames, 200),
      allocatingBinary: allocating(200),
      kernelsAllKinds: kernels(signalNames, 10),
      reducer: reducer.perSecond,
      reducerSeconds: reducer.took,
      yardstick: yardstick(),
    };
    // The first round warms up.
    if (i > 0) rounds.push(round);
    console.error(`round ${i}: ${JSON.stringify(round)}`);
  }
  const of = (key: keyof Round) => Number(median(rounds.map((round) => round[key])).toPrecision(4));
  const result = {
    signalBlocksPerSecond: {
      kernelsPassFail: of("kernelsBinary"),
      kernelsEightSignals: of("kernelsAllKinds"),
      allocatingPassFail: of("allocatingBinary"),
      wholeReducer: of("reducer"),
    },
    rollout72h: { signals: productSignals.length, slices: SLICES.length, seconds: of("reducerSeconds") },
    millionLogarithmsPerSecond: of("yardstick"),
    rounds: ROUNDS,
    node: process.version,
  };
  console.log(JSON.stringify(result, null, 2));
}

main();
