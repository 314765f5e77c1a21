import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Behaviour, good, spec, startMs, story, World } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const isOver = ({ state }: World) => state.current?.phase === "done" || state.current?.phase === "rolled_back";
/** Every call fails or times out, which is the overflow bucket of latency. */
const down: Behaviour = { ...good, errors: 1 };
const halfDown: Behaviour = { ...good, errors: 0.5 };

/** The candidate's upstream is down for some minutes, inside panes or half a pane later, over one pane more. */
function outage(fromMinute: number, minutes: number, isOverPanes: boolean): (atMs: number) => Behaviour {
  const fromMs = startMs + fromMinute * MINUTE;
  const toMs = fromMs + minutes * MINUTE;
  return (atMs) => {
    if (isOverPanes && (atMs === fromMs || atMs === toMs)) return halfDown;
    return atMs >= fromMs && atMs < toMs ? down : good;
  };
}

function run(candidateAt: (atMs: number) => Behaviour, seed: number, minutes: number): World {
  const world = new World({ candidateAt, seed });
  world.apply(spec({ shadow: { share: 0 } }));
  world.minutes(minutes, isOver);
  return world;
}

const cases = [3, 30].flatMap((from) => [false, true].map((isOverPanes, seed) => ({ from, isOverPanes, seed })));

describe("an outage of the candidate's upstream", () => {
  it("of one minute, inside a pane or over two, freezes, thaws by itself naming the panes, and never rolls back", () => {
    for (const { from, isOverPanes, seed } of cases) {
      const world = run(outage(from, 1, isOverPanes), seed, from + 22);
      const moves = world.events.map(({ action }) => action).filter((action) => action !== "held" && action !== "advanced");
      assert.deepEqual(moves, ["started", "frozen", "thawed"], story(world));
      const thaw = world.events.find(({ action }) => action === "thawed");
      assert.ok(thaw?.setAsidePanes.includes(startMs + from * MINUTE), story(world));
      assert.ok((thaw?.setAsidePanes.length ?? 0) <= 2, "two panes are forgiven");
      assert.equal(thaw?.condition, "progressing");
    }
  });

  it("of twenty minutes is rolled back within five, while it lasts", () => {
    for (const { from, isOverPanes, seed } of cases) {
      const world = run(outage(from, 20, isOverPanes), seed, from + 25);
      const end = world.events.at(-1);
      assert.equal(end?.action, "rolled_back", story(world));
      assert.ok((end?.atMs ?? 0) <= startMs + (from + 5) * MINUTE, story(world));
      assert.match(end?.message ?? "", /error_rate/);
    }
  });

  it("of a minute that comes a second and a third time is proven harm: two panes are forgiven per attempt", () => {
    const again = (atMs: number) => ([3, 4, 40, 41, 42].includes((atMs - startMs) / MINUTE) ? down : good);
    const world = run(again, 3, 60);
    assert.ok(
      world.events.some(({ action }) => action === "thawed"),
      story(world),
    );
    assert.ok(world.state.current?.phase === "rolled_back" || world.state.current?.frozen !== null, story(world));
  });
});

describe("for each gate a run in which only it stops", () => {
  const gateOf = (world: World, action: string) => {
    const event = world.events.find((found) => found.action === action);
    return Object.fromEntries((event?.gates ?? []).map(({ gate, verdict, reasons }) => [gate, `${verdict} ${reasons.join()}`.trim()]));
  };
  const stopped = (candidate: Behaviour) => {
    const world = new World({ candidate, seed: 2 });
    world.apply(spec({ shadow: { share: 0 } }));
    world.minutes(60, isOver);
    return world;
  };

  it("confidence: answers that do not do the task; the event names the gate and the signal", () => {
    const world = stopped({ ...good, taskFail: 0.4 });
    const gates = gateOf(world, "rolled_back");
    assert.equal(gates.confidence, "roll_back signal_breach", story(world));
    assert.ok(!/freeze|roll_back/.test(gates.cohort ?? "roll_back"), story(world));
    assert.match(world.events.at(-1)?.message ?? "", /: task_completion$/);
  });

  it("cohort: answers that fail to come; the event names the gate and the signal", () => {
    const world = stopped({ ...good, errors: 0.2 });
    const gates = gateOf(world, "rolled_back");
    assert.equal(gates.cohort, "roll_back signal_breach", story(world));
    assert.ok(!/freeze|roll_back/.test(gates.confidence ?? "roll_back"), story(world));
    assert.match(world.events.at(-1)?.message ?? "", /error_rate/);
  });
});
