import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dayCellOf } from "../../../../src/domain/drift/day-cells.ts";
import { addLosses, nowOf, quiet } from "../../../../src/domain/drift/detector.ts";
import { addRun, goldenVerdict, newGolden, takeGolden } from "../../../../src/domain/drift/golden.ts";
import { addPane, isEnough, newProfile, REFERENCE_ALPHA, takeProfile } from "../../../../src/domain/drift/profile.ts";
import { ALWAYS_BLOCKS, alarmBound } from "../../../../src/domain/drift/watch-state.ts";
import type { WatchedSignal } from "../../../../src/domain/drift/watched.ts";
import type { Block } from "../../../../src/domain/rollout/input.ts";
import { FREEZE_WEIGHTS } from "../../../../src/domain/stats/bet.ts";
import { detectorLogM, referenceBound, referenceBoundOfScores, referenceCells } from "../../../../src/domain/stats/drift.ts";
import { binaryHistogram } from "../../../../src/domain/stats/histogram.ts";
import { ln } from "../../../../src/domain/stats/ln.ts";
import { nano } from "../../../../src/domain/stats/nano-nats.ts";
import { dice } from "../../../fixtures/rollout-world.ts";

const HOUR = 3_600_000;
const task: WatchedSignal = { name: "task", group: "judge", form: "binary", tolerated: 0.01, span: 0.04, shift: 0, weight: 1 };
const latency: WatchedSignal = { name: "latency", group: "calls", form: "exceedance", tolerated: 0, span: 0.025, shift: 1, weight: 1 };

function block(signal: string, kind: Block["kind"], values: readonly number[], counts: readonly number[], over: Partial<Block> = {}): Block {
  const n = counts.reduce((sum, count) => sum + count, 0);
  const series = { rollout: "", attempt: 0, step: -1, epoch: 1, version: "a@1", arm: "none", exposure: "served", slice: "all", samplePpm: 1_000_000 } as const;
  const empty = { evaluatorVersion: "", abstained: 0, failed: 0, newSubjects: null, subjectCounts: [], subjectSums: [] };
  return { ...series, ...empty, signal, kind, values: [...values], counts: [...counts], records: n, sampled: n, scored: n, ...over };
}

const pane = (startMs: number) => ({ startMs, endMs: startMs + HOUR, need: 1_000 });

describe("cells of the day", () => {
  it("are six hours long, and weekends have their own where there are eight", () => {
    const thursday = 0;
    const saturday = 2 * 24 * HOUR;
    assert.deepEqual(
      [0, 6, 12, 23].map((hour) => dayCellOf(thursday + hour * HOUR, 4)),
      [0, 1, 2, 3],
    );
    assert.deepEqual([dayCellOf(thursday + 7 * HOUR, 8), dayCellOf(saturday + 7 * HOUR, 8), dayCellOf(saturday + 7 * HOUR, 4)], [1, 5, 1]);
  });

  it("merge with the next below twice the fewest records of a reference", () => {
    const day = [
      { n: 150, bad: 1 },
      { n: 100, bad: 2 },
      { n: 400, bad: 3 },
      { n: 50, bad: 4 },
    ];
    assert.deepEqual(
      referenceCells(day, 100)?.map(({ cells }) => cells),
      [[2], [3, 0, 1]],
    );
    assert.equal(referenceCells(day), null);
  });
});

describe("a reference profile", () => {
  it("gives each cell its own bound, which carries the reference's error, and only watches what has too few records", () => {
    let profile = newProfile("a@1", [task, latency]);
    for (const cell of [0, 1, 2, 3]) profile = addPane(profile, [block("task", "binary", [0, 1], [2_700, 300 * (1 + cell)])], pane(cell * 6 * HOUR));
    assert.ok(isEnough(profile, 1_000));
    const taken = takeProfile(profile, 1, 1_000);
    const bounds = taken.signals[0]?.bounds;
    assert.deepEqual(
      bounds?.byCell,
      [1, 2, 3, 4].map((k) => referenceBound(300 * k, 2_700 + 300 * k, 0.01, REFERENCE_ALPHA / 2, 4)),
    );
    assert.equal(taken.signals[1]?.bounds, null);
  });

  it("fixes the threshold of a percentile before it counts what exceeds it", () => {
    let profile = newProfile("a@1", [latency]);
    const hour = () => block("latency", "log", [100, 200], [940, 60]);
    profile = addPane(profile, [hour()], pane(0));
    assert.deepEqual([profile.signals[0]?.threshold, profile.signals[0]?.cells[0]?.n], [200, 0]);
    profile = addPane(profile, [hour()], pane(0));
    assert.deepEqual(profile.signals[0]?.cells[0], { n: 1_000, sum: 60, sumSquares: 60 });
  });

  it("knows less when few subjects made its records", () => {
    const subjectCounts = Array.from({ length: 32 }, () => 100);
    const subjectSums = subjectCounts.map((n, i) => (i < 4 ? n : 0));
    const alike = addPane(newProfile("a@1", [task]), [block("task", "binary", [0, 1], [2_800, 400], { subjectCounts, subjectSums })], pane(0));
    const bounds = takeProfile(alike, 1, 1_000).signals[0]?.bounds;
    assert.ok((bounds?.deff ?? 0) > 50);
    assert.ok((bounds?.byCell[0] ?? 0) > referenceBound(400, 3_200, 0.01, REFERENCE_ALPHA, 1));
  });
});

