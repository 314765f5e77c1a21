import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { good, spec, startMs, story, World } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A rollout that observes from the start: everybody but the holdback. */
function observing(over: Partial<RolloutSpec> = {}, options: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(options);
  world.apply(spec({ shadow: { share: 0 }, ladder: [100], holdback: 10, observation: "30m", ...over }));
  assert.equal(world.state.current?.phase, "observing");
  return world;
}

const observed = ({ state }: World) => (state.current?.observedMs ?? 0) / MINUTE;

function silentMinutes(world: World, n: number): void {
  world.atMs += n * MINUTE;
  world.give({ kind: "tick", atMs: world.atMs });
}

describe("the clock of observation", () => {
  it("takes 72 h by default", () => {
    const world = new World();
    const { observation: _, ...rest } = spec({ shadow: { share: 0 }, ladder: [100] });
    world.apply(rest);
    assert.equal(world.state.current?.plan.observationMs, 72 * HOUR);
  });

  it("counts covered panes and nothing else: gaps stop it, and done waits for its full time", () => {
    const world = observing();
    world.minutes(10);
    assert.equal(observed(world), 10);
    silentMinutes(world, 10);
    assert.equal(observed(world), 10);
    world.minutes(19);
    assert.deepEqual([observed(world), world.state.current?.phase], [29, "observing"], story(world));
    world.minutes(1);
    const end = world.events.at(-1);
    assert.deepEqual([end?.action, end?.reasons, end?.atMs], ["done", ["observation_complete"], startMs + 40 * MINUTE], story(world));
  });

  it("does not count a pane in which too little came back of what was drawn", () => {
    const world = observing();
    const traffic = world.traffic.bind(world);
    world.traffic = (atMs) =>
      traffic(atMs).map((block) =>
        block.signal === "task_completion" ? { ...block, sampled: Math.ceil(block.scored / 0.85), records: Math.ceil(block.scored / 0.85) } : block,
      );
    world.minutes(5);
    assert.equal(observed(world), 0);
    world.traffic = traffic;
    world.minutes(5);
    assert.equal(observed(world), 5);
  });

  it("stops during a pause and during a freeze for silence, and goes on where it was", () => {
    const world = observing({ observation: "10h" });
    world.minutes(10);
    world.command("pause");
    world.minutes(5);
    world.command("resume");
    assert.equal(observed(world), 10);
    world.minutes(1);
    silentMinutes(world, 20);
    assert.equal(world.state.current?.frozen?.cause, "silence", story(world));
    assert.equal(observed(world), 11);
    world.minutes(3);
    assert.equal(world.state.current?.frozen, null, story(world));
    assert.ok(observed(world) >= 12 && observed(world) <= 14);
  });

  it("is set back to nothing by a breach", () => {
    const bad = { ...good, errors: 1 };
    const world = observing({ observation: "10h" }, { candidateAt: (atMs) => (atMs === startMs + 20 * MINUTE ? bad : good) });
    world.minutes(20);
    assert.equal(observed(world), 20);
    world.minutes(2);
    assert.deepEqual([world.state.current?.frozen?.cause, observed(world)], ["breach", 0], story(world));
    world.minutes(18);
    assert.equal(world.state.current?.frozen, null, story(world));
    assert.ok(observed(world) > 0 && observed(world) < 10, "it counts again after the thaw");
  });

  it("is not enough alone: an approval and a freeze window hold done, and no holdback is said", () => {
    const window = { from: new Date(startMs).toISOString(), to: new Date(startMs + 50 * MINUTE).toISOString() };
    const world = observing({ approvals: [0], freezeWindows: [window], holdback: 0 });
    world.minutes(5);
    assert.deepEqual(world.state.current?.reasons, ["no_holdback", "observing"]);
    world.minutes(30);
    assert.deepEqual(world.state.current?.reasons, ["awaiting_approval"], story(world));
    world.command("approve");
    world.minutes(1);
    assert.deepEqual(world.state.current?.reasons, ["freeze_window"]);
    world.minutes(15);
    assert.equal(world.state.current?.phase, "done", story(world));
  });
});
