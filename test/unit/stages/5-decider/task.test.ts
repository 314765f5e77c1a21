import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ReducerInput } from "../../../../src/domain/rollout/input.ts";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { initialState, type RouteState } from "../../../../src/domain/rollout/state.ts";
import { type DeciderParts, DeciderTask } from "../../../../src/stages/5-decider/task.ts";
import { type Brake, type EvidenceEntry, evidence, type GateEvent, gateEvents, type RoutingTable, routing } from "../../../../topics/index.ts";
import { deps, route, spec, specInput, startMs, World } from "../../../fixtures/rollout-world.ts";

const running = (): RouteState => reduce(initialState(route), specInput(spec({ shadow: { share: 0 } }), startMs), deps).state;
const all = (over: Partial<Brake>): Brake => ({
  route: "*",
  rollout: "",
  attempt: 0,
  cleared: false,
  reason: "",
  actor: "bob",
  atMs: startMs + 1_000,
  ...over,
});

function table<V>(values: Map<string, V>) {
  return {
    get: (key: string) => values.get(key),
    entries: () => values.entries(),
    size: values.size,
    onChange: () => undefined,
    freshAtMs: () => 0,
    ready: Promise.resolve(),
    close: async () => undefined,
  };
}

/** A task over a restored state and a table of brakes. */
async function made(state: RouteState, brakes: Map<string, Brake>, over: Partial<DeciderParts> = {}) {
  const task = new DeciderTask(
    { partition: 0, wake: () => undefined, partitionsOf: () => 1, now: () => startMs },
    {
      brakes: table(brakes),
      fleet: table(new Map()),
      cap: null,
      restore: async () => ({ states: new Map([[route, state]]), epochs: new Map([[route, state.epoch]]) }),
      partitionFor: () => 0,
      deps,
      onDecision: () => undefined,
      ...over,
    },
  );
  await task.start();
  return task;
}

/** The events of each flush of such a task. */
async function task(...parts: Parameters<typeof made>) {
  const started = await made(...parts);
  return (nowMs: number) => (started.flush(nowMs)?.outputs ?? []).filter(({ topic }) => topic === gateEvents).map(({ value }) => (value as GateEvent).action);
}

/** All that each flush writes, by what the topic `routing` still holds. */
async function outputsOf(state: RouteState, epochs: Map<string, number>) {
  const started = await made(state, new Map(), { restore: async () => ({ states: new Map([[route, state]]), epochs }) });
  return (nowMs: number) => started.flush(nowMs)?.outputs ?? [];
}

function rolledBack(state: RouteState): RouteState {
  const world = new World();
  world.state = state;
  world.command("rollback");
  return world.state;
}

const second = spec({
  shadow: { share: 0 },
  candidate: "new@2",
  versions: { "old@1": { upstream: "a", model: "old" }, "new@2": { upstream: "a", model: "newer" } },
  onRunning: "queue",
});

/** A route on which a spec waits for its turn, which has come. */
function itsTurn(): RouteState {
  const world = new World();
  world.apply(spec({ shadow: { share: 0 } }));
  world.apply(second);
  world.command("rollback");
  return world.state;
}

describe("the decider's task", () => {
  it("ends what ran while a brake on all routes was set and cleared without it", async () => {
    const flush = await task(running(), new Map([["*", all({ cleared: true })]]));
    assert.deepEqual(flush(startMs + 5_000), ["rolled_back"]);
    assert.deepEqual(flush(startMs + 6_000), []);
  });

  it("takes a brake on all routes that was cleared and set again between two looks", async () => {
    const brakes = new Map([["*", all({ cleared: true, atMs: startMs - 1_000 })]]);
    const flush = await task(running(), brakes);
    assert.deepEqual(flush(startMs + 500), []);
    brakes.set("*", all({ cleared: true, atMs: startMs + 700 }));
    assert.deepEqual(flush(startMs + 1_000), ["rolled_back"]);
  });

  it("leaves an attempt that started after the brake was cleared", async () => {
    const flush = await task(running(), new Map([["*", all({ cleared: true, atMs: startMs - 1 })]]));
    assert.deepEqual(flush(startMs + 5_000), []);
  });

  it("looks at a route without a rollout while a spec waits for its turn, and checks its upstreams with the gateways that live then", async () => {
    const flush = await task(itsTurn(), new Map());
    assert.deepEqual(flush(startMs + 1_000), ["started"]);
    const report = { instance: "gw-1", role: "gateway", url: "", atMs: startMs, routes: [], upstreams: ["b"], droppedRecords: 0, stopping: false };
    const refusing = await task(itsTurn(), new Map(), { fleet: table(new Map([["gw-1", report]])) });
    assert.deepEqual([refusing(startMs + 1_000), refusing(startMs + 2_000)], [["held"], []]);
  });

  it("tells the reducer of the candidates of other routes, and lets what waits wait until there is room", async () => {
    const heads = new Map([["search", { candidatePpm: 500_000, callsPerMinute: 1_000 }]]);
    const flush = await task(itsTurn(), new Map(), { cap: { mostPpm: 200_000, states: table(heads) } });
    assert.deepEqual(flush(startMs + 1_000), []);
    heads.set("search", { candidatePpm: 10_000, callsPerMinute: 1_000 });
    assert.deepEqual(flush(startMs + 2_000), ["started"]);
  });

  for (const [what, end] of [
    ["of a running rollout", (state: RouteState) => state],
    ["of a route whose rollout is over", rolledBack],
  ] as const) {
    it(`publishes the table ${what} again when the topic has lost it, once, and what is recorded gives the same table`, async () => {
      const state = end(running());
      const lost = await outputsOf(state, new Map());
      const [first, second] = [lost(startMs + 5_000), lost(startMs + 6_000)];
      const [again] = first.flatMap(({ topic, value }) => (topic === routing ? [value as RoutingTable] : []));
      assert.ok(again);
      assert.ok(again.epoch > state.epoch);
      assert.deepEqual([again.route, again.phase, again.reason], [route, state.current?.phase, "table_lost"]);
      const entry = first.find(({ topic }) => topic === evidence)?.value as EvidenceEntry;
      const replayed = reduce(state, JSON.parse(entry.input) as ReducerInput, deps).decisions;
      assert.deepEqual(replayed, [{ kind: "routing", table: again }]);
      assert.deepEqual(
        second.filter(({ topic }) => topic === routing),
        [],
      );
      const kept = await outputsOf(state, new Map([[route, state.epoch]]));
      assert.deepEqual(
        kept(startMs + 5_000).filter(({ topic }) => topic === routing),
        [],
      );
    });
  }
});