describe("the bound of scores", () => {
  it("is the mean that n KL does not exclude, above Clopper and Pearson's, and 1 without good records", () => {
    const u = referenceBoundOfScores(20, 100, 0.01, 0.01, 1);
    const kl = 0.2 * Math.log(0.2 / u) + 0.8 * Math.log(0.8 / (1 - u));
    assert.ok(Math.abs(100 * kl - Math.log(1 / 0.002)) < 1e-6);
    assert.ok(u > referenceBound(20, 100, 0.01, 0.01, 1));
    assert.deepEqual([referenceBoundOfScores(0, 0, 0, 0.01, 1), referenceBoundOfScores(5, 5, 0, 0.01, 1)], [1, 1]);
    assert.ok(Math.abs(referenceBoundOfScores(0, 1_000, 0, 0.01, 1) - (1 - Math.exp(-Math.log(500) / 1_000))) < 1e-9);
  });
});

/** Block in which a detector alarms, or null; 50 records a block. */
function alarmIn(blocks: number, rate: (block: number) => number, about: { readonly bound: number; readonly lnC: number; readonly random: () => number }) {
  let state = quiet;
  for (let b = 0; b < blocks; b++) {
    let bad = 0;
    for (let i = 0; i < 50; i++) if (about.random() < rate(b)) bad++;
    state = addLosses(state, binaryHistogram(50, bad), { block: b, bound: about.bound, span: 0.04, deff: 1, variance: null });
    if ((detectorLogM(nowOf(state, 1), FREEZE_WEIGHTS) ?? 0) >= about.lnC) return b;
  }
  return null;
}

describe("the detector", () => {
  const random = dice(11);
  /** 72 h at c = 10 T: at most 0.1 per run by the theorem, so more than 14 of 30 happen with probability below 2e-7. */
  it("raises few false alarms at the very edge of its bound (fails by chance with probability < 2e-7)", () => {
    let alarms = 0;
    for (let run = 0; run < 30; run++) if (alarmIn(432, () => 0.16, { bound: 0.16, lnC: nano(ln(4_320)), random }) !== null) alarms++;
    assert.ok(alarms <= 14, `${alarms} of 30`);
  });

  it("finds +10 points against a reference of 2,000 records within a day, also late", () => {
    const bound = referenceBound(300, 2_000, 0.01, REFERENCE_ALPHA, 1);
    const lnC = alarmBound({ blockMs: 600_000 }, null);
    assert.equal(lnC, nano(ln(ALWAYS_BLOCKS)));
    const found = Array.from({ length: 5 }, () => alarmIn(500, (b) => (b < 300 ? 0.15 : 0.25), { bound, lnC, random }));
    assert.ok(
      found.every((b) => b !== null && b >= 300 && b < 444),
      found.join(),
    );
  });
});

describe("golden prompts", () => {
  it("fail when far more of them fail than at the reference, and not for one bad run of few", () => {
    const run = (failed: number, atMs: number) => ({ version: "a@1", passed: 20 - failed, failed, atMs });
    let golden = newGolden("a@1");
    for (let i = 0; i < 5; i++) golden = addRun(golden, run(1, i + 1));
    assert.equal(goldenVerdict(golden, "a@1"), "unknown");
    golden = takeGolden(golden);
    for (let i = 0; i < 20; i++) golden = addRun(golden, run(2, 10 + i));
    assert.equal(goldenVerdict(golden, "a@1"), "passing");
    assert.equal(goldenVerdict(golden, "b@1"), "unknown");
    for (let i = 0; i < 3; i++) golden = addRun(golden, run(14, 50 + i));
    assert.equal(goldenVerdict(golden, "a@1"), "failing");
  });
});
