import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assessAll } from "../../../../src/domain/rollout/evidence/assess.ts";
import { crossing } from "../../../../src/domain/rollout/evidence/crossing.ts";
import { forNewEdition } from "../../../../src/domain/rollout/evidence/edition.ts";
import { addFirstSights, noSplit } from "../../../../src/domain/rollout/evidence/split.ts";
import { feedPane } from "../../../../src/domain/rollout/feed-pane.ts";
import type { Block, PaneInput } from "../../../../src/domain/rollout/input.ts";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { normaliseSpec } from "../../../../src/domain/rollout/spec/normalise.ts";
import type { RolloutPlan } from "../../../../src/domain/rollout/spec/plan.ts";
import { type Attempt, initialState, type RouteState } from "../../../../src/domain/rollout/state.ts";
import { balancedBet, deltas, nullsOf } from "../../../../src/domain/stats/bet.ts";
import { valueCap } from "../../../../src/domain/stats/exceedance.ts";
import { binaryHistogram } from "../../../../src/domain/stats/histogram.ts";
import { bucketMidpoint, logBucket } from "../../../../src/domain/stats/log-bucket.ts";
import { threshold } from "../../../../src/domain/stats/nano-nats.ts";
import type { RolloutSpec, RoutingTable } from "../../../../topics/index.ts";
import { deps, spec, specInput, startMs } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const rubrics: RoutingTable["rubrics"] = [
  {
    name: "t@1",
    digest: "d",
    signals: [
      { name: "task_completion", form: "binary" },
      { name: "groundedness", form: "grid" },
    ],
  },
];

/** A rollout in its first step of 10 %, without shadow, that reads the blocks that a test gives it. */
class Bench {
  state: RouteState;
  #minute = 0;
  constructor(over: Partial<RolloutSpec>) {
    const declared = spec({ shadow: { share: 0 }, ...over });
    this.state = reduce(initialState(declared.route), specInput(declared, startMs, { rubrics }), deps).state;
    assert.ok(this.state.current !== null, "the spec was refused");
  }
  get attempt(): Attempt {
    return this.state.current as Attempt;
  }
  /** Feeds one pane, without a look. */
  pane(blocks: readonly Partial<Block>[], over: Partial<PaneInput> = {}): void {
    const { plan, step } = this.attempt;
    const paneStartMs = startMs + MINUTE * ++this.#minute;
    const group = (block: Partial<Block>) => plan.signals.find(({ name }) => name === block.signal)?.group ?? "calls";
    for (const own of ["calls", "judge"] as const) {
      const mine = blocks
        .filter((block) => group(block) === own)
        .map((block) => ({ ...empty, rollout: plan.rollout, step, epoch: this.state.epoch, ...block }));
      const input: PaneInput = { kind: "pane", atMs: 0, group: own, paneStartMs, paneMs: MINUTE, round: 0, watermarkMs: 0, blocks: mine, ...over };
      this.state = feedPane(this.state, this.attempt, input);
    }
    assert.equal(this.attempt.evaluationError, null);
  }
  of(name: string) {
    const found = assessAll(this.attempt).find(({ planned, edition }) => planned.name === name && edition === 0);
    assert.ok(found !== undefined);
    return found;
  }
  get crossing() {
    return crossing(assessAll(this.attempt), this.attempt.plan, false);
  }
}

const empty: Block = {
  rollout: "",
  attempt: 1,
  step: 0,
  epoch: 1,
  version: "v",
  arm: "candidate",
  exposure: "served",
  slice: "all",
  signal: "",
  evaluatorVersion: "",
  samplePpm: 1_000_000,
  kind: "binary",
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
};
type Arm = "candidate" | "baseline";
const counted = (values: readonly number[], counts: readonly number[]) => {
  const n = counts.reduce((sum, count) => sum + count, 0);
  return { values: [...values], counts: [...counts], records: n, sampled: n, scored: n };
};
const binary = (signal: string, arm: Arm, n: number, bad: number, over: Partial<Block> = {}): Partial<Block> => ({
  signal,
  arm,
  ...counted([0, 1], [n - bad, bad]),
  ...over,
});
const grid = (arm: Arm, values: readonly number[], counts: readonly number[]): Partial<Block> => ({
  signal: "groundedness",
  kind: "grid",
  evaluatorVersion: "v1",
  arm,
  ...counted(values, counts),
});
const cost = (arm: Arm, dollars: number, n: number): Partial<Block> => ({
  signal: "cost_per_request",
  kind: "log",
  arm,
  ...counted([logBucket(dollars * 1e6)], [n]),
});

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
    const bets = (use: "freeze" | "advance", limit = margin) => balancedBet(a, b, known, nullsOf(limit)[use], deltas(limit, known.pref)[use]);
    const { relative } = bench.of("groundedness").state;
    assert.deepEqual(relative.freeze[0]?.process.q, bets("freeze"));
    // Nothing was unscored, but missing scores may hide one point: section 1.8.
    assert.deepEqual(relative.advance[0]?.process.q, bets("advance", { ...margin, limit: 0.02 } as never));
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

describe("missing scores", () => {
  const signals = ["task_completion", "missing_scores"];
  const judged = (arm: Arm, sampled: number, scored: number): Partial<Block>[] => [
    { signal: "task_completion", arm, records: sampled, sampled },
    { ...binary("task_completion", arm, scored, Math.round(scored / 10)), records: 0, sampled: 0, evaluatorVersion: "v1" },
  ];

  it("of the candidate stop, of either arm keep from advancing, and late ones stay missing", () => {
    const run = (candidate: number, baseline: number) => {
      const bench = new Bench({ signals });
      for (let i = 0; i < 100; i++) bench.pane([...judged("candidate", 20, candidate), ...judged("baseline", 40, baseline)]);
      bench.pane(judged("candidate", 0, 400), { round: 1 });
      return bench;
    };
    const mine = run(17, 40);
    assert.ok(mine.crossing.breaches.includes("missing_scores"));
    const theirs = run(20, 37);
    assert.equal(theirs.crossing.isCrossed, false, "that the baseline misses more is no harm");
    assert.equal(theirs.of("missing_scores").isSafe, false, "but it hides what the comparison rests on");
    const same = run(20, 40);
    assert.equal(same.of("missing_scores").isSafe, true);
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
