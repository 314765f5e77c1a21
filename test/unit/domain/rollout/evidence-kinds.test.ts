import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assessAll } from "../../../../src/domain/rollout/evidence/assess.ts";
import { forNewEdition } from "../../../../src/domain/rollout/evidence/edition.ts";
import { addFirstSights, noSplit } from "../../../../src/domain/rollout/evidence/split.ts";
import type { Block } from "../../../../src/domain/rollout/input.ts";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { normaliseSpec } from "../../../../src/domain/rollout/spec/normalise.ts";
import type { RolloutPlan } from "../../../../src/domain/rollout/spec/plan.ts";
import { balancedBet, deltas, nullsOf } from "../../../../src/domain/stats/bet.ts";
import { valueCap } from "../../../../src/domain/stats/exceedance.ts";
import { binaryHistogram } from "../../../../src/domain/stats/histogram.ts";
import { bucketMidpoint, logBucket } from "../../../../src/domain/stats/log-bucket.ts";
import { threshold } from "../../../../src/domain/stats/nano-nats.ts";
import { deps, spec, startMs } from "../../../fixtures/rollout-world.ts";
import { Bench, binary, cost, counted, empty, grid, MINUTE, rubrics } from "./evidence-bench.ts";

describe("scores", () => {
  const signals = ["task_completion", "groundedness"];

  it("are bet on by their exact values, with a variance known before", () => {
    const bench = new Bench({ signals });
    bench.pane([grid("candidate", [0, 30], [10, 10]), grid("baseline", [0, 30], [30, 10])]);
    const margin = { kind: "difference", tolerated: 0.006, limit: 0.03 } as const;
    const [a, b] = [
      { values: [0, 0.3], counts: [10, 10] },
      { values: [0, 0.3], counts: [30, 10] },
    ];
    const known = { pref: 0.1, v: 0.0256 };
    const bets = (use: "freeze" | "advance") => balancedBet(a, b, known, nullsOf(margin)[use], deltas(margin, known.pref)[use]);
    const { relative } = bench.of("groundedness").state;
    assert.deepEqual(relative.freeze[0]?.process.q, bets("freeze"));
    assert.deepEqual(relative.advance[0]?.process.q, bets("advance"));
  });

  it("worse by 0.05 freeze, and equal ones become safe", () => {
    const worse = new Bench({ signals });
    const same = new Bench({ signals });
    for (let i = 0; i < 120; i++) {
      worse.pane([grid("candidate", [10, 30], [10, 10]), grid("baseline", [5, 25], [20, 20])]);
      same.pane([grid("candidate", [5, 25], [10, 10]), grid("baseline", [5, 25], [20, 20])]);
    }
    assert.deepEqual(worse.crossing.breaches, ["groundedness"]);
    assert.equal(worse.of("groundedness").isSafe, false);
    assert.equal(same.crossing.isCrossed, false);
    assert.equal(same.of("groundedness").isSafe, true);
  });
});

describe("means", () => {
  const signals = ["task_completion", "cost_per_request"];

  it("are no evidence before the cap is known, which then stays for the attempt", () => {
    const bench = new Bench({ signals });
    const spread = { signal: "cost_per_request", kind: "log" as const, arm: "baseline" as const, ...counted([300, 400], [260, 20]) };
    bench.pane([cost("candidate", 0.001, 30), spread]);
    const first = bench.of("cost_per_request").state;
    assert.deepEqual([first.cap, first.relative.freeze], [null, []]);
    bench.pane([cost("candidate", 0.001, 30), spread]);
    const { cap } = bench.of("cost_per_request").state;
    const seen = { values: [300, 400], counts: [520, 40] };
    assert.equal(cap, Math.ceil(valueCap(seen) ?? 0));
    assert.ok((cap ?? 0) >= bucketMidpoint(400));
    bench.pane([cost("candidate", 0.001, 30), cost("baseline", 5, 200)]);
    assert.equal(bench.of("cost_per_request").state.cap, cap, "later records do not move it");
    assert.equal(bench.of("cost_per_request").state.relative.freeze.length, 1);
  });

  it("40 % dearer freeze, equal ones become safe, and a runaway loop is caught by its own test", () => {
    const run = (candidate: readonly Partial<Block>[]) => {
      const bench = new Bench({ signals });
      for (let i = 0; i < 90; i++) bench.pane([...candidate, cost("baseline", 0.001, 200)]);
      return bench;
    };
    const dearer = run([cost("candidate", 0.0014, 40)]);
    assert.deepEqual(dearer.crossing.breaches, ["cost_per_request"]);
    const same = run([cost("candidate", 0.001, 40)]);
    assert.equal(same.crossing.isCrossed, false);
    assert.equal(same.of("cost_per_request").isSafe, true);
    const loops = run([{ ...cost("candidate", 0.001, 0), ...counted([logBucket(1_000), logBucket(50_000)], [39, 1]) }]);
    const { runaway } = loops.of("cost_per_request").state;
    assert.ok((runaway.freeze[0]?.logE ?? 0) > threshold(0.05), "one call in forty cost fifty times as much");
  });
});

