import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Block } from "../../../../src/domain/rollout/input.ts";
import { type Arm, Bench, binary } from "./evidence-bench.ts";

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

describe("unscored records of a judged signal that names no missing_scores", () => {
  /** Candidate 15 % bad, baseline 10 %: harm at the limit, with what is missing of each arm per thousand drawn. */
  const judgedAt = (missingCandidate: number, missingBaseline: number) => {
    const bench = new Bench({ signals: [{ name: "task_completion", margin: { limit: 0.05, tolerated: 0.0499 } }, "error_rate"] });
    const arm = (of: Arm, n: number, bad: number, missing: number): Partial<Block>[] => {
      const scored = n - Math.round((n * missing) / 1_000);
      return [
        { signal: "task_completion", arm: of, records: n, sampled: n },
        { ...binary("task_completion", of, scored, Math.round(scored * bad)), records: 0, sampled: 0, evaluatorVersion: "v1" },
      ];
    };
    for (let i = 0; i < 120; i++) bench.pane([...arm("candidate", 200, 0.15, missingCandidate), ...arm("baseline", 200, 0.1, missingBaseline)]);
    return bench.of("task_completion");
  };

  it("cannot hide harm at the limit, whichever arm they are of", () => {
    for (const [candidate, baseline] of [
      [0, 0],
      [0, 40],
      [40, 0],
      [40, 40],
      [0, 4],
    ] as const) {
      assert.equal(judgedAt(candidate, baseline).isSafe, false, `${candidate} and ${baseline} of a thousand are missing`);
    }
  });

  it("are few: the worst of each is assumed; more: both directions are asked for, and equal ones still become safe", () => {
    const few = new Bench({ signals: ["task_completion", "error_rate"] });
    const many = new Bench({ signals: ["task_completion", "error_rate"] });
    const arm = (of: Arm, n: number, missing: number): Partial<Block>[] => [
      { signal: "task_completion", arm: of, records: n, sampled: n },
      { ...binary("task_completion", of, n - missing, Math.round(n / 10)), records: 0, sampled: 0, evaluatorVersion: "v1" },
    ];
    for (let i = 0; i < 120; i++) {
      few.pane([...arm("candidate", 300, 1), ...arm("baseline", 600, 2)]);
      many.pane([...arm("candidate", 100, 2), ...arm("baseline", 200, 4)]);
    }
    const kind = (bench: Bench) => bench.of("task_completion").state.relative.advance[0]?.isComposite;
    assert.deepEqual([kind(few), few.of("task_completion").isSafe], [false, true]);
    assert.deepEqual([kind(many), many.of("task_completion").isSafe], [true, true]);
    assert.equal(many.of("task_completion").state.missing.advance[0]?.process.safe, true);
  });

  it("of a judge's outage count for less as time goes by", () => {
    const bench = new Bench({ signals: ["task_completion", "error_rate"] });
    const pane = (scored: number) =>
      bench.pane(
        (["candidate", "baseline"] as const).flatMap((of) => [
          { signal: "task_completion", arm: of, records: 20, sampled: 20 },
          { ...binary("task_completion", of, scored, Math.round(scored / 10)), records: 0, sampled: 0, evaluatorVersion: "v1" },
        ]),
      );
    for (let i = 0; i < 120; i++) pane(0);
    const share = () => {
      const { sampled, unscored } = bench.of("task_completion").state.drawn;
      return unscored / sampled;
    };
    assert.ok(share() > 0.99);
    for (let i = 0; i < 18 * 60; i++) pane(20);
    assert.ok(share() < 0.05, `${share()} after 18 hours`);
  });
});
