import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { route, spec, specInput, story, World } from "../../../fixtures/rollout-world.ts";

const noShadow = { shadow: { share: 0 } };
const versions = { "old@1": { upstream: "a", model: "old" }, "new@2": { upstream: "a", model: "newer" } };
const second = (over: Partial<RolloutSpec> = {}) => spec({ ...noShadow, candidate: "new@2", versions, onRunning: "queue", ...over });
const last = (world: World) => world.events.at(-1);
const since = (world: World, from: number) => world.events.slice(from).map(({ action, rollout, reasons }) => [action, rollout, reasons.join()]);

function started(): World {
  const world = new World();
  world.apply(spec(noShadow));
  return world;
}

function tick(world: World, gateways?: readonly { instance: string; upstreams: string[] }[]): void {
  world.atMs += 1_000;
  world.give({ kind: "tick", atMs: world.atMs, ...(gateways === undefined ? {} : { gateways }) });
}

const brake = (world: World, over: { route: string; rollout: string; attempt: number; cleared?: boolean }) =>
  world.give({ kind: "brake", atMs: world.atMs, brake: { cleared: false, reason: "", actor: "bob", atMs: world.atMs, ...over } });

describe("a spec with onRunning: queue", () => {
  it("starts at once when no rollout runs", () => {
    const world = new World();
    world.apply(second());
    assert.deepEqual(since(world, 0), [["started", `${route}/new@2`, "started"]]);
  });

  it("waits without touching the running rollout, and starts at the next tick after that is over", () => {
    const world = started();
    const table = world.table;
    world.apply(second());
    assert.deepEqual(since(world, 1), [["held", `${route}/new@2`, "queued"]]);
    assert.equal(world.table, table);
    assert.equal(world.state.current?.plan.candidate, "new@1");
    tick(world);
    assert.equal(world.state.waiting.next?.actor, "ann");
    world.command("rollback");
    assert.equal(world.state.current?.phase, "rolled_back", "the end and the start are two decisions");
    tick(world);
    assert.deepEqual([last(world)?.action, world.state.current?.plan.candidate, world.state.waiting.next], ["started", "new@2", null], story(world));
  });

  it("declared again changes nothing; another one takes its place", () => {
    const world = started();
    world.apply(second());
    const { length } = world.inputs;
    world.apply(second());
    assert.equal(world.inputs.length, length);
    world.apply(second({ id: "third" }));
    assert.match(last(world)?.message ?? "", /takes the place of what ann asked for before/);
    world.command("rollback");
    tick(world);
    assert.equal(world.state.current?.plan.rollout, "third");
    tick(world);
    assert.equal(world.events.filter(({ action }) => action === "started").length, 2, "the older one is gone");
  });

  it("is checked when it is declared for what never changes, and again at its turn for what serves then", () => {
    const world = started();
    world.apply(second({ candidate: "new@1", versions: { "new@1": { upstream: "a", model: "another" } } }));
    assert.deepEqual(last(world)?.reasons, ["spec_refused"]);
    world.apply(second());
    world.command("promote");
    world.command("promote");
    world.command("promote");
    assert.equal(world.state.serving?.name, "new@1", story(world));
    tick(world);
    assert.deepEqual([last(world)?.reasons, last(world)?.rollout, world.state.waiting.next], [["spec_refused"], `${route}/new@2`, null]);
    assert.match(last(world)?.message ?? "", /new@1 serves the route: name it as the baseline/);
  });

  it("whose baseline is the rollout before it starts when that is done", () => {
    const world = started();
    world.apply(second({ baseline: "new@1", versions: { "new@2": versions["new@2"] } }));
    assert.deepEqual(last(world)?.reasons, ["queued"]);
    for (let i = 0; i < 3; i++) world.command("promote");
    tick(world);
    assert.deepEqual([last(world)?.action, world.table?.baseline, world.table?.candidate], ["started", "new@1", "new@2"]);
  });

  it("is refused at its turn when a live gateway does not know its upstream by then", () => {
    const world = started();
    world.apply(second());
    world.command("rollback");
    tick(world, [{ instance: "gw-1", upstreams: ["b"] }]);
    assert.match(last(world)?.message ?? "", /a is unknown to the live gateways gw-1/);
  });

  it("can be withdrawn, by a person or by a brake, and never starts after that", () => {
    const withdrawn = started();
    withdrawn.command("withdraw");
    assert.match(last(withdrawn)?.message ?? "", /nothing waits/);
    withdrawn.apply(second());
    withdrawn.command("withdraw", { actor: "eve" });
    assert.deepEqual([last(withdrawn)?.reasons, last(withdrawn)?.actor, last(withdrawn)?.rollout], [["withdrawn"], "eve", `${route}/new@2`]);
    const braked = started();
    braked.apply(second());
    brake(braked, { route, rollout: `${route}/new@1`, attempt: 1 });
    const byAll = started();
    byAll.apply(second());
    byAll.command("rollback");
    brake(byAll, { route: "*", rollout: "", attempt: 0 });
    brake(byAll, { route: "*", rollout: "", attempt: 0, cleared: true });
    withdrawn.command("rollback");
    for (const world of [withdrawn, braked, byAll]) {
      tick(world);
      assert.deepEqual([world.state.current?.phase, world.state.waiting.next], ["rolled_back", null], story(world));
      assert.ok(world.events.some(({ reasons }) => reasons.includes("withdrawn")));
    }
  });
});

describe("a spec with onRunning: replace", () => {
  it("rolls the running rollout back with its own event, and starts, in one input", () => {
    const world = started();
    const { length } = world.inputs;
    world.apply(second({ onRunning: "replace" }));
    assert.deepEqual(since(world, 1), [
      ["rolled_back", `${route}/new@1`, "replaced"],
      ["started", `${route}/new@2`, "started"],
    ]);
    assert.equal(world.inputs.length, length + 1);
    const [, down, up] = world.tables;
    assert.deepEqual([down?.rollout, up?.candidate], ["", "new@2"]);
    assert.ok((up?.epoch ?? 0) > (down?.epoch ?? 0));
    assert.equal(world.events[2]?.previousHash, world.events[1]?.hash);
    assert.equal(world.state.ledger[0]?.end, "rolled_back");
  });

  it("that cannot start leaves the running rollout alone", () => {
    const world = started();
    world.give(specInput(second({ onRunning: "replace" }), world.atMs, { gateways: [{ instance: "gw-1", upstreams: ["b"] }] }));
    world.apply(second({ onRunning: "replace", baseline: "x@1", versions: { ...versions, "x@1": { upstream: "a", model: "x" } } }));
    assert.deepEqual([world.state.current?.phase, world.state.current?.plan.candidate, world.tables.length], ["canary", "new@1", 1]);
  });
});
