import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Brake } from "../../../../topics/index.ts";
import { good, route, spec, specInput, story, World } from "../../../fixtures/rollout-world.ts";

const noShadow = { shadow: { share: 0 } };
function started(over: Parameters<typeof spec>[0] = noShadow, options: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(options);
  world.apply(spec(over));
  return world;
}
const frozenBy = (world: World) => world.state.current?.frozen?.about;
const last = (world: World) => world.events.at(-1);
const brake = (world: World, over: Partial<Brake> = {}): void =>
  world.give({
    kind: "brake",
    atMs: world.atMs,
    brake: { route, rollout: world.state.current?.plan.rollout ?? "", attempt: 1, cleared: false, reason: "", actor: "bob", atMs: world.atMs, ...over },
  });

describe("commands", () => {
  it("are idempotent by id: the second time nothing happens and nothing is recorded", () => {
    const world = started();
    world.command("pause", { id: "one" });
    const { length } = world.inputs;
    world.command("pause", { id: "one" });
    assert.equal(world.inputs.length, length);
    assert.equal(world.state.current?.isPaused, true);
  });

  it("meant for another attempt or epoch are refused, with what they were meant for", () => {
    const world = started();
    world.command("rollback", { expectedAttempt: 2 });
    assert.deepEqual([last(world)?.action, last(world)?.reasons], ["held", ["command_refused"]]);
    assert.match(last(world)?.message ?? "", /meant for attempt 2, and this is attempt 1/);
    world.command("rollback", { expectedEpoch: 5 });
    assert.match(last(world)?.message ?? "", /meant for epoch 5/);
    world.command("rollback", { expectedAttempt: 1, expectedEpoch: world.state.epoch });
    assert.equal(world.state.current?.phase, "rolled_back");
  });

  it("on a route without a rollout are refused", () => {
    const world = new World();
    world.command("promote");
    assert.match(last(world)?.message ?? "", /no rollout was ever started/);
    assert.equal(world.tables.length, 0);
  });

  it("pause stops the climb and takes no evidence; resume goes on, and the pause is no time of the step", () => {
    const world = started(noShadow, { candidate: { ...good, taskFail: 0.5 } });
    world.command("pause");
    world.minutes(30);
    assert.deepEqual(
      world.state.current?.signals.flatMap(({ relative, floor }) => [...relative.freeze, ...floor.freeze]),
      [],
      story(world),
    );
    assert.equal(last(world)?.condition, "paused");
    world.command("resume");
    world.atMs += 60_000;
    world.give({ kind: "tick", atMs: world.atMs });
    assert.deepEqual(world.state.current?.reasons, ["min_dwell"]);
    world.minutes(15);
    assert.equal(world.state.current?.phase, "rolled_back", story(world));
  });

  it("promote takes exactly one step, in the name of who asked; not while frozen or paused", () => {
    const world = started();
    world.command("promote");
    assert.deepEqual([last(world)?.action, last(world)?.actor, last(world)?.toStep, last(world)?.advanceWithoutProof], ["advanced", "ann", 1, true]);
    world.command("freeze");
    world.command("promote");
    assert.match(last(world)?.message ?? "", /frozen; thaw it first/);
    assert.equal(world.state.current?.step, 1);
    world.command("thaw");
    world.command("pause");
    world.command("promote");
    assert.match(last(world)?.message ?? "", /paused; resume it first/);
    world.command("resume");
    world.command("promote");
    assert.equal(world.state.current?.phase, "observing");
    world.command("promote");
    assert.equal(world.state.current?.phase, "done");
  });

  it("thaw by hand sets the evidence of harm back to nothing; harm that goes on is found again", () => {
    const world = started(noShadow, { candidate: { ...good, medianMs: 2_000 } });
    world.minutes(60, (found) => frozenBy(found) !== undefined);
    assert.equal(frozenBy(world), "latency_p95", story(world));
    world.command("thaw");
    world.give({ kind: "tick", atMs: world.atMs });
    assert.equal(frozenBy(world), undefined);
    world.minutes(20);
    assert.equal(frozenBy(world), "latency_p95", story(world));
  });

  it("approve before the gates pass is refused with what is missing", () => {
    const world = started({ ...noShadow, approvals: [0] });
    world.minutes(2);
    world.command("approve");
    assert.match(last(world)?.message ?? "", /other things are missing first \(min_dwell\)/);
    assert.deepEqual(world.state.current?.approved, {});
  });

  it("retry starts a new attempt with nothing of the old one, the same subjects first, and half the alpha", () => {
    const world = started(noShadow, { candidate: { ...good, taskFail: 0.4 } });
    world.command("retry");
    assert.match(last(world)?.message ?? "", /only a rollout that was rolled back/);
    world.minutes(30);
    assert.equal(world.state.current?.phase, "rolled_back");
    const salt = world.tables[0]?.salt;
    world.command("retry");
    const event = last(world);
    assert.deepEqual([event?.action, event?.attempt, event?.alphaAdvance, event?.fromPhase], ["started", 2, 0.025, "pending"]);
    assert.equal(world.table?.salt, salt);
    assert.deepEqual(
      world.state.current?.signals.flatMap(({ relative }) => relative.freeze),
      [],
    );
  });

  it("undo after done brings back what served before, once", () => {
    const world = started({ ...noShadow, ladder: [100] });
    world.command("undo");
    assert.match(last(world)?.message ?? "", /only a rollout that is done/);
    world.command("promote");
    assert.deepEqual([world.state.serving?.name, world.state.fallback?.name], ["new@1", "old@1"]);
    world.command("undo");
    assert.deepEqual([last(world)?.action, world.table?.baseline, world.state.fallback], ["undone", "old@1", null]);
    assert.deepEqual(world.table?.ranges, [{ arm: "none", version: "old@1", from: 0, to: 10_000 }]);
  });
});

