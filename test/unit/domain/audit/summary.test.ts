import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { missingFields, prepareAudit, rollouts } from "../../../../src/domain/audit/prepare.ts";
import { parseRule, type Rule } from "../../../../src/domain/audit/rule.ts";
import type { AuditCall } from "../../../../src/domain/audit/signals.ts";
import type { RolloutOutcome } from "../../../../src/domain/audit/simulate.ts";
import { shareOf, summarise } from "../../../../src/domain/audit/summary.ts";

const rule = (text: string): Rule => {
  const parsed = parseRule(text);
  return parsed.kind === "rule" ? parsed.rule : assert.fail(parsed.problem.message);
};
const calls: AuditCall[] = Array.from({ length: 300 }, (_, i) => ({
  atMs: null,
  subject: null,
  error: null,
  schemaValid: i % 100 !== 0,
  taskPass: i % 5 !== 0,
  grounded: null,
  latencyMs: 500 + ((i * 7) % 300),
  ttftMs: null,
  costUsd: null,
  outputTokens: null,
}));
const settings = { rules: [rule("schema_validity < 0.98 for 10m")], callsPerSecond: 3, share: 0.2, hours: 3, seed: 1 };
const prepared = prepareAudit(calls, settings);

describe("an audit", () => {
  it("looks at what the calls carry, with the rules of the user first", () => {
    assert.deepEqual(
      prepared.signals.map(({ measure }) => measure.name),
      ["schema_validity", "task_completion", "latency_p95"],
    );
    assert.deepEqual(
      prepared.effects.map(({ name }) => name),
      ["task", "latency", "schema"],
    );
    assert.deepEqual(prepared.contenders[0]?.fields, ["schema"]);
    assert.equal(missingFields(calls, [rule("ttft_p95 > 2s"), ...settings.rules]).length, 1);
  });

  it("simulates each rollout alike whoever asks for it, and stops what is clearly worse", () => {
    const all = [...rollouts(prepared, null, [1, 2, 3])];
    assert.deepEqual([...rollouts(prepared, null, [3])][0], all[2]);
    const harmed = [...rollouts(prepared, "schema", [7, 8, 9])];
    for (const { frozen, sustained } of harmed) {
      assert.ok(frozen !== null && sustained !== null && sustained.minute >= frozen.minute && sustained.exposed >= frozen.exposed);
    }
    for (const { frozen } of all) assert.equal(frozen, null);
  });

  it("counts rollouts, and takes medians over all of them, also those that were never stopped", () => {
    const stop = (minute: number | null) => (minute === null ? null : { minute, exposed: minute * 10 });
    const outcome = (rules: number | null, frozen: number | null, sustained: number | null, thaws = 0): RolloutOutcome => ({
      rules: prepared.contenders.map((_, i) => (i === 0 ? stop(rules) : null)),
      frozen: stop(frozen),
      sustained: stop(sustained),
      thaws,
    });
    const identical = [outcome(10, null, null), outcome(30, 60, null, 1), outcome(null, null, null), outcome(50, 20, 25)];
    const effects = [
      [outcome(60, 30, 60), outcome(120, 90, null), outcome(null, 60, null)],
      [outcome(null, null, null)],
      [outcome(6, null, null), outcome(null, null, null), outcome(null, null, null)],
    ];
    const result = summarise(prepared, { identical, effects }, { callsPerSecond: 3, alpha: 0.05 });
    const [own] = result.contenders;
    const [freezes, rollsBack] = result.contenders.slice(-2);
    assert.equal(own?.identical.value, 0.75);
    assert.deepEqual([freezes?.identical.count, rollsBack?.identical.count, result.thawed.value], [2, 1, 0.5]);
    assert.deepEqual(
      own?.noticing.map(({ isLookedAt }) => isLookedAt),
      [false, false, true],
    );
    const [task, , schema] = freezes?.noticing ?? [];
    assert.deepEqual([task?.medianHours, task?.medianCalls, task?.p90Hours], [1, 600, 1.5]);
    assert.equal(schema?.medianHours, null);
    assert.equal(own?.noticing[2]?.medianHours, null, "one of three is less than half");
    assert.deepEqual(result.limits, ["schema_validity −1 pt", "task_completion −5 pt", "latency_p95 +10 %"]);
    assert.equal(JSON.stringify(JSON.parse(JSON.stringify(result))), JSON.stringify(result));
  });

  it("gives shares with an interval that is honest at 0 and at 1", () => {
    const none = shareOf(0, 1_000);
    assert.deepEqual([none.low, Math.round(none.high * 1e5)], [0, 383]);
    assert.deepEqual([shareOf(10, 10).high, shareOf(0, 0).high], [1, 1]);
    const half = shareOf(50, 100);
    assert.ok(Math.abs(half.low - 0.4038) < 1e-4 && Math.abs(half.high - 0.5962) < 1e-4);
  });
});
