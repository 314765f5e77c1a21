import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { feedSignal } from "../../../../src/domain/rollout/evidence/feed-signal.ts";
import { bySeries, partsOf } from "../../../../src/domain/rollout/evidence/parts.ts";
import { initialSignal, type SignalState } from "../../../../src/domain/rollout/evidence/signal-state.ts";
import type { Block } from "../../../../src/domain/rollout/input.ts";
import { normaliseSpec } from "../../../../src/domain/rollout/spec/normalise.ts";
import type { PlannedSignal, RolloutPlan } from "../../../../src/domain/rollout/spec/plan.ts";
import { balancedBet, deltas, nullsOf } from "../../../../src/domain/stats/bet.ts";
import { floorAlternatives, oneSample } from "../../../../src/domain/stats/floor.ts";
import { binaryHistogram } from "../../../../src/domain/stats/histogram.ts";
import { threshold } from "../../../../src/domain/stats/nano-nats.ts";
import { pairedBet } from "../../../../src/domain/stats/paired.ts";
import { spec, taskRubric } from "../../../fixtures/rollout-world.ts";

const PANE_MS = 60_000;
const normalised = normaliseSpec(spec(), taskRubric);
assert.ok(normalised.kind === "plan");
const plan: RolloutPlan = normalised.plan;
const planned = (name: string) => plan.signals.find((signal) => signal.name === name) as PlannedSignal;

function block(over: Partial<Block>): Block {
  return {
    rollout: plan.rollout,
    attempt: 1,
    step: 0,
    epoch: 1,
    slice: "all",
    samplePpm: 1_000_000,
    signal: "task_completion",
    kind: "binary",
    evaluatorVersion: "v1",
    arm: "candidate",
    exposure: "served",
    version: "new@1",
    records: 0,
    sampled: 0,
    scored: 0,
    abstained: 0,
    failed: 0,
    values: [],
    counts: [],
    subjectCounts: [],
    subjectSums: [],
    newSubjects: null,
    ...over,
  };
}
const binary = (n: number, bad: number, over: Partial<Block> = {}): Block =>
  block({ records: n, sampled: n, scored: n, values: [0, 1], counts: [n - bad, bad], ...over });
const base = (n: number, bad: number, over: Partial<Block> = {}): Block => binary(n, bad, { arm: "baseline", version: "old@1", ...over });

interface Feeding {
  readonly name?: string;
  readonly round?: number;
  readonly step?: number;
  readonly isEvidence?: boolean;
}
/** Feeds panes in order; each is a list of blocks. */
function feed(panes: readonly (readonly Block[])[], about: Feeding = {}, from: SignalState = initialSignal("x")): SignalState {
  const signal = planned(about.name ?? "task_completion");
  return panes.reduce((state, blocks, i) => {
    const paneStartMs = (i + 1) * PANE_MS;
    const pane = bySeries(blocks);
    const parts = partsOf(pane, signal, state.evaluatorVersion);
    return feedSignal(state, parts, pane, {
      plan,
      planned: signal,
      paneStartMs,
      paneEndMs: paneStartMs + PANE_MS,
      round: about.round ?? 0,
      step: about.step ?? 0,
      ceiling: threshold(0.05),
      isEvidence: about.isEvidence ?? true,
    });
  }, from);
}
const q = (state: SignalState) => state.relative.freeze[0]?.process.q;
const advanceQ = (state: SignalState) => state.relative.advance[0]?.process.q;

