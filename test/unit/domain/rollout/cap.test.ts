import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { withoutRoom } from "../../../../src/domain/rollout/exposure-cap.ts";
import type { FleetExposure, ReducerInput } from "../../../../src/domain/rollout/input.ts";
import { initialState, type RouteState } from "../../../../src/domain/rollout/state.ts";
import { exposureBeside, exposureOf } from "../../../../src/stages/5-decider/fleet-exposure.ts";
import { spec, story, World } from "../../../fixtures/rollout-world.ts";

const noShadow = { shadow: { share: 0 } };

/** A world whose decider is told of other routes with every input. */
class Capped extends World {
  exposure: FleetExposure = { mostPpm: 200_000, candidatePerMinute: 0, callsPerMinute: 1_000 };
  override give(input: ReducerInput): void {
    super.give({ ...input, exposure: this.exposure });
  }
  tick(): void {
    this.atMs += 1_000;
    this.give({ kind: "tick", atMs: this.atMs });
  }
}

describe("the shared cap of candidate traffic", () => {
  it("leaves room for a step exactly while all candidates together stay within it", () => {
    fc.assert(
      fc.property(
        fc.record({
          mostPpm: fc.integer({ min: 1, max: 1e6 }),
          candidatePerMinute: fc.integer({ min: 0, max: 500 }),
          callsPerMinute: fc.integer({ min: 500, max: 5_000 }),
        }),
        fc.integer({ min: 1, max: 5_000 }),
        fc.integer({ min: 0, max: 1e6 }),
        (exposure, own, nextPpm) => {
          const share = (exposure.candidatePerMinute * 1e6 + own * nextPpm) / (exposure.callsPerMinute + own);
          assert.equal(withoutRoom(exposure, own, nextPpm) === null, share <= exposure.mostPpm);
        },
      ),
    );
    assert.equal(withoutRoom(null, 100, 1e6), null, "without a cap there is always room");
    const alone = { mostPpm: 300_000, candidatePerMinute: 0, callsPerMinute: 0 };
    assert.deepEqual(
      [withoutRoom(alone, null, 300_000), withoutRoom(alone, null, 300_001) === null],
      [null, false],
      "without traffic the route counts as the only one",
    );
  });

  it("holds a step that both gates let pass, names itself, and lets it go when there is room", () => {
    const world = new Capped({ seed: 4 });
    world.apply(spec(noShadow));
    // 50 % of 300 calls beside 1,000 others are 11.5 %; with 200 of those on candidates, 26.9 %.
    world.exposure = { ...world.exposure, candidatePerMinute: 200 };
    world.minutes(60);
    assert.deepEqual([world.state.current?.step, world.state.current?.reasons], [0, ["exposure_cap"]], story(world));
    assert.match(world.events.at(-1)?.message ?? "", /candidates would serve 26.9 % of all calls over all routes, and 20.0 % is the most/);
    world.exposure = { ...world.exposure, candidatePerMinute: 50 };
    world.minutes(2);
    assert.equal(world.state.current?.step, 1, story(world));
  });

  it("never stops what goes down, and a person can go up nevertheless", () => {
    const world = new Capped();
    world.apply(spec(noShadow));
    world.exposure = { ...world.exposure, candidatePerMinute: 1_000 };
    world.command("promote");
    assert.equal(world.state.current?.step, 1);
    world.command("rollback");
    assert.equal(world.state.current?.phase, "rolled_back");
  });

  it("refuses a start that goes straight to users, and lets a queued one wait in silence; shadows may start", () => {
    const world = new Capped();
    world.exposure = { ...world.exposure, candidatePerMinute: 500 };
    world.apply(spec(noShadow));
    assert.deepEqual([world.events.at(-1)?.reasons, world.state.current], [["exposure_cap"], null]);
    world.exposure = { ...world.exposure, candidatePerMinute: 0 };
    world.apply(spec({ ...noShadow, id: "first" }));
    world.command("rollback");
    world.exposure = { ...world.exposure, candidatePerMinute: 500 };
    world.command("retry");
    assert.deepEqual([world.events.at(-1)?.reasons, world.state.current?.phase], [["command_refused"], "rolled_back"], "a retry needs room like any start");
    world.apply(spec());
    assert.equal(world.state.current?.phase, "shadow");
    const versions = { "old@1": { upstream: "a", model: "old" }, "new@2": { upstream: "a", model: "newer" } };
    world.apply(spec({ ...noShadow, candidate: "new@2", versions, onRunning: "queue" }));
    world.command("rollback");
    const { length } = world.events;
    for (let i = 0; i < 3; i++) world.tick();
    assert.deepEqual([world.events.length, world.state.waiting.next?.needs], [length, "turn"]);
    world.exposure = { ...world.exposure, candidatePerMinute: 0 };
    world.tick();
    assert.deepEqual([world.events.at(-1)?.action, world.state.current?.plan.candidate], ["started", "new@2"]);
  });
});

