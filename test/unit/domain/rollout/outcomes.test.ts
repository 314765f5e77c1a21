import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { editProblems, isTableEdited, loosenings } from "../../../../src/domain/rollout/edit.ts";
import { isFed, withFed } from "../../../../src/domain/rollout/feed-pane.ts";
import type { Block, PaneInput } from "../../../../src/domain/rollout/input.ts";
import { lookAt } from "../../../../src/domain/rollout/look.ts";
import { routingTable } from "../../../../src/domain/rollout/routing-table.ts";
import { normaliseSpec } from "../../../../src/domain/rollout/spec/normalise.ts";
import { noPanes } from "../../../../src/domain/rollout/state.ts";
import { type RolloutSpec, rolloutSpec } from "../../../../topics/rollout-spec.ts";
import { spec } from "../../../fixtures/rollout-world.ts";
import { type Arm, Bench, binary, MINUTE, rubrics } from "./evidence-bench.ts";

const matured = { name: "form_filled", source: "outcome", maturity: "30m" } as const;
const undated = { name: "thumbs", source: "outcome" } as const;
const normalised = (signals: readonly unknown[], over: object = {}) =>
  normaliseSpec(rolloutSpec.parse({ ...spec(), judge: undefined, signals, ...over }) as RolloutSpec, []);
function problems(signals: readonly unknown[], over: object = {}): string[] {
  const found = normalised(signals, over);
  return found.kind === "refused" ? found.problems.map(({ path, message }) => `${path} ${message}`) : [];
}

/** So many calls expect an outcome, of so many one came, so many of them bad. */
const outcomes = (signal: string, arm: Arm, [expected, told, bad]: readonly [number, number, number]): Partial<Block> => ({
  ...binary(signal, arm, told, bad),
  records: expected,
  sampled: expected,
  evaluatorVersion: "outcome",
});

describe("a signal that outcomes measure", () => {
  it("needs no judge: a preset or any other name, pass/fail or a score", () => {
    const found = normalised([{ name: "task_completion", source: "outcome", maturity: "1h" }, { ...undated, form: "score" }, "error_rate"]);
    assert.ok(found.kind === "plan");
    assert.deepEqual(
      found.plan.signals.map(({ name, source, group, kind, maturityMs, gate, margin }) => [name, source, group, kind, maturityMs, gate, margin.limit]),
      [
        ["task_completion", "outcome", "outcome", "binary", 3_600_000, "confidence", 0.05],
        ["thumbs", "outcome", "outcome", "score", null, "confidence", 0.03],
        ["error_rate", "call", "calls", "binary", undefined, "cohort", 0.01],
      ],
    );
  });

  it("is refused with the field when it is measured otherwise, a quantity, or matures at a time that cannot be", () => {
    const cases: [unknown, RegExp][] = [
      [{ name: "error_rate", source: "outcome" }, /^signals\[0\]\.source cannot be outcome: error_rate is measured by headgate itself/],
      [{ name: "cost_per_trace", source: "outcome" }, /^signals\[0\]\.source cannot be outcome: cost_per_trace is a quantity/],
      [{ ...matured, maturity: "1s" }, /^signals\[0\]\.maturity of form_filled is 1000 ms, shorter than a pane/],
      [{ ...matured, maturity: "7h" }, /^signals\[0\]\.maturity of form_filled is 25200000 ms, longer than 6h/],
      [{ name: "schema_validity", maturity: "1h" }, /^signals\[0\]\.maturity of schema_validity has no meaning: only outcomes mature/],
      [{ ...matured, judgeError: { sensitivity: 0.9, specificity: 0.9 } }, /^signals\[0\]\.judgeError .*only judged signals/],
    ];
    for (const [signal, expected] of cases)
      assert.ok(
        problems([signal, matured === signal ? "error_rate" : { ...matured, name: "other" }]).some((each) => expected.test(each)),
        String(expected),
      );
  });

  it("without maturity cannot be the only proof of quality, since who tells outcomes is no fair sample", () => {
    assert.match(
      problems([undated, "error_rate"]).join(),
      /^signals holds no guardrail of the confidence gate that a step can rest on: thumbs is an outcome without maturity/,
    );
    assert.deepEqual(problems([matured, "error_rate"]), []);
    assert.deepEqual(problems([undated, "error_rate"], { confidence: "none" }), []);
  });

  it("is announced in the routing table with its form and maturity, also after the attempt, since outcomes come late", () => {
    const bench = new Bench({ signals: [matured, { ...undated, form: "score" }, "error_rate"] });
    const about = { reason: "", gateEventId: "", atMs: 0 };
    for (const phase of ["canary", "rolled_back"] as const) {
      assert.deepEqual(routingTable(bench.state, { ...bench.attempt, phase }, about).outcomes, [
        { signal: "form_filled", form: "binary", maturityMs: 1_800_000 },
        { signal: "thumbs", form: "grid", maturityMs: null },
      ]);
    }
  });
});

