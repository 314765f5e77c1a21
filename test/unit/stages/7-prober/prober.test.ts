import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isRight } from "../../../../src/stages/7-prober/expectation.ts";
import { Prober, type ProberParts } from "../../../../src/stages/7-prober/prober.ts";
import type { Command, DeclaredRollout, RoutingTable } from "../../../../topics/index.ts";

const prompts = [
  { prompt: "1 + 1?", expect: { exact: "2" } },
  { prompt: "capital?", expect: { contains: "Paris" } },
];
const spec = { route: "r", baseline: "a@1", candidate: "b@1", versions: {}, signals: ["error_rate"], golden: { every: "10s", prompts } };
const declared: DeclaredRollout = { route: "r", spec: JSON.stringify(spec), digest: "d", rubrics: [], actor: "ann", atMs: 0 };

function world(over: Partial<ProberParts> = {}) {
  const written: Command[] = [];
  const outcomes: string[] = [];
  const clock = { nowMs: 1_000_000 };
  const table = { epoch: 5, rollout: "", baseline: "a@1" };
  const asked: Readonly<Record<string, string>>[] = [];
  const prober = new Prober({
    rollouts: () => [["r", declared] as [string, DeclaredRollout]],
    tableOf: () => ({ ...table }) as RoutingTable,
    ask: async ({ prompt, headers }) => {
      asked.push(headers);
      return prompt.prompt === "1 + 1?" ? " 2\n" : "Rome";
    },
    write: async (command) => void written.push(command),
    now: () => clock.nowMs,
    newId: () => `id${written.length}`,
    callsPerHour: 5,
    onRun: ({ outcome }) => outcomes.push(outcome),
    ...over,
  });
  return { prober, written, outcomes, clock, table, asked };
}

describe("the prober", () => {
  it("sends marked prompts of one subject when they are due, and reports how many were right, of which version", async () => {
    const { prober, written, clock, asked } = world();
    await prober.runDue();
    await prober.runDue();
    assert.deepEqual(
      written.map(({ verb, actor, probe, route }) => ({ verb, actor, probe, route })),
      [{ verb: "probed", actor: "headgate-prober", probe: { version: "a@1", passed: 1, failed: 1 }, route: "r" }],
    );
    assert.deepEqual(asked[0], { "x-headgate-subject": "headgate-golden", "x-headgate-slices": "headgate:golden" });
    clock.nowMs += 10_000;
    await prober.runDue();
    assert.equal(written.length, 2);
  });

  it("keeps its budget", async () => {
    const { prober, written, clock, outcomes } = world();
    for (let i = 0; i < 3; i++, clock.nowMs += 10_000) await prober.runDue();
    assert.equal(written.length, 2);
    assert.deepEqual(outcomes, ["failed", "failed", "over_budget"]);
    clock.nowMs += 3_600_000;
    await prober.runDue();
    assert.equal(written.length, 3);
  });

  it("does not probe during a rollout, and drops a run when another version came or the gateway is away", async () => {
    const running = world();
    running.table.rollout = "x";
    await running.prober.runDue();
    assert.deepEqual([running.asked.length, running.outcomes.length], [0, 0]);
    const changed = world({
      ask: async () => {
        changed.table.baseline = "b@1";
        return "2";
      },
    });
    await changed.prober.runDue();
    const away = world({ ask: async () => undefined });
    await away.prober.runDue();
    assert.deepEqual([...changed.outcomes, ...away.outcomes], ["abandoned", "abandoned"]);
    const silent = world({ ask: async () => null });
    await silent.prober.runDue();
    assert.deepEqual(silent.written[0]?.probe, { version: "a@1", passed: 0, failed: 2 });
  });

  it("checks answers without a judge: everything that is expected must hold", () => {
    assert.ok(isRight(" yes ", { exact: "yes" }));
    assert.ok(!isRight("yes!", { exact: "yes" }));
    assert.ok(isRight("it is [Yes].", { pattern: "\\[Yes\\]", contains: "it" }));
    assert.ok(!isRight("it is [No].", { pattern: "\\[Yes\\]", contains: "it" }));
    const schema = { type: "object", required: ["a"] };
    assert.ok(isRight('{"a":1}', { jsonSchema: schema }));
    assert.ok(!isRight('{"b":1}', { jsonSchema: schema }));
    assert.ok(!isRight("no json", { jsonSchema: schema }));
  });
});
