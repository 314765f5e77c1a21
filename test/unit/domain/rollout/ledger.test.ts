import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { good, spec, story, World } from "../../../fixtures/rollout-world.ts";

const noShadow = { shadow: { share: 0 } };
const last = (world: World) => world.events.at(-1);

function started(over: Partial<RolloutSpec> = {}, options: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(options);
  world.apply(spec({ ...noShadow, ...over }));
  return world;
}

function failed(attempts: number): World {
  const world = started();
  world.command("rollback");
  for (let i = 1; i < attempts; i++) {
    world.command("retry");
    world.command("rollback");
  }
  return world;
}

describe("the ledger of attempts", () => {
  it("has a row from the start on, which the end completes with how, who and the final evidence", () => {
    const world = started({}, { candidate: { ...good, taskFail: 0.5 } });
    const [open] = world.state.ledger;
    assert.deepEqual([open?.number, open?.failedBefore, open?.alpha, open?.alphaAdvance, open?.actor, open?.end], [1, 0, 0.05, 0.05, "ann", null]);
    assert.deepEqual(world.events[0]?.ledger, open, "the event of the start carries the row");
    for (const digest of [open?.specDigest, open?.marginsDigest, open?.evaluatorsDigest]) assert.match(digest ?? "", /^[0-9a-f]{64}$/);
    world.minutes(30, ({ state }) => state.current?.phase === "rolled_back");
    const [closed] = world.state.ledger;
    assert.deepEqual(
      [closed?.end, closed?.endReasons, closed?.endedBy, closed?.endedAtMs],
      ["rolled_back", ["signal_breach"], "headgate", world.atMs],
      story(world),
    );
    assert.deepEqual(last(world)?.ledger, closed);
    const task = closed?.finalLogE.find(({ signal }) => signal === "task_completion");
    assert.ok((task?.logE ?? 0) > 2_995_732_274, "at least ln 20 of it");
    assert.ok(world.events.slice(1, -1).every(({ ledger }) => ledger === null));
  });

  it("counts attempts of a pair of versions over rollout ids, halves alpha to advance, and says how many failed", () => {
    const world = started();
    world.command("rollback");
    world.apply(spec({ ...noShadow, id: "another" }));
    assert.deepEqual([world.state.ledger.at(-1)?.number, world.state.ledger.at(-1)?.attempt, last(world)?.alphaAdvance], [2, 1, 0.025]);
    assert.match(last(world)?.message ?? "", /after 1 failed attempt of this version/);
    world.command("rollback");
    world.command("retry", { reason: "the prompt was fixed" });
    assert.deepEqual([world.state.ledger.at(-1)?.number, world.state.ledger.at(-1)?.why, last(world)?.alphaAdvance], [3, "the prompt was fixed", 0.0125]);
    for (let i = 0; i < 3; i++) world.command("promote");
    assert.match(last(world)?.message ?? "", /after 2 failed attempts of this version/);
    assert.deepEqual([last(world)?.action, last(world)?.ledger?.end, last(world)?.ledger?.failedBefore], ["done", "done", 2]);
    world.command("undo");
    assert.deepEqual([last(world)?.ledger?.end, Object.values(world.state.pairs)[0]?.failed], ["undone", 3], "what was undone has failed too");
  });

  it("lists other candidates that failed against the same baseline as ancestors of a new name", () => {
    const world = failed(2);
    world.apply(spec({ ...noShadow, candidate: "new@2", versions: { "new@2": { upstream: "a", model: "newer" } } }));
    const row = world.state.ledger.at(-1);
    assert.deepEqual([row?.number, row?.ancestors, row?.alphaAdvance], [1, ["new@1"], 0.05]);
    assert.match(last(world)?.message ?? "", /other candidates failed against this baseline before: new@1/);
  });

  it("is bounded in the state, and complete in the events", () => {
    const world = new World();
    for (let i = 0; i < 40; i++) {
      world.apply(
        spec({ ...noShadow, candidate: `new@${i}`, versions: { "old@1": { upstream: "a", model: "old" }, [`new@${i}`]: { upstream: "a", model: "m" } } }),
      );
      world.command("rollback");
    }
    assert.equal(world.state.ledger.length, 32);
    const rows = world.events.flatMap(({ ledger }) => (ledger === null ? [] : [ledger]));
    assert.deepEqual(new Set(rows.filter(({ end }) => end !== null).map(({ candidate }) => candidate)).size, 40);
  });

  it("asks for the approval of somebody else, with a reason, from the fourth attempt of a version on", () => {
    const world = failed(3);
    const tables = world.tables.length;
    world.command("retry", { reason: "again" });
    assert.deepEqual([last(world)?.reasons, world.state.current?.phase, world.tables.length], [["awaiting_approval"], "rolled_back", tables]);
    world.command("approve", { actor: "ann" });
    assert.match(last(world)?.message ?? "", /somebody else's word/);
    world.command("approve", { actor: "bob", reason: "" });
    assert.match(last(world)?.message ?? "", /needs a reason/);
    world.command("approve", { actor: "bob", reason: "the provider has mended it" });
    assert.deepEqual([last(world)?.action, last(world)?.actor, last(world)?.alphaAdvance], ["started", "bob", 0.05 / 8], story(world));
    assert.equal(world.state.ledger.at(-1)?.why, "asked for by ann: the provider has mended it");
  });

  it("asks it of a declared spec too, and of one that would replace what runs before that is touched", () => {
    const world = failed(3);
    world.apply(spec({ ...noShadow, alpha: 0.04 }));
    assert.deepEqual([last(world)?.reasons, world.state.current?.phase], [["awaiting_approval"], "rolled_back"]);
    world.apply(spec({ ...noShadow, candidate: "new@2", versions: { "new@2": { upstream: "a", model: "newer" } } }));
    assert.equal(world.state.current?.phase, "canary");
    world.apply(spec({ ...noShadow, alpha: 0.03, onRunning: "replace" }));
    assert.deepEqual([last(world)?.reasons, world.state.current?.plan.candidate], [["awaiting_approval"], "new@2"]);
    world.command("approve", { actor: "bob" });
    assert.deepEqual(
      world.events.slice(-2).map(({ action, candidate }) => [action, candidate]),
      [
        ["rolled_back", "new@2"],
        ["started", "new@1"],
      ],
    );
  });

  it("does not start what was approved when something else was started since", () => {
    const world = failed(3);
    world.command("retry");
    world.apply(spec({ ...noShadow, candidate: "new@2", versions: { "new@2": { upstream: "a", model: "newer" } } }));
    world.command("approve", { actor: "bob" });
    assert.match(last(world)?.message ?? "", /another rollout was started since/);
  });
});
