import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PaneInput } from "../../../../src/domain/rollout/input.ts";
import { spec, startMs, World } from "../../../fixtures/rollout-world.ts";

const SECOND = 1_000;
const noShadow = { shadow: { share: 0 } };

function pane(world: World, over: Partial<PaneInput>): void {
  const whole = { kind: "pane", group: "calls", paneStartMs: world.atMs, paneMs: 60 * SECOND, round: 0, watermarkMs: world.atMs, blocks: [], ...over } as const;
  world.atMs = Math.max(world.atMs, whole.paneStartMs + whole.paneMs);
  world.give({ ...whole, atMs: world.atMs });
}

describe("feeding panes", () => {
  it("takes the first pane of an attempt with longer panes, although it starts before the last short one", () => {
    const world = new World();
    world.apply(spec({ ...noShadow, pane: "2s" }));
    for (let i = 0; i < 15; i++) pane(world, { paneStartMs: startMs + 2 * SECOND * i, paneMs: 2 * SECOND });
    world.command("rollback");
    world.apply(spec({ ...noShadow, pane: "60s", id: "longer" }));
    const blocks = world.traffic(startMs);
    pane(world, { paneStartMs: startMs, blocks: blocks.filter(({ signal }) => signal !== "task_completion") });
    assert.equal(world.state.current?.newestPane.calls, startMs);
    assert.equal(world.state.current?.stepRequests, 30);
  });

  it("takes each pane and each round once, in order", () => {
    const world = new World();
    world.apply(spec(noShadow));
    pane(world, { paneStartMs: startMs });
    pane(world, { paneStartMs: startMs + 60 * SECOND });
    const { length } = world.inputs;
    pane(world, { paneStartMs: startMs });
    pane(world, { paneStartMs: startMs + 60 * SECOND });
    pane(world, { paneStartMs: startMs + 600 * SECOND, round: 1 });
    assert.equal(world.inputs.length, length, "repeats, and a late round of a pane that never closed");
    pane(world, { paneStartMs: startMs, round: 1 });
    pane(world, { paneStartMs: startMs, round: 1 });
    assert.equal(world.inputs.length, length + 1);
  });
});
