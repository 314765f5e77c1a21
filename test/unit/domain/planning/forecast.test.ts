import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { adviceFor, plannerProblems } from "../../../../src/domain/planning/advice.ts";
import { maxDwellOf, planRollout } from "../../../../src/domain/planning/forecast.ts";
import { smallestHoldback } from "../../../../src/domain/planning/holdback.ts";
import { normaliseSpec } from "../../../../src/domain/rollout/spec/normalise.ts";
import { rolloutSpec } from "../../../../topics/rollout-spec.ts";

const rubrics = [{ name: "task@1", digest: "", signals: [{ name: "task_completion", form: "binary" as const }] }];

function planOf(over: object = {}) {
  const spec = rolloutSpec.parse({
    route: "support-answer",
    baseline: "a",
    candidate: "b",
    versions: { b: { upstream: "u", model: "m" } },
    signals: ["schema_validity", "task_completion", "latency_p95", "cost_per_request", "error_rate"],
    judge: { rubric: "task@1", budget: "120/min" },
    ...over,
  });
  const normalised = normaliseSpec(spec, rubrics);
  if (normalised.kind === "refused") throw new Error(JSON.stringify(normalised.problems));
  return normalised.plan;
}

const at = (rps: number) => ({ callsPerMinute: 60 * rps });
const hours = (minutes: number | null | undefined) => Number(((minutes ?? Number.NaN) / 60).toPrecision(2));