describe("what a decider knows of other routes", () => {
  const head = (route: string, candidatePpm: number, callsPerMinute: number) => [route, { candidatePpm, callsPerMinute }] as const;
  const table = (entries: readonly (readonly [string, { candidatePpm: number; callsPerMinute: number }])[]) => ({
    entries: () => new Map(entries).entries(),
    get: () => undefined,
    size: entries.length,
    onChange: () => undefined,
    freshAtMs: () => 0,
    ready: Promise.resolve(),
    close: async () => undefined,
  });

  it("is its own routes as they stand and all others as committed, without the route itself", () => {
    const world = new World();
    world.apply(spec(noShadow));
    world.minutes(5);
    const own: ReadonlyMap<string, RouteState> = new Map([
      ["support-answer", world.state],
      ["quiet", initialState("quiet")],
    ]);
    assert.deepEqual(exposureOf(world.state), { candidatePpm: 100_000, callsPerMinute: 300 });
    const states = table([head("support-answer", 900_000, 9_999), head("search", 200_000, 500), head("idle", 0, 100)]);
    assert.deepEqual(exposureBeside("support-answer", { mostPpm: 1, states }, own), { mostPpm: 1, candidatePerMinute: 100, callsPerMinute: 600 });
    assert.deepEqual(exposureBeside("search", { mostPpm: 1, states }, own), { mostPpm: 1, candidatePerMinute: 30, callsPerMinute: 400 });
    world.command("rollback");
    assert.equal(exposureOf(world.state).candidatePpm, 0);
  });

  it("lets two deciders exceed the cap by at most one step each, and then both hold", () => {
    const fleet = [new Capped({ seed: 1 }), new Capped({ seed: 2 })] as const;
    for (const world of fleet) world.apply(spec(noShadow));
    const shareOf = () => {
      const heads = fleet.map(({ state }) => exposureOf(state));
      return (
        heads.reduce((sum, { candidatePpm, callsPerMinute }) => sum + candidatePpm * callsPerMinute, 0) /
        heads.reduce((sum, { callsPerMinute }) => sum + callsPerMinute, 0)
      );
    };
    let most = 0;
    for (let minute = 0; minute < 90; minute++) {
      // Each sees the other as it was a minute ago.
      const heads = fleet.map(({ state }) => exposureOf(state));
      fleet.forEach((world, i) => {
        const other = heads[1 - i];
        const candidatePerMinute = ((other?.callsPerMinute ?? 0) * (other?.candidatePpm ?? 0)) / 1e6;
        world.exposure = { mostPpm: 320_000, candidatePerMinute, callsPerMinute: other?.callsPerMinute ?? 0 };
        world.minutes(1);
      });
      most = Math.max(most, Number.isNaN(shareOf()) ? 0 : shareOf());
    }
    assert.ok(most <= 500_000, `${most}: one step of one route beyond 32 %`);
    assert.ok(
      fleet.some(({ state }) => state.current?.reasons.includes("exposure_cap")),
      story(fleet[0]),
    );
  });
});
