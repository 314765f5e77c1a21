import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PaneInput } from "../../../../src/domain/rollout/input.ts";
import { good, spec, startMs, story, World } from "../../../fixtures/rollout-world.ts";

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

  it("counts no request of a pause, neither for a step that may be left without proof", () => {
    const world = new World();
    world.apply(spec(noShadow));
    world.command("pause");
    world.minutes(3);
    assert.equal(world.state.current?.stepRequests, 0);
    world.command("resume");
    world.minutes(2);
    assert.equal(world.state.current?.stepRequests, 60);
  });

  it("observes panes of a judge that answers much later, however short they are", () => {
    const flawless = { ...good, schemaFail: 0, taskFail: 0 };
    const world = new World({ candidate: flawless, baseline: flawless });
    world.apply(spec({ ...noShadow, signals: ["schema_validity", "task_completion"], ladder: [100], pane: "1s", grace: { judge: "10m" }, observation: "72h" }));
    const n = 300;
    const blocks = world.traffic(startMs);
    const isJudged = ({ signal }: { signal: string }) => signal === "task_completion";
    const at = (i: number) => ({ paneStartMs: startMs + SECOND * i, paneMs: SECOND });
    // Half a minute without a call of the candidate is not observed.
    const isQuiet = (i: number) => i >= 100 && i < 130;
    for (let i = 0; i < n; i++) pane(world, { ...at(i), blocks: isQuiet(i) ? [] : blocks.filter((block) => !isJudged(block)) });
    assert.equal(world.state.current?.observedMs, 0);
    for (let i = 0; i < n; i++) pane(world, { ...at(i), group: "judge", blocks: isQuiet(i) ? [] : blocks.filter(isJudged) });
    assert.equal(world.state.current?.observedMs, (n - 30) * SECOND, story(world));
    assert.deepEqual(world.state.current?.unobservedPanes, []);
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