describe("slices", () => {
  const signals = ["task_completion", "error_rate"];
  const over = {
    signals,
    slices: [
      { name: "billing", share: 0.1 },
      { name: "other", share: 0.9 },
    ],
  };
  /** Errors only in billing, a tenth of the traffic: barely seen in all of it. */
  const pane = (inBilling: number): Partial<Block>[] => [
    binary("error_rate", "candidate", 100, inBilling),
    binary("error_rate", "baseline", 300, 3),
    binary("error_rate", "candidate", 10, inBilling, { slice: "billing" }),
    binary("error_rate", "baseline", 30, 0, { slice: "billing" }),
    binary("error_rate", "candidate", 90, 0, { slice: "other" }),
    binary("error_rate", "baseline", 270, 3, { slice: "other" }),
  ];

  it("share half of a signal's weight by their fixed shares, and stop by themselves", () => {
    const bench = new Bench(over);
    for (let i = 0; i < 40; i++) bench.pane(pane(i % 2 === 0 ? 2 : 1));
    const { slices } = bench.of("error_rate");
    assert.deepEqual(
      slices.map(({ name, share }) => [name, Math.round(share * 1_000) / 1_000]),
      // A share of 0.1 is below the floor of 1/8.
      [
        ["all", 0.5],
        ["billing", 0.061],
        ["other", 0.439],
      ],
    );
    assert.deepEqual(bench.crossing.breaches, ["error_rate"]);
    assert.deepEqual(bench.crossing.slices.error_rate, ["billing"]);
    assert.ok((slices[1]?.logE ?? 0) > threshold(0.001) && (slices[2]?.logE ?? 0) < 0);
  });

  it("that were never seen count as 1, and withhold what they speak against", () => {
    const bench = new Bench(over);
    for (let i = 0; i < 30; i++) bench.pane(pane(1).filter(({ slice }) => slice === undefined));
    assert.deepEqual(
      bench.of("error_rate").slices.map(({ logE }) => logE !== 0),
      [true, false, false],
    );
    const worried = new Bench(over);
    for (let i = 0; i < 6; i++) worried.pane(pane(2));
    assert.ok(worried.of("error_rate").stepLogE > (worried.of("error_rate").slices[0]?.logE ?? 0), "the slice's own evidence is asked too");
  });
});

describe("subjects that are alike", () => {
  it("divide log E by the design effect of their buckets, since the process began", () => {
    const alone = new Bench({ signals: ["task_completion", "error_rate"] });
    const alike = new Bench({ signals: ["task_completion", "error_rate"] });
    // All errors come from one bucket of subjects.
    const buckets = (n: number, bad: number) => ({ subjectCounts: new Array<number>(32).fill(n / 32), subjectSums: [bad, ...new Array<number>(31).fill(0)] });
    for (let i = 0; i < 20; i++) {
      const blocks = [binary("error_rate", "candidate", 64, 3), binary("error_rate", "baseline", 320, 3)] as const;
      alone.pane(blocks);
      alike.pane([
        { ...blocks[0], ...buckets(64, 3) },
        { ...blocks[1], ...buckets(320, 3) },
      ]);
    }
    const [raw, tempered] = [alone.of("error_rate").state.relative.freeze[0], alike.of("error_rate").state.relative.freeze[0]];
    assert.deepEqual(tempered?.process.q, raw?.process.q, "the state is the untempered sums");
    assert.equal(raw?.deff, 1);
    assert.ok((tempered?.deff ?? 0) > 20, String(tempered?.deff));
    assert.ok(alone.crossing.isCrossed && !alike.crossing.isCrossed);
  });
});

describe("floors", () => {
  it("bind the candidate of a baseline that is below them only when strict", () => {
    const run = (floor: "strict" | undefined) => {
      const bench = new Bench({ signals: ["task_completion", { name: "schema_validity", ...(floor === undefined ? {} : { floor }) }] });
      for (let i = 0; i < 60; i++) bench.pane([binary("schema_validity", "candidate", 50, 2), binary("schema_validity", "baseline", 100, 4)]);
      return bench;
    };
    const relative = run(undefined);
    assert.ok(relative.of("schema_validity").state.baselineFloor.isBelow && !relative.crossing.isCrossed);
    const strict = run("strict");
    assert.equal(strict.of("schema_validity").state.baselineFloor.isBelow, false);
    assert.deepEqual(strict.crossing.breaches, ["schema_validity"]);
  });
});