describe("an edit of a signal that outcomes measure", () => {
  const plan = (signal: object) => {
    const found = normalised([signal, { ...matured, name: "other" }, "error_rate"]);
    assert.ok(found.kind === "plan");
    return found.plan;
  };

  it("that takes its maturity away needs an approval, since no step rests on it then; another one does not, but gateways and samplers are told", () => {
    const now = plan(matured);
    const { maturity: _, ...without } = matured;
    assert.deepEqual(loosenings(now, plan(without)), ["form_filled has no maturity any more, so that no step rests on it"]);
    const longer = plan({ ...matured, maturity: "1h" });
    assert.deepEqual([loosenings(now, longer), isTableEdited(now, longer), isTableEdited(now, now)], [[], true, false]);
  });

  it("cannot make another measurement of it", () => {
    const bench = new Bench({ signals: ["task_completion", "error_rate"] });
    const found = normaliseSpec(
      spec({ shadow: { share: 0 }, signals: [{ name: "task_completion", source: "outcome", maturity: "5m" }, "error_rate"] }),
      rubrics,
    );
    assert.ok(found.kind === "plan");
    assert.ok(editProblems(bench.attempt, found.plan).includes("signals: task_completion cannot change its source while the rollout runs"));
  });
});

describe("the evidence of outcomes", () => {
  const run = (candidate: readonly [number, number, number], baseline: readonly [number, number, number], panes = 120) => {
    const bench = new Bench({ signals: [matured, "error_rate"] });
    for (let i = 0; i < panes; i++) bench.pane([outcomes("form_filled", "candidate", candidate), outcomes("form_filled", "baseline", baseline)]);
    return bench;
  };

  it("proves a candidate as good as the baseline, and stops a worse one", () => {
    const good = run([50, 50, 5], [100, 100, 10]);
    assert.deepEqual([good.of("form_filled").isRequired, good.of("form_filled").isSafe, good.crossing.isCrossed], [true, true, false]);
    const bad = run([50, 50, 15], [100, 100, 10]);
    assert.ok(bad.crossing.breaches.includes("form_filled"));
    assert.equal(bad.of("form_filled").isSafe, false);
  });

  it("that did not come in time is unscored: few are taken for the worst, too many are no data", () => {
    assert.equal(run([50, 49, 5], [100, 98, 10]).of("form_filled").state.drawn.unscored > 0, true);
    const many = run([50, 40, 4], [100, 80, 8]);
    assert.deepEqual([many.of("form_filled").hasNoData, many.of("form_filled").isSafe, many.crossing.isCrossed], [true, false, false]);
  });

  it("that comes in a later round stops, and never lets advance", () => {
    const bench = new Bench({ signals: [{ ...undated, margin: { limit: 0.05 } }, matured, "error_rate"] });
    const late = (arm: Arm, bad: number) => ({ ...outcomes("thumbs", arm, [0, 20, bad]) });
    for (let i = 1; i <= 60; i++) bench.pane([late("candidate", 14), late("baseline", 2)], { round: i });
    assert.ok(bench.crossing.breaches.includes("thumbs"));
    assert.deepEqual([bench.of("thumbs").isRequired, bench.of("thumbs").state.relative.advance], [false, []]);
  });

  it("is fresh for as long as it takes to mature, and is not asked for in shadow", () => {
    const bench = run([50, 50, 5], [100, 100, 10], 40);
    const atMs = bench.attempt.stepSinceMs + 40 * MINUTE;
    const about = (extraMs: number) => lookAt(bench.state, bench.attempt, atMs + extraMs).outcomes.find(({ gate }) => gate === "confidence");
    assert.doesNotMatch(about(30 * MINUTE)?.message ?? "", /closed lately for form_filled/);
    assert.match(about(60 * MINUTE)?.message ?? "", /closed lately for form_filled/);
    const shadow = new Bench({ signals: [matured, "task_completion", "error_rate"] });
    shadow.state = { ...shadow.state, current: { ...shadow.attempt, phase: "shadow", step: -1 } };
    assert.equal(shadow.of("form_filled").isRequired, false);
  });

  it("takes each round once, in the order in which rounds are written, also of panes that had no outcome before", () => {
    const pane = (paneStartMs: number, round: number): PaneInput => ({
      kind: "pane",
      atMs: 0,
      group: "outcome",
      paneStartMs,
      paneMs: MINUTE,
      round,
      watermarkMs: 0,
      blocks: [],
    });
    let fed = noPanes;
    const order = [pane(10 * MINUTE, 0), pane(0, 1), pane(2 * MINUTE, 1), pane(11 * MINUTE, 0), pane(0, 2), pane(5 * MINUTE, 4)];
    for (const each of order) {
      assert.equal(isFed(fed, each), false);
      fed = withFed(fed, each);
      assert.equal(isFed(fed, each), true);
    }
    for (const each of order) assert.equal(isFed(fed, each), true);
  });
});
