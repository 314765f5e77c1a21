import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { initialState, type RouteState } from "../../../../src/domain/rollout/state.ts";
import { type DeciderParts, DeciderTask } from "../../../../src/stages/5-decider/task.ts";
import { type Brake, type GateEvent, gateEvents } from "../../../../topics/index.ts";
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

/** A task over a restored state and a table of brakes, with the events of each flush. */
async function task(state: RouteState, brakes: Map<string, Brake>, over: Partial<DeciderParts> = {}) {
  const made = new DeciderTask(
    { partition: 0, wake: () => undefined, partitionsOf: () => 1, now: () => startMs },
    {
      brakes: table(brakes),
      fleet: table(new Map()),
      cap: null,
      restore: async () => ({ states: new Map([[route, state]]), epochs: new Map() }),
      partitionFor: () => 0,
      deps,
      onDecision: () => undefined,
      ...over,
    },
  );
  await made.start();
  return (nowMs: number) => (made.flush(nowMs)?.outputs ?? []).filter(({ topic }) => topic === gateEvents).map(({ value }) => (value as GateEvent).action);
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
});
