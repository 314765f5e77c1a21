import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { loosenings } from "../../../../src/domain/rollout/edit.ts";
import { normaliseSpec } from "../../../../src/domain/rollout/spec/normalise.ts";
import type { RolloutPlan } from "../../../../src/domain/rollout/spec/plan.ts";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { good, route, spec, story, taskRubric, World } from "../../../fixtures/rollout-world.ts";

const signals = (over: Partial<Record<string, object>> = {}): RolloutSpec["signals"] =>
  ["schema_validity", "task_completion", "latency_p95", "error_rate"].map((name) => ({ name, ...over[name] }));
const edited = (over: Partial<RolloutSpec> = {}) => spec({ shadow: { share: 0 }, signals: signals(), onRunning: "edit", ...over });
const margin = (limit: number) => ({ task_completion: { margin: { limit } } });
const last = (world: World) => world.events.at(-1);

function started(options: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(options);
  world.apply(edited());
  return world;
}

function planOf(declared: RolloutSpec): RolloutPlan {
  const normalised = normaliseSpec(declared, taskRubric);
  assert.equal(normalised.kind, "plan");
  return (normalised as { plan: RolloutPlan }).plan;
}

describe("a spec with onRunning: edit", () => {
  it("starts at once when no rollout runs, and is refused when it would change another rollout, or what is tested", () => {
    const world = started();
    assert.equal(last(world)?.action, "started");
    world.apply(edited({ id: "another" }));
    assert.deepEqual([last(world)?.reasons, world.state.current?.plan.rollout], [["spec_conflict"], `${route}/new@1`]);
    for (const [over, field] of [
      [{ ladder: [10, 60, 100] }, /ladder cannot be edited/],
      [{ holdback: 10 }, /holdback cannot be edited/],
      [{ pane: "30s" }, /pane cannot be edited/],
      [{ slices: ["context=long"] }, /slices cannot be edited/],
      [{ shadow: { share: 50 } }, /shadow.share cannot be edited/],
      [{ versions: { "new@1": { upstream: "a", model: "other" } } }, /a version is immutable/],
    ] as const) {
      const { table } = world;
      world.apply(edited(over as Partial<RolloutSpec>));
      assert.deepEqual(last(world)?.reasons, ["spec_refused"], JSON.stringify(over));
      assert.match(last(world)?.message ?? "", field);
      assert.equal(world.table, table);
    }
  });

  it("that tightens acts at once: same rollout, attempt, step and table; evidence starts anew with half of the weight and half of alpha to advance", () => {
    const world = started();
    world.minutes(5);
    const before = world.state.current;
    const { length } = world.tables;
    world.apply(edited({ signals: signals(margin(0.03)) }));
    const after = world.state.current;
    assert.deepEqual([last(world)?.action, last(world)?.reasons, last(world)?.actor], ["held", ["edited"], "ann"]);
    assert.deepEqual([after?.attempt, after?.step, after?.stepSinceMs, after?.stepRequests], [1, 0, before?.stepSinceMs, before?.stepRequests]);
    assert.deepEqual([after?.editions.map(({ share }) => share), after?.editedAtMs, after?.halvings, after?.edits], [[0.5], world.atMs, 1, 1]);
    assert.deepEqual(after?.editions[0]?.signals, before?.signals);
    assert.ok(after?.signals.every(({ relative }) => relative.freeze.length === 0 && relative.advance.length === 0));
    assert.equal(last(world)?.alphaAdvance, 0.025);
    assert.equal(world.tables.length, length, "gateways need not know");
    assert.equal(Object.values(world.state.pairs)[0]?.edits, 1, "the next attempt has half of what is left too");
  });

  it("holds for panes that start after it: one that began before is evidence under the old margins alone", () => {
    const world = started();
    world.minutes(3);
    world.atMs += 30_000;
    world.apply(edited({ signals: signals(margin(0.03)) }));
    world.atMs -= 30_000;
    const runs = () => world.state.current?.signals.map(({ relative }) => relative.freeze.length);
    world.minutes(1);
    assert.deepEqual(runs(), [0, 0, 0, 0]);
    world.minutes(1);
    assert.equal(runs()?.[0], 1);
  });

  it("goes on stopping under the old margins: harm that was nearly proven is not forgotten by an edit", () => {
    const candidate = { ...good, taskFail: 0.25 };
    const world = started({ candidate });
    world.minutes(2);
    assert.equal(world.state.current?.frozen, null);
    world.apply(edited({ signals: signals(margin(0.04)) }));
    assert.deepEqual(last(world)?.reasons, ["edited"]);
    world.minutes(40, ({ state }) => state.current?.phase === "rolled_back");
    assert.equal(world.state.current?.phase, "rolled_back", story(world));
    assert.ok(
      last(world)?.signals.some(({ edition, logEFreeze }) => edition === 1 && logEFreeze > 0),
      "the event shows the earlier margins too",
    );
  });

  it("waits for somebody else's word while harm is proven, since it halves what is known; a thaw by hand forgets the harm of earlier margins too", () => {
    const frozen = () => started({ candidateAt: (atMs) => ({ ...good, taskFail: atMs < bad.untilMs ? 0.5 : 0.1 }) });
    const bad = { untilMs: Number.POSITIVE_INFINITY };
    const world = frozen();
    world.minutes(10, ({ state }) => state.current?.frozen != null);
    assert.equal(world.state.current?.frozen?.cause, "breach", story(world));
    world.apply(edited({ signals: signals(margin(0.04)) }));
    assert.deepEqual(last(world)?.reasons, ["awaiting_approval"]);
    assert.match(last(world)?.message ?? "", /the evidence of task_completion that it is frozen for is halved/);
    const recovering = started({ candidateAt: (atMs) => ({ ...good, taskFail: atMs < bad.untilMs ? 0.35 : 0.1 }) });
    recovering.minutes(1);
    recovering.apply(edited({ signals: signals(margin(0.04)) }));
    recovering.minutes(10, ({ state }) => state.current?.frozen != null);
    assert.equal(recovering.state.current?.frozen?.cause, "breach", story(recovering));
    bad.untilMs = recovering.atMs;
    recovering.command("thaw");
    recovering.minutes(10);
    assert.equal(recovering.state.current?.frozen, null, story(recovering));
  });

  it("of dwell, windows or approvals alone leaves the evidence as it is; a budget reaches the samplers", () => {
    const world = started();
    world.minutes(5);
    const { current } = world.state;
    world.apply(edited({ dwell: { min: "20m", minLate: "20m", max: "24h" }, approvals: [0] }));
    assert.deepEqual([world.state.current?.editions, world.state.current?.signals], [[], current?.signals]);
    assert.deepEqual(world.state.current?.plan.approvals, [0]);
    const { length } = world.tables;
    world.apply(edited({ dwell: { min: "20m", minLate: "20m", max: "24h" }, approvals: [0], judge: { rubric: "task@1", budget: "30/min" } }));
    assert.equal(world.tables.length, length + 1);
    assert.ok((world.table?.samplePpm.candidate ?? 1e6) < 1e6);
  });

  it("that loosens waits for the word of somebody else, with a reason, and is then an edit like any other", () => {
    const world = started();
    world.apply(edited({ signals: signals(margin(0.1)) }));
    assert.deepEqual(last(world)?.reasons, ["awaiting_approval"]);
    assert.match(last(world)?.message ?? "", /loosens tolerated of task_completion 0.01 to 0.02, limit of task_completion 0.05 to 0.1/);
    assert.equal(world.state.current?.plan.signals[1]?.margin.limit, 0.05);
    world.command("approve", { actor: "ann" });
    assert.match(last(world)?.message ?? "", /somebody else's word/);
    world.command("approve", { actor: "bob", reason: "" });
    assert.match(last(world)?.message ?? "", /needs a reason/);
    world.command("approve", { actor: "bob", reason: "the rubric was too strict" });
    assert.deepEqual([last(world)?.reasons, last(world)?.actor], [["edited"], "bob"], story(world));
    assert.match(last(world)?.message ?? "", /asked for by ann: the rubric was too strict/);
    assert.deepEqual([world.state.current?.plan.signals[1]?.margin.limit, world.state.current?.edits, world.state.waiting.edit], [0.1, 1, null]);
  });

  it("that waits is dropped when its attempt is over, or when another edit took effect meanwhile", () => {
    const over = started();
    over.apply(edited({ alpha: 0.1 }));
    over.command("rollback");
    over.atMs += 1_000;
    over.give({ kind: "tick", atMs: over.atMs });
    assert.deepEqual([last(over)?.reasons, over.state.waiting.edit], [["withdrawn"], null]);
    const meanwhile = started();
    meanwhile.apply(edited({ alpha: 0.1 }));
    meanwhile.apply(edited({ minSamples: 200 }));
    assert.deepEqual(
      meanwhile.events.slice(-2).map(({ reasons }) => reasons),
      [["edited"], ["withdrawn"]],
    );
  });

  it("an approval is of the step first, when a step waits for one", () => {
    const world = started({ seed: 4 });
    world.apply(edited({ approvals: [0] }));
    world.minutes(60, ({ state }) => state.current?.reasons.includes("awaiting_approval") === true);
    world.apply(edited({ approvals: [0], minSamples: 50 }));
    world.command("approve", { actor: "bob" });
    assert.match(last(world)?.message ?? "", /step 0 approved by bob/, story(world));
    assert.ok(world.state.waiting.edit !== null);
  });

  it("can be taken back by the spec that was there before, and is refused after three changes of margins", () => {
    const world = started();
    for (const limit of [0.04, 0.03, 0.02]) world.apply(edited({ signals: signals(margin(limit)) }));
    assert.deepEqual(
      world.state.current?.editions.map(({ share }) => share),
      [0.5, 0.25, 0.125],
    );
    world.apply(edited({ signals: signals(margin(0.01)) }));
    assert.match(last(world)?.message ?? "", /edited 3 times already/);
    const again = started();
    again.apply(edited({ minSamples: 200 }));
    again.apply(edited());
    assert.deepEqual(last(again)?.reasons, ["awaiting_approval"], "going back loosens");
    again.command("approve", { actor: "bob" });
    assert.equal(again.state.current?.plan.minSamples, 100);
  });
});

describe("what counts as loosening", () => {
  const base = edited();
  const of = (over: Partial<RolloutSpec>) => loosenings(planOf(base), planOf(edited(over)));

  it("names each thing that gets easier for the candidate", () => {
    const cases: readonly (readonly [Partial<RolloutSpec>, RegExp])[] = [
      [{ signals: signals(margin(0.06)) }, /limit of task_completion/],
      [{ signals: signals({ schema_validity: { floor: 0.99 } }) }, /floor of schema_validity 0.995 to 0.99/],
      [{ signals: signals({ error_rate: { tier: "watch" } }) }, /error_rate becomes tier watch/],
      [{ signals: signals({ error_rate: { onBreach: "contract" } }) }, /onBreach of error_rate rollback to contract/],
      [{ signals: signals().slice(0, 3) }, /error_rate is removed/],
      [{ alpha: 0.1 }, /alpha 0.05 to 0.1/],
      [{ alpha: 0.01 }, /alpha 0.05 to 0.01/],
      [{ minSamples: 50 }, /minSamples 100 to 50/],
      [{ dwell: { min: "5m", minLate: "10m", max: "24h" } }, /dwell.min 10 min to 5 min/],
      [{ observation: "1m" }, /observation/],
      [{ sustain: { panes: 4 } }, /sustain.panes 3 to 4/],
      [{ advanced: { percentileMinRecords: 100 } }, /percentileMinRecords/],
      [{ staleAfter: "2m" }, /staleAfter/],
    ];
    for (const [over, expected] of cases) assert.match(of(over).join(), expected, JSON.stringify(over));
    const window = { from: "2027-01-01T00:00:00Z", to: "2027-01-02T00:00:00Z" };
    assert.match(loosenings(planOf(edited({ freezeWindows: [window], approvals: [1] })), planOf(base)).join(), /steps 1 no longer.*a freeze window is opened/);
  });

  it("never asks for the approval of what is only stricter, and asks in one direction of each pair of plans that differ in a margin", () => {
    const limits = fc.double({ min: 0.01, max: 0.5, noNaN: true });
    fc.assert(
      fc.property(limits, limits, (one, other) => {
        const [tight, wide] = [Math.min(one, other), Math.max(one, other)].map((limit) => planOf(edited({ signals: signals(margin(limit)) })));
        if (tight === undefined || wide === undefined) return;
        assert.deepEqual(loosenings(wide, tight), []);
        assert.equal(loosenings(tight, wide).length > 0, one !== other);
      }),
      { numRuns: 50 },
    );
  });
});