describe("plan of a rollout", () => {
  it("needs 24 h at 1 % of 3 requests/s and 2.4 h at 10 %, for the schema floor", () => {
    const { steps } = planRollout(planOf(), at(3));
    const step = (percent: number) => steps.find((one) => one.phase === "canary" && one.percent === percent);
    assert.equal(step(1)?.limiting, "schema_validity");
    assert.equal(hours(step(1)?.proofMinutes), 24);
    assert.equal(hours(step(10)?.proofMinutes), 2.4);
    assert.equal(step(1)?.decides, false, "1.5 times 24 h is longer than a day");
    assert.equal(step(10)?.decides, true);
    assert.equal(hours(maxDwellOf({ minutes: step(10)?.minutes ?? null })), 11);
  });

  it("takes judged records from the budget, and counts both sides of a pair", () => {
    const { steps, judgeCostUsd } = planRollout(planOf(), at(3), { judgeCostUsd: 0.5 });
    const [shadow] = steps;
    assert.ok(Math.abs((shadow?.judged.candidate ?? 0) - 120) < 0.01);
    assert.ok(Math.abs((shadow?.judgeCalls ?? 0) - 240 * (shadow?.minutes ?? 0)) < 1);
    assert.ok(judgeCostUsd !== null && judgeCostUsd > 0);
    assert.equal(planRollout(planOf(), at(3)).judgeCostUsd, null);
  });

  it("waits for the maturity of an outcome, once, before each of its times, and has none of it in shadow", () => {
    const signals = (maturity: string) => ["error_rate", { name: "task_completion", source: "outcome", maturity }];
    const planned = (maturity: string) => planRollout(planOf({ signals: signals(maturity), judge: undefined, ladder: [10, 50, 100] }), at(30)).steps;
    const [soon, late] = [planned("1m"), planned("91m")];
    const of = (steps: typeof soon, percent: number) => {
      const step = steps.find((one) => one.phase === "canary" && one.percent === percent);
      return { step, outcome: step?.signals.find(({ signal }) => signal === "task_completion") };
    };
    for (const percent of [10, 50]) {
      const [a, b] = [of(soon, percent), of(late, percent)];
      const longer = (minutes: (of_: typeof a) => number | null | undefined) =>
        Math.round(((minutes(b) ?? Number.NaN) - (minutes(a) ?? Number.NaN)) * 1e6) / 1e6 || 0;
      assert.equal(b.outcome?.lagMinutes, 91);
      assert.equal(
        longer(({ outcome }) => outcome?.freeze[0]?.minutes),
        90,
      );
      assert.equal(
        longer(({ outcome }) => outcome?.freeze[0]?.p90Minutes),
        90,
      );
      assert.equal(
        longer(({ outcome }) => outcome?.freeze[0]?.rollbackMinutes?.to),
        90,
      );
      assert.equal(
        longer(({ outcome }) => outcome?.advance.noHarm),
        90,
      );
      assert.equal(
        longer(({ outcome }) => outcome?.advanceSamples),
        0,
      );
      assert.equal(
        longer(({ outcome }) => outcome?.freeze[0]?.exposedRequests),
        90 * (a.step?.calls.candidate ?? 0),
      );
      assert.equal(b.step?.limiting, "task_completion");
      assert.ok((b.step?.minutes ?? 0) >= (b.step?.proofMinutes ?? Number.NaN));
    }
    const shadow = late.find(({ phase }) => phase === "shadow")?.signals.find(({ signal }) => signal === "task_completion");
    assert.deepEqual([shadow?.freeze, shadow?.isRequired], [[], false]);
  });

  it("is quicker with more calls, larger harm and independent subjects", () => {
    const freeze = (rps: number, deff = 1) =>
      planRollout(planOf(), { ...at(rps), deff: { error_rate: deff } })
        .steps.at(2)
        ?.signals.find(({ signal }) => signal === "error_rate");
    const [slow, quick, clustered] = [freeze(3), freeze(30), freeze(3, 3)].map((signal) => signal?.freeze[0]?.minutes ?? Number.NaN);
    assert.ok((quick ?? 0) < (slow ?? 0) && (slow ?? 0) < (clustered ?? 0));
    assert.ok((freeze(3)?.freeze[1]?.minutes ?? 0) < (slow ?? 0));
    assert.equal(freeze(3)?.freeze[0]?.exposedRequests, (slow ?? 0) * 9);
  });

  it("goes by what was seen of the baseline", () => {
    const known = { ...at(10), baseline: { error_rate: { loss: 0.2 }, latency_p95: { sigma: 2 }, task_completion: { loss: 0.15, unscored: 0.2 } } };
    const seen = planRollout(planOf(), known).steps.at(1)?.signals ?? [];
    const usual = planRollout(planOf(), at(10)).steps.at(1)?.signals ?? [];
    const proof = (signals: typeof seen, name: string) => signals.find(({ signal }) => signal === name)?.advance.noHarm ?? Number.POSITIVE_INFINITY;
    assert.ok(proof(seen, "error_rate") > 5 * proof(usual, "error_rate"), "noisy errors");
    assert.ok(proof(seen, "latency_p95") > proof(usual, "latency_p95"), "a heavy tail");
    assert.equal(seen.find(({ signal }) => signal === "task_completion")?.advance.noHarm, null, "too much unscored");
    const counted = planRollout(planOf(), { ...at(10), baseline: { cost_per_request: { counts: { values: [100, 200], counts: [900, 100] } } } });
    assert.ok((counted.steps.at(1)?.signals.find(({ signal }) => signal === "cost_per_request")?.freeze[0]?.minutes ?? 0) > 0);
  });

  it("says what would let a step decide, and each is enough", () => {
    const plan = planOf();
    const first = planRollout(plan, at(3)).steps.at(1);
    assert.ok(first !== undefined);
    const advice = adviceFor(plan, at(3), first);
    assert.deepEqual(advice.map(({ path }) => path).slice(0, 1), ["ladder[0]"]);
    const started = planRollout(planOf({ ladder: [Number(advice[0]?.value), 25, 100] }), at(3)).steps.at(1);
    assert.equal(started?.decides, true);
    const starved = planOf({ ladder: [10, 100], judge: { rubric: "task@1", budget: "12/h" } });
    const { problems } = plannerProblems(starved, at(3));
    assert.match(problems.map(({ message }) => message).join("\n"), /raise judge\.budget to \d+\/min/);
    assert.deepEqual(plannerProblems(planOf({ ladder: [10, 100] }), at(3)).problems, []);
  });

  it("tells what cannot be proven at all, and what a signal without a floor does not show", () => {
    const narrow = planOf({ signals: ["schema_validity", { name: "task_completion", margin: { limit: 0.005 } }] });
    assert.match(plannerProblems(narrow, at(50)).problems[0]?.message ?? "", /widen the limit of task_completion/);
    const { problems, notices } = plannerProblems(planOf(), null);
    assert.deepEqual(problems, []);
    assert.match(notices.join("\n"), /task_completion: without a floor only \*not worse/);
    assert.match(notices.join("\n"), /no volume was given/);
  });

  it("finds the smallest holdback, never 1 % below 5 requests/s", () => {
    assert.deepEqual(smallestHoldback(planOf(), at(10)), { percent: 1, isEnough: true });
    assert.equal(smallestHoldback(planOf(), at(4.9)).percent, 2);
    assert.deepEqual(smallestHoldback(planOf(), at(0.01)), { percent: 10, isEnough: false });
  });
});