describe("a calibrated judge", () => {
  it("is tested at margins times its J", () => {
    const planned = (judgeError: object) => new Bench({ signals: [{ name: "task_completion", ...judgeError }] });
    const bench = planned({ judgeError: { sensitivity: 0.9, specificity: 0.8 } });
    bench.pane([
      binary("task_completion", "candidate", 20, 5, { evaluatorVersion: "v1" }),
      binary("task_completion", "baseline", 40, 5, { evaluatorVersion: "v1" }),
    ]);
    const margin = { kind: "difference", tolerated: 0.01 * (0.9 + 0.8 - 1), limit: 0.05 * (0.9 + 0.8 - 1) } as const;
    const known = { pref: 0.15, v: null };
    assert.deepEqual(
      bench.of("task_completion").state.relative.freeze[0]?.process.q,
      balancedBet(binaryHistogram(20, 5), binaryHistogram(40, 5), known, nullsOf(margin).freeze, deltas(margin, 0.15).freeze),
    );
    assert.equal(bench.of("task_completion").planned.margin.limit, 0.05, "people are shown the true margin");
  });
});

describe("split health", () => {
  const sights = (candidate: number, baseline: number): Block[] => [
    { ...empty, arm: "candidate", newSubjects: candidate },
    { ...empty, arm: "baseline", newSubjects: baseline },
    { ...empty, arm: "baseline", slice: "long", newSubjects: 99 },
    { ...empty, arm: "candidate", newSubjects: null },
  ];

  it("finds subjects that do not arrive as planned, keeps it for the attempt, and leaves a right split alone", () => {
    let right = noSplit;
    let wrong = noSplit;
    for (let i = 0; i < 200; i++) {
      right = addFirstSights(right, sights(10, 90), 0.1);
      wrong = addFirstSights(wrong, sights(7, 93), 0.1);
    }
    assert.deepEqual([right.isMismatch, right.candidate, right.baseline], [false, 2_000, 18_000]);
    assert.equal(wrong.isMismatch, true);
    for (let i = 0; i < 2_000; i++) wrong = addFirstSights(wrong, sights(10, 90), 0.1);
    assert.equal(wrong.isMismatch, true, "whoever was put on the wrong arm stays there");
  });

  it("holds the rollout with its reason", () => {
    const bench = new Bench({});
    const latency = { signal: "latency_p95", kind: "log" } as const;
    for (let i = 0; i < 200; i++)
      bench.pane([
        { ...latency, arm: "candidate", newSubjects: 2 },
        { ...latency, arm: "baseline", newSubjects: 98 },
      ]);
    const step = reduce(bench.state, { kind: "tick", atMs: startMs + 200 * MINUTE }, deps);
    assert.ok(step.state.current?.reasons.includes("split_mismatch"), step.state.current?.reasons.join());
  });
});

describe("an edit of margins", () => {
  const judged = (bad: number) => [
    binary("task_completion", "candidate", 20, bad, { evaluatorVersion: "v1" }),
    binary("task_completion", "baseline", 40, 4, { evaluatorVersion: "v1" }),
  ];
  function edited(plan: RolloutPlan): RolloutPlan {
    const declared = spec({ shadow: { share: 0 }, signals: [{ name: "task_completion", margin: { limit: 0.2 } }, "error_rate"] });
    const result = normaliseSpec(declared, rubrics);
    assert.ok(result.kind === "plan");
    return { ...result.plan, ladder: plan.ladder };
  }

  it("starts anew with half of the weight, the old evidence goes on with the other half, and advancing is asked for twice", () => {
    const bench = new Bench({ signals: ["task_completion", "error_rate"] });
    for (let i = 0; i < 5; i++) bench.pane(judged(4));
    const before = bench.of("task_completion").state.relative.freeze[0]?.process.q;
    const at = startMs + 6 * MINUTE;
    bench.state = { ...bench.state, current: forNewEdition(bench.attempt, edited(bench.attempt.plan), at) };
    assert.equal(bench.attempt.halvings, 1);
    bench.pane(judged(4));
    const all = assessAll(bench.attempt).filter(({ planned }) => planned.name === "task_completion");
    assert.deepEqual(
      all.map(({ edition, weight, planned }) => [edition, Math.round(weight * 1_000), planned.margin.limit]),
      [
        [0, 167, 0.2],
        [1, 167, 0.05],
      ],
    );
    assert.notDeepEqual(all[1]?.state.relative.freeze[0]?.process.q, before, "the old process takes panes from after the edit too");
    assert.ok(all[0]?.state.relative.freeze.length === 1 && all[1]?.isRequired === false);
    assert.ok(Math.abs(assessAll(bench.attempt).reduce((sum, { weight }) => sum + weight, 0) - 1) < 1e-12);
    for (let i = 0; i < 60; i++) bench.pane(judged(6));
    assert.ok(bench.crossing.isCrossed, "harm beyond the old margin is still found, with half the weight");
  });

  it("takes no pane that began before it under the new margins", () => {
    const bench = new Bench({ signals: ["task_completion", "error_rate"] });
    bench.pane(judged(4));
    bench.state = { ...bench.state, current: forNewEdition(bench.attempt, edited(bench.attempt.plan), startMs + 2 * MINUTE + 1) };
    bench.pane(judged(4));
    const [present, old] = assessAll(bench.attempt).filter(({ planned }) => planned.name === "task_completion");
    assert.deepEqual([present?.state.relative.freeze.length, old?.state.relative.freeze.length], [0, 1]);
    assert.equal(old?.state.relative.marks.length, 2);
  });
});
