import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { normaliseSpec } from "../../../../../src/domain/rollout/spec/normalise.ts";
import type { RolloutPlan } from "../../../../../src/domain/rollout/spec/plan.ts";
import { presets } from "../../../../../src/domain/rollout/spec/presets.ts";
import { type RolloutSpec, rolloutSpec } from "../../../../../topics/rollout-spec.ts";
import { taskRubric } from "../../../../fixtures/rollout-world.ts";

/** The ten lines of DESIGN.md section 3. */
const tenLines = {
  route: "support-answer",
  baseline: "gpt-a@2026-05",
  candidate: "gpt-b@2026-11",
  versions: { "gpt-b@2026-11": { upstream: "azure", model: "gpt-b" } },
  signals: ["schema_validity", "task_completion", "latency_p95", "cost_per_request", "error_rate"],
  judge: { rubric: "task@1", budget: "120/min" },
};

const parse = (over: object = {}): RolloutSpec => rolloutSpec.parse({ ...tenLines, ...over });
function planOf(over: object = {}, rubrics = taskRubric): RolloutPlan {
  const result = normaliseSpec(parse(over), rubrics);
  assert.equal(result.kind, "plan", result.kind === "refused" ? JSON.stringify(result.problems) : "");
  return (result as { plan: RolloutPlan }).plan;
}
function problemsOf(over: object, rubrics = taskRubric): string[] {
  const result = normaliseSpec(parse(over), rubrics);
  assert.equal(result.kind, "refused");
  return result.kind === "refused" ? result.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

describe("normalising a spec", () => {
  it("makes a complete plan of ten lines", () => {
    const plan = planOf();
    assert.deepEqual(
      plan.ladder.map(({ percent }) => percent),
      [1, 5, 10, 25, 50, 100],
    );
    assert.deepEqual(plan.shadow, { ppm: 1_000_000, minDwellMs: 1_800_000, maxDwellMs: 86_400_000 });
    assert.deepEqual(plan.dwell, { minMs: 1_800_000, minLateMs: 14_400_000, maxMs: 86_400_000, undecidedMs: 86_400_000 });
    assert.deepEqual(
      [plan.observationMs, plan.alpha, plan.alphaAdvance, plan.minSamples, plan.paneMs, plan.callsGraceMs, plan.judgeGraceMs, plan.staleAfterMs],
      [259_200_000, 0.05, 0.05, 100, 60_000, 5_000, 120_000, 60_000],
    );
    assert.deepEqual([plan.judgePerMinute, plan.percentileMinRecords, plan.rollout], [120, 1_000, "support-answer/gpt-b@2026-11"]);
    assert.deepEqual(plan.sustain, { panes: 3, windowMs: 900_000 });
    assert.equal(plan.baselineVersion, null, "the spec does not say how to serve the baseline");
  });

  it("weighs hard signals twice, gives watch nothing, and the shares sum to 1", () => {
    const { signals } = planOf();
    assert.deepEqual(
      signals.map(({ name, tier, weight }) => [name, tier, weight]),
      [
        ["schema_validity", "guardrail", 2 / 7],
        ["task_completion", "guardrail", 1 / 7],
        ["latency_p95", "guardrail", 1 / 7],
        ["cost_per_request", "guardrail", 1 / 7],
        ["error_rate", "guardrail", 2 / 7],
      ],
    );
    const watching = planOf({ signals: ["task_completion", { name: "cost_per_request", tier: "watch" }] }).signals;
    assert.deepEqual(
      watching.map(({ weight }) => weight),
      [1, 0],
    );
    assert.ok(Math.abs(signals.reduce((sum, { weight }) => sum + weight, 0) - 1) < 1e-12);
  });

  it("takes tolerated as a fifth of the limit, and counts percentiles in whole buckets with their true ratio", () => {
    const [schema, task, latency] = planOf().signals;
    assert.deepEqual(schema?.margin, { tolerated: 0.002, limit: 0.01, relative: false });
    assert.equal(schema?.floor, 0.995);
    assert.equal(task?.margin.limit, 0.05);
    assert.deepEqual(latency?.shift, { tolerated: 1, limit: 5 });
    assert.ok(Math.abs((latency?.margin.limit ?? 0) - 0.1) < 1e-12 && Math.abs((latency?.margin.tolerated ?? 0) - 0.019245) < 1e-6);
    const wide = planOf({ signals: ["task_completion", { name: "latency_p95", margin: { limit: 1, tolerated: 0.5 } }] }).signals[1];
    assert.deepEqual(wide?.shift, { tolerated: 21, limit: 36 });
  });

  it("takes the form of a score from its rubric, with the limit of a score, and means as ratios", () => {
    const rubrics = [{ name: "g@1", digest: "d", signals: [{ name: "groundedness", form: "grid" as const }] }, ...taskRubric];
    const plan = planOf({ signals: ["task_completion", "groundedness", "output_tokens", "missing_scores"] }, rubrics);
    assert.deepEqual(
      plan.signals.map(({ kind, tier, source, margin: { limit, relative } }) => [kind, tier, source, limit, relative]),
      [
        ["binary", "guardrail", "judge", 0.05, false],
        ["score", "guardrail", "judge", 0.03, false],
        ["mean", "guardrail", "call", 0.25, true],
        ["binary", "guardrail", "missing", 0.01, false],
      ],
    );
  });

  it("takes strict floors, a judge's known error and slices", () => {
    const judgeError = { sensitivity: 0.9, specificity: 0.8 };
    const signals = [
      { name: "schema_validity", floor: "strict" },
      { name: "task_completion", judgeError, floor: { min: 0.8, strict: true } },
    ];
    const plan = planOf({ signals, slices: ["long", { name: "billing", share: 0.2 }] });
    assert.deepEqual(
      plan.signals.map(({ floor, isFloorStrict }) => [floor, isFloorStrict]),
      [
        [0.995, true],
        [0.8, true],
      ],
    );
    assert.ok(Math.abs((plan.signals[1]?.judgeJ ?? 0) - 0.7) < 1e-12);
    assert.deepEqual(plan.slices, [
      { name: "long", share: null },
      { name: "billing", share: 0.2 },
    ]);
  });

  it("takes a signal that only a rubric names as a judged one", () => {
    const rubrics = [{ name: "tone@1", digest: "d", signals: [{ name: "tone", form: "binary" as const }] }];
    const [tone] = planOf({ signals: ["tone"] }, rubrics).signals;
    assert.deepEqual([tone?.group, tone?.gate, tone?.kind, tone?.weight], ["judge", "confidence", "binary", 1]);
  });

  const refused: readonly (readonly [string, object, RegExp])[] = [
    ["an unknown signal", { signals: ["task_completion", "taks"] }, /signals\[1\]: taks is neither a preset \(schema_validity.*correct the name/],
    ["a judged signal that no rubric scores", { signals: ["groundedness"] }, /signals\[0\]: no rubric under judge.rubric scores groundedness/],
    [
      "a signal that nothing measures yet",
      { signals: ["task_completion", "cost_per_trace"] },
      /signals\[1\]: cost_per_trace is measured by no check of this version/,
    ],
    ["missing scores of nobody", { signals: ["schema_validity", "missing_scores"] }, /signals: holds missing_scores, but no judged guardrail/],
    [
      "a judge no better than chance",
      { signals: [{ name: "task_completion", judgeError: { sensitivity: 0.5, specificity: 0.5 } }] },
      /signals\[0\].judgeError: of task_completion is that of a judge no better than chance/,
    ],
    ["a ladder that does not increase", { ladder: [5, 5, 100] }, /ladder\[1\]: is 5 after 5; steps must increase/],
    ["a ladder that does not end with everybody", { ladder: [5, 50] }, /ladder: must end with 100/],
    ["a step into the holdback", { ladder: [10, 97, 100], holdback: 5 }, /ladder\[1\]: is 97, but 5 % are held back/],
    ["no guardrail for quality", { signals: ["error_rate"] }, /signals: holds no guardrail of the confidence gate.*confidence: none/],
    ["well-formedness alone", { signals: ["schema_validity", "error_rate"] }, /signals: holds schema_validity as the only guardrail.*well-formed is not right/],
    ["a window that outlives what it is made of", { window: "7h" }, /^window: is 25200000 ms.*at most 6h/],
    ["a pane of calls that stays open for hours", { grace: { calls: "61m" } }, /^grace\.calls: is 3660000 ms.*at most 1h/],
    ["a judge that is waited for too long", { grace: { judge: "7h" } }, /^grace\.judge: is 25200000 ms.*at most 6h/],
    ["a pattern that repeats a repetition", { schema: { source: "pattern", pattern: "^(a+)+$" } }, /^schema\.pattern: .*\(a\+\)\+/],
    ["a pattern that repeats a repeated class", { schema: { source: "pattern", pattern: "(?:[\\w)]*)*x" } }, /^schema\.pattern: /],
    [
      "no guardrail at all",
      { signals: [{ name: "cost_per_request", tier: "watch" }], confidence: "none" },
      /signals: holds no guardrail: nothing could ever stop/,
    ],
    ["the same signal twice", { signals: ["task_completion", { name: "task_completion" }] }, /signals\[1\]: signal task_completion is named twice/],
    ["the baseline as candidate", { candidate: "gpt-a@2026-05", versions: { "gpt-a@2026-05": { upstream: "a", model: "m" } } }, /candidate: is the baseline/],
    ["a candidate that nothing describes", { versions: {} }, /versions\["gpt-b@2026-11"\]: is missing; say how to serve/],
    [
      "a version that nobody uses",
      { versions: { ...tenLines.versions, x: { upstream: "a", model: "m" } } },
      /versions\["x"\]: is neither the baseline nor the candidate/,
    ],
    ["advancing without proof above 5 %", { ladder: [10, 100], advanceOn: "not_breached" }, /advanceOn: not_breached is allowed for steps of at most 5 %/],
    [
      "tolerated at the limit",
      { signals: [{ name: "task_completion", margin: { limit: 0.05, tolerated: 0.05 } }] },
      /signals\[0\].margin.tolerated: of task_completion is 0.05, not below the limit/,
    ],
    [
      "a percentile margin within one bucket",
      { signals: ["task_completion", { name: "latency_p95", margin: { limit: 0.005 } }] },
      /signals\[1\].margin: .*narrower than what latencies are counted in/,
    ],
    [
      "a form that its rubric does not have",
      { signals: [{ name: "task_completion", form: "score" }] },
      /signals\[0\].form: of task_completion is score, but its rubric scores it as binary/,
    ],
    ["a floor of a percentile", { signals: ["task_completion", { name: "latency_p95", floor: 0.9 }] }, /signals\[1\].floor: of latency_p95 has no meaning/],
    ["an approval of a step that is not there", { approvals: [6] }, /approvals\[0\]: is step 6, but the ladder has the steps 0 to 5/],
    [
      "a window that ends before it begins",
      { freezeWindows: [{ from: "2026-12-24T00:00:00Z", to: "2026-12-23T00:00:00Z" }] },
      /freezeWindows\[0\]: ends before it begins/,
    ],
    ["a pattern that is none", { schema: { source: "pattern", pattern: "(" } }, /schema.pattern: is not a valid regular expression/],
    ["a shortest dwell above the longest", { dwell: { min: "2h", max: "1h" } }, /dwell.max: is shorter than/],
  ];
  for (const [what, over, message] of refused) {
    it(`refuses ${what}, naming the field and the fix`, () => {
      const problems = problemsOf(over);
      assert.ok(
        problems.some((problem) => message.test(problem)),
        problems.join("\n"),
      );
    });
  }

  it("takes the longest grace and window, and patterns that repeat a group without ambiguity", () => {
    assert.equal(planOf({ window: "6h", grace: { calls: "1h", judge: "6h" } }).judgeGraceMs, 21_600_000);
    for (const pattern of ["^\\d{1,3}(?:,\\d+)*$", "(\\(a+)+", "[(a+)+]", "(a\\+)+", "(a+){1,3}"]) planOf({ schema: { source: "pattern", pattern } });
  });

  it("accepts schema validity alone from who writes confidence: none", () => {
    assert.equal(planOf({ signals: ["schema_validity", "error_rate"], confidence: "none" }).signals.length, 2);
  });

  it("names a judge's rubric as missing when there is none at all", () => {
    const problems = problemsOf({ judge: undefined }, []);
    assert.ok(
      problems.some((problem) => /judge.rubric: is missing: task_completion is scored by a judge/.test(problem)),
      problems.join("\n"),
    );
  });

  it("has a preset for every signal of DESIGN.md section 6", () => {
    const names = [
      "schema_validity",
      "task_completion",
      "groundedness",
      "factuality",
      "refusal_rate",
      "tool_call_validity",
      "error_rate",
      "latency_p95",
      "ttft_p95",
    ];
    const others = ["cost_per_request", "cost_per_trace", "output_tokens", "calls_per_trace", "repeated_question", "missing_scores"];
    assert.deepEqual(Object.keys(presets).sort(), [...names, ...others].sort());
    for (const [name, preset] of Object.entries(presets)) assert.ok(preset.reference > 0, `${name} has a reference of 0`);
  });
});