describe("feeding evidence", () => {
  it("takes what is known of the baseline from earlier panes only", () => {
    const margin = { kind: "difference", tolerated: 0.01, limit: 0.05 } as const;
    const bet = (pref: number) =>
      balancedBet(binaryHistogram(20, 4), binaryHistogram(40, 5), { pref, v: null }, nullsOf(margin).freeze, deltas(margin, pref).freeze);
    const first = feed([[binary(20, 4), base(40, 5)]]);
    assert.deepEqual(q(first), bet(0.15), "the preset's reference, before anything was seen");
    const second = feed([
      [binary(20, 4), base(40, 5)],
      [binary(20, 4), base(40, 5)],
    ]);
    assert.deepEqual(
      q(second)?.map((sum, k) => sum - (q(first)?.[k] ?? 0)),
      bet((5 + 50 * 0.15) / 90),
    );
  });

  it("merges panes until both arms have five records, and then not again", () => {
    const small = [binary(2, 1), base(30, 3)];
    const merged = feed([small, small, small]);
    assert.equal(merged.pending, null);
    assert.equal(merged.relative.marks.length, 1);
    const margin = { kind: "difference", tolerated: 0.01, limit: 0.05 } as const;
    assert.deepEqual(
      q(merged),
      balancedBet(binaryHistogram(6, 3), binaryHistogram(90, 9), { pref: 0.15, v: null }, nullsOf(margin).freeze, deltas(margin, 0.15).freeze),
    );
    assert.equal(feed([small, small]).relative.marks.length, 0);
  });

  it("closes a block at a change of epoch or evaluator, and after the longest wait", () => {
    const small = (over: Partial<Block>) => [binary(2, 1, over), base(30, 3, over)];
    assert.equal(feed([small({}), small({ epoch: 2 })]).relative.marks.length, 1);
    assert.equal(feed([small({}), small({ evaluatorVersion: "v2" })]).relative.marks.length, 1);
    const waited = feed([[binary(1, 1), base(30, 3)], ...Array.from({ length: 15 }, () => [])]);
    assert.deepEqual([waited.relative.marks.length, waited.pending], [1, null]);
  });

  it("compares arms only within one epoch and evaluator: an arm alone proves nothing", () => {
    const state = feed([[binary(50, 50, { epoch: 2 }), base(50, 0, { epoch: 1 })], []]);
    const closed = feed([[], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], []], {}, state);
    for (const sum of q(closed) ?? []) assert.equal(sum, 0);
  });

  it("late rounds freeze, and never advance", () => {
    const early = feed([[binary(20, 2), base(40, 4)]]);
    const late = feed([[binary(20, 18), base(40, 4)]], { round: 1 }, early);
    assert.ok((q(late)?.[4] ?? 0) > (q(early)?.[4] ?? 0));
    assert.deepEqual(late.relative.advance, early.relative.advance);
    assert.deepEqual(late.prior, early.prior);
  });

  it("panes of a pause are no evidence, but the baseline is learned from", () => {
    const paused = feed([[binary(50, 50), base(50, 5)]], { isEvidence: false });
    assert.deepEqual([paused.relative.freeze, paused.relative.advance, paused.prior.n], [[], [], 50]);
  });

  it("counts what was drawn and not scored as failed to advance, and not at all to freeze", () => {
    const scored = [binary(60, 5), base(60, 5)];
    const withGaps = [binary(60, 5, { sampled: 80, records: 80 }), base(60, 5, { sampled: 61, records: 61 })];
    const [full, gaps] = [feed([scored]), feed([withGaps])];
    assert.deepEqual(q(full), q(gaps));
    assert.ok((advanceQ(gaps)?.[0] ?? 0) < (advanceQ(full)?.[0] ?? 0));
  });

  it("does not advance at all while more than 5 % of the baseline is unscored", () => {
    const gaps = [binary(60, 5), base(60, 5, { sampled: 70, records: 70 })];
    const state = feed([gaps, gaps, gaps]);
    const once = feed([gaps]);
    assert.deepEqual(advanceQ(state), advanceQ(once), "the first pane was fed before anything was known, the others were not");
    assert.equal(state.relative.marks.length, 3);
  });

  it("takes blocks that nobody answered for as unscored of the version that was known", () => {
    const known = feed([[binary(60, 5), base(60, 5)]]);
    const silent = { evaluatorVersion: "", records: 60, sampled: 60, scored: 0, values: [], counts: [] };
    const state = feed([...Array.from({ length: 17 }, () => [block(silent), block({ ...silent, arm: "baseline" })])], {}, known);
    assert.equal(state.evaluatorVersion, "v1");
    assert.ok(state.drawn.unscored > 900);
  });

  it("starts advancing anew with another evaluator version, while freezing goes on", () => {
    const one = feed([[binary(60, 5), base(60, 5)]]);
    const two = feed([[binary(60, 5, { evaluatorVersion: "v2" }), base(60, 5, { evaluatorVersion: "v2" })]], {}, one);
    assert.equal(two.relative.advance[0]?.evaluatorVersion, "v2");
    assert.equal(two.relative.freeze.length, 1);
    assert.equal(two.relative.marks.length, 2);
    const fresh = feed([[binary(60, 5), base(60, 5)]]);
    assert.ok(Math.abs((advanceQ(two)?.[0] ?? 0) - (advanceQ(fresh)?.[0] ?? 0)) < 0.3 * Math.abs(advanceQ(fresh)?.[0] ?? 1), "one block's worth, not two");
  });

  it("starts one freeze process per step, and never multiplies shadow and canary", () => {
    const pairs = block({ step: -1, exposure: "shadow", kind: "paired", records: 50, sampled: 50, scored: 50, values: [-100, 0, 100], counts: [2, 40, 8] });
    const shadow = feed([[pairs]], { step: -1 });
    assert.deepEqual(q(shadow), pairedBet({ values: [-1, 0, 1], counts: [2, 40, 8] }, 0.01, "freeze"));
    const canary = feed([[binary(20, 8, { epoch: 2 }), base(40, 4, { epoch: 2 })]], { step: 0 }, shadow);
    const next = feed([[binary(20, 8, { epoch: 3, step: 1 }), base(40, 4, { epoch: 3, step: 1 })]], { step: 1 }, canary);
    assert.deepEqual(
      next.relative.freeze.map(({ step }) => step),
      [-1, 0, 1],
    );
    assert.deepEqual(next.relative.freeze[0]?.process, shadow.relative.freeze[0]?.process);
    assert.ok((next.relative.freeze[1]?.process.q[1] ?? 0) > (next.relative.freeze[2]?.process.q[1] ?? 0), "the first step's process has both blocks");
    const late = feed([[binary(20, 20, { epoch: 2 }), base(40, 4, { epoch: 2 })]], { step: 1 }, next);
    assert.deepEqual(late.relative.freeze[2], next.relative.freeze[2], "a process takes no block from before its start");
  });

  it("tests the candidate's own side against the floor, and the baseline's beside it", () => {
    const bad = (over: Partial<Block>) => ({ signal: "schema_validity", evaluatorVersion: "", ...over });
    const state = feed([[binary(50, 5, bad({})), base(400, 40, bad({}))]], { name: "schema_validity" });
    assert.deepEqual(
      state.floor.freeze[0]?.process.q,
      oneSample(binaryHistogram(50, 5), 0.005, floorAlternatives(0.005).freeze).map((sum) => sum),
    );
    assert.equal(state.baselineFloor.isBelow, true);
  });

  it("has no threshold of a percentile before enough earlier baseline records, and counts exact exceedances from then on", () => {
    const log = (arm: "candidate" | "baseline", n: number, slow: number, bucket: number) =>
      block({
        signal: "latency_p95",
        evaluatorVersion: "",
        kind: "log",
        arm,
        records: n,
        sampled: n,
        scored: n,
        values: [300, bucket],
        counts: [n - slow, slow],
      });
    const first = feed([[log("candidate", 50, 5, 360), log("baseline", 300, 16, 350)]], { name: "latency_p95" });
    assert.deepEqual([first.relative.freeze, first.pending], [[], null], "the pane itself is not its own reference");
    const second = feed([[log("candidate", 50, 25, 351), log("baseline", 300, 16, 350)]], { name: "latency_p95" }, first);
    const margin = { kind: "percentile", level: 0.95 } as const;
    const counts = [binaryHistogram(50, 25), binaryHistogram(300, 16)] as const;
    assert.deepEqual(
      q(second),
      balancedBet(...counts, { pref: 1 - 0.95, v: null }, nullsOf(margin).freeze, deltas(margin, 0).freeze),
      "one bucket is tolerated: 351 is at T shifted by one",
    );
    const third = feed([[log("candidate", 50, 25, 350), log("baseline", 300, 16, 350)]], { name: "latency_p95" }, first);
    assert.ok((q(third)?.[1] ?? 0) < 0, "and 350 is not");
  });

  it("refuses blocks that contradict themselves", () => {
    const broken: readonly Partial<Block>[] = [{ counts: [1] }, { values: [1, 0] }, { values: [0, 2] }, { scored: 5 }, { kind: "log" }, { values: [0, 0.5] }];
    for (const over of broken) {
      assert.throws(() => feed([[binary(20, 2, over)]]), { code: "EVALUATION_ERROR" }, JSON.stringify(over));
    }
  });
});