describe("brakes", () => {
  it("end the attempt that they name and no other", () => {
    const world = started();
    brake(world, { attempt: 2 });
    assert.equal(world.state.current?.phase, "canary");
    brake(world);
    assert.deepEqual([last(world)?.action, last(world)?.reasons, last(world)?.actor], ["rolled_back", ["brake"], "bob"]);
    const { length } = world.inputs;
    brake(world);
    assert.equal(world.inputs.length, length, "a brake that was taken is not recorded again");
  });

  it("on all routes end what runs and what is started; clearing raises nothing", () => {
    const world = started();
    brake(world, { route: "*", rollout: "", attempt: 0 });
    assert.equal(world.state.current?.phase, "rolled_back");
    world.command("retry");
    assert.match(last(world)?.message ?? "", /brake on all routes/);
    world.apply(spec({ ...noShadow, alpha: 0.01 }));
    assert.deepEqual(
      world.events.slice(-2).map(({ action }) => action),
      ["started", "rolled_back"],
    );
    brake(world, { route: "*", rollout: "", attempt: 0, cleared: true });
    assert.equal(world.state.current?.phase, "rolled_back");
    world.command("retry");
    assert.deepEqual([last(world)?.action, last(world)?.attempt], ["started", 3]);
  });
});

describe("a brake on all routes that was set and cleared unseen", () => {
  const all = { route: "*", rollout: "", attempt: 0 };

  it("ends what ran since before it was cleared: gateways stopped it, and nothing goes up again by clearing", () => {
    const world = started();
    world.atMs += 60_000;
    brake(world, { ...all, cleared: true });
    assert.deepEqual([last(world)?.action, last(world)?.reasons, last(world)?.actor], ["rolled_back", ["brake"], "bob"]);
    assert.match(last(world)?.message ?? "", /set and cleared/);
    assert.equal(world.state.isBrakedByAll, false);
    world.command("retry");
    assert.equal(last(world)?.action, "started");
    const { length } = world.inputs;
    brake(world, { ...all, cleared: true });
    assert.deepEqual([world.inputs.length, world.state.current?.phase], [length, "canary"], "a brake that was taken is not taken again");
  });

  it("does not touch an attempt that started later", () => {
    const world = started();
    brake(world, { ...all, cleared: true, atMs: world.atMs - 1 });
    assert.equal(world.state.current?.phase, "canary");
  });
});

