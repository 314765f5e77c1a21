import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { spec, story, World } from "../../../fixtures/rollout-world.ts";

const DAY = 86_400_000;
const noShadow = { shadow: { share: 0 }, ladder: [100] };
const third = { baseline: "new@1", candidate: "new@2", versions: { "new@2": { upstream: "a", model: "newer" } } };
const last = (world: World) => world.events.at(-1);
const warm = (world: World) => world.table?.versions.map(({ name }) => name);

function done(over: Partial<RolloutSpec> = {}): World {
  const world = new World();
  world.apply(spec({ ...noShadow, ...over }));
  world.command("promote");
  return world;
}

function after(world: World, ms: number): void {
  world.atMs += ms;
  world.give({ kind: "tick", atMs: world.atMs });
}

describe("the fallback after done", () => {
  it("stays warm for 30 days, then leaves the table with an event, and undo is no longer possible", () => {
    const world = done();
    const { length } = world.inputs;
    after(world, 30 * DAY - 1);
    assert.deepEqual([warm(world), world.inputs.length], [["new@1", "old@1"], length], "nothing to record before");
    after(world, 1);
    assert.deepEqual([last(world)?.reasons, warm(world), world.state.fallback], [["fallback_expired"], ["new@1"], null], story(world));
    assert.deepEqual(world.table?.ranges, [{ arm: "none", version: "new@1", from: 0, to: 10_000 }], "nobody is moved");
    world.command("undo");
    assert.match(last(world)?.message ?? "", /no version to go back to/);
    after(world, DAY);
    assert.equal(last(world)?.reasons[0], "command_refused", "it expires once");
  });

  it("lasts as long as the spec says", () => {
    const world = done({ fallback: "2d" });
    after(world, 2 * DAY);
    assert.deepEqual(last(world)?.reasons, ["fallback_expired"]);
  });

  it("stays one undo away after a later rollout has failed, but not while it runs", () => {
    const world = done();
    world.apply(spec({ ...noShadow, ...third }));
    world.command("undo");
    assert.match(last(world)?.message ?? "", /only a rollout that is done/);
    world.command("rollback");
    assert.deepEqual(warm(world), ["new@1", "old@1"]);
    const rows = world.state.ledger;
    world.command("undo");
    assert.deepEqual([last(world)?.action, world.table?.baseline, warm(world), world.state.fallback], ["undone", "old@1", ["old@1"], null], story(world));
    assert.deepEqual(world.state.ledger, rows, "the failed attempt's row does not say that it was undone");
  });

  it("that expires while another rollout runs is told, and changes nothing of that rollout", () => {
    const world = done();
    after(world, 29 * DAY);
    world.apply(spec({ ...noShadow, ...third, observation: "72h" }));
    const { table } = world;
    const message = world.state.current?.message;
    after(world, DAY);
    const event = world.events.find(({ reasons }) => reasons.includes("fallback_expired"));
    assert.equal(event?.attempt, 0);
    assert.deepEqual([world.table, world.state.current?.message, world.state.current?.phase], [table, message, "observing"], story(world));
  });

  it("is replaced by what served before the next done, with its time anew", () => {
    const world = done();
    after(world, 20 * DAY);
    world.apply(spec({ ...noShadow, ...third }));
    world.command("promote");
    after(world, 20 * DAY);
    assert.deepEqual([world.state.fallback?.name, warm(world)], ["new@1", ["new@2", "new@1"]]);
  });
});