describe("declaring", () => {
  it("the same spec again does nothing, also after a rollback", () => {
    const world = started();
    const { length } = world.inputs;
    world.apply(spec(noShadow));
    world.command("rollback");
    world.apply(spec(noShadow));
    assert.deepEqual([world.inputs.length, world.state.current?.phase], [length + 1, "rolled_back"]);
  });

  it("a spec that an earlier attempt was started with is refused, naming the attempt and what to do", () => {
    const world = started();
    world.command("rollback");
    world.apply(spec({ ...noShadow, id: "second" }));
    world.command("rollback");
    world.apply(spec(noShadow));
    assert.deepEqual([last(world)?.action, last(world)?.reasons, last(world)?.attempt], ["held", ["spec_refused"], 0]);
    assert.equal(last(world)?.specDigest, world.events[0]?.specDigest);
    assert.match(last(world)?.message ?? "", /started before, as attempt 1 of support-answer\/new@1.*retry.*another id/);
    assert.equal(world.state.current?.plan.rollout, "second");
    world.apply(spec({ ...noShadow, id: "third" }));
    assert.equal(last(world)?.action, "started");
  });

  it("a candidate under a name that meant another version before is refused; the order of its parameters means nothing", () => {
    const candidate = (over: object) => ({ ...spec().versions, "new@1": { upstream: "a", model: "new", parameters: { a: 1, b: { c: 2, d: 3 } }, ...over } });
    const world = started({ ...noShadow, versions: candidate({}) });
    world.command("rollback");
    for (const over of [{ model: "other" }, { upstream: "b" }, { parameters: { a: 2 } }, { systemTemplate: "Be brief." }]) {
      world.apply(spec({ ...noShadow, id: "again", versions: candidate(over) }));
      assert.deepEqual([last(world)?.action, last(world)?.reasons], ["held", ["spec_refused"]], JSON.stringify(over));
      assert.match(last(world)?.message ?? "", /versions\["new@1"\] differs from what was rolled out under this name.*new name/);
    }
    world.apply(spec({ ...noShadow, id: "again", versions: candidate({ parameters: { b: { d: 3, c: 2 }, a: 1 } }) }));
    assert.equal(last(world)?.action, "started", story(world));
  });

  it("takes any name for a version and a rollout, also those that every object has", () => {
    const versions = { "old@1": { upstream: "a", model: "old" }, constructor: { upstream: "a", model: "new" } };
    const world = started({ ...noShadow, id: "constructor", candidate: "constructor", versions });
    assert.deepEqual([last(world)?.action, last(world)?.attempt], ["started", 1]);
  });

  it("a name that served the route cannot come back as another candidate", () => {
    const world = started({ ...noShadow, ladder: [100] });
    world.command("promote");
    const versions = { "old@1": { upstream: "a", model: "changed" } };
    world.apply(spec({ ...noShadow, baseline: "new@1", candidate: "old@1", versions }));
    assert.match(last(world)?.message ?? "", /versions\["old@1"\] differs from what was rolled out under this name/);
  });

  it("another spec while one runs is refused, and changes nothing", () => {
    const world = started();
    world.apply(spec({ ...noShadow, alpha: 0.01 }));
    assert.deepEqual([last(world)?.action, last(world)?.reasons, last(world)?.attempt], ["held", ["spec_conflict"], 0]);
    assert.equal(world.tables.length, 1);
    assert.equal(world.state.current?.plan.alpha, 0.05);
  });

  it("refuses what cannot be started: problems of the schema, another baseline, a changed version, unknown upstreams", () => {
    const world = new World();
    world.give(specInput(spec(), world.atMs, { spec: null, problems: ["ladder is missing"] }));
    assert.match(last(world)?.message ?? "", /ladder is missing/);
    const { "old@1": _old, ...withoutBaseline } = spec().versions;
    world.give(specInput(spec({ versions: withoutBaseline }), world.atMs));
    assert.match(last(world)?.message ?? "", /versions\["old@1"\] is missing: the route is new/);
    const gateways = [
      { instance: "gw-1", upstreams: ["b"] },
      { instance: "gw-2", upstreams: ["a"] },
    ];
    world.give(specInput(spec({ alpha: 0.02 }), world.atMs, { gateways }));
    assert.match(last(world)?.message ?? "", /versions\["new@1"\].upstream: a is unknown to the live gateways gw-1:/);
    assert.equal(world.state.current, null);
    world.give(specInput(spec({ alpha: 0.02 }), world.atMs));
    assert.equal(last(world)?.action, "started", "a refused digest may be applied again");
    world.command("rollback");
    world.give(specInput(spec({ baseline: "x@1", versions: { ...withoutBaseline, "x@1": { upstream: "a", model: "x" } } }), world.atMs));
    assert.match(last(world)?.message ?? "", /old@1 serves the route: name it as the baseline/);
    world.give(specInput(spec({ versions: { ...withoutBaseline, "old@1": { upstream: "a", model: "changed" } } }), world.atMs));
    assert.match(last(world)?.message ?? "", /a version is immutable/);
  });
});
