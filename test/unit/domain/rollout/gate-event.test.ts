import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hashOf } from "../../../../src/domain/rollout/gate-event.ts";
import type { GateEvent, SignalEvidence } from "../../../../topics/index.ts";
import { gateEvents } from "../../../../topics/index.ts";
import { deps, good, spec, startMs, story, World } from "../../../fixtures/rollout-world.ts";

const NANO = 1e9;
/** The formulae of statistics.md section 2, written anew with the platform's own functions: nothing of the decider's is used. */
const logMix = (logs: readonly number[], weights: readonly number[]) => {
  const top = Math.max(...logs);
  const log = top + Math.log(logs.reduce((sum, one, i) => sum + (weights[i] ?? 0) * Math.exp(one - top), 0));
  return Math.floor(NANO * log + 0.5) / NANO;
};
function recompute({ processes }: SignalEvidence, isMinus: boolean): number {
  const logs = processes.map(({ q, setAside, weights }) =>
    logMix(
      q.map((sum, k) => (sum - (isMinus ? (setAside[k] ?? 0) : 0)) / NANO),
      weights,
    ),
  );
  return logMix(
    logs,
    processes.map(({ share }) => share),
  );
}

const minute = (n: number) => startMs + n * 60_000;
const worlds: readonly (readonly [string, World, Parameters<typeof spec>[0]])[] = [
  ["a climb", new World({ seed: 2 }), {}],
  ["a rollback", new World({ seed: 3, candidate: { ...good, taskFail: 0.3 } }), { shadow: { share: 0 } }],
  ["an outage", new World({ seed: 5, candidateAt: (atMs) => (atMs === minute(12) ? { ...good, errors: 1 } : good) }), { shadow: { share: 0 } }],
  [
    "a baseline below the floor",
    new World({ seed: 17, baseline: { ...good, schemaFail: 0.05 }, candidate: { ...good, schemaFail: 0.05 } }),
    { ladder: [50, 100] },
  ],
];
for (const [, world, over] of worlds) {
  world.apply(spec(over));
  world.minutes(90, ({ state }) => state.current?.phase === "done" || state.current?.phase === "rolled_back");
}
const all: GateEvent[] = worlds.flatMap(([, world]) => world.events);

describe("a gate event", () => {
  it("holds numbers from which its bounds can be recomputed to 1e-9", () => {
    const withEvidence = all.filter(({ signals }) => signals.some(({ weight }) => weight > 0));
    assert.ok(withEvidence.length >= 12, `only ${withEvidence.length} events carry evidence`);
    for (const event of withEvidence) {
      const guardrails = event.signals.filter(({ weight }) => weight > 0);
      for (const signal of guardrails) {
        assert.ok(Math.abs(signal.processes.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-9, "shares of the processes sum to 1");
        assert.ok(Math.abs(recompute(signal, false) - signal.logEFreeze / NANO) < 1.1e-9, `${signal.signal} of ${event.action}`);
        assert.ok(Math.abs(recompute(signal, true) - signal.logEFreezeMinus / NANO) < 1.1e-9, `${signal.signal} of ${event.action}, minus`);
        const spent = Math.min(1, event.alpha * signal.weight * Math.exp(signal.logEFreeze / NANO));
        assert.ok(Math.abs(spent - signal.alphaSpent) < 1e-6 * Math.max(1e-9, spent));
        assert.ok(signal.logEFreezeMinus <= signal.logEFreeze);
      }
      assert.ok(Math.abs(guardrails.reduce((sum, { weight }) => sum + weight, 0) - 1) < 1e-9, "weights sum to 1");
      const weights = guardrails.map(({ weight }) => weight);
      assert.ok(
        Math.abs(
          logMix(
            guardrails.map((s) => s.logEFreeze / NANO),
            weights,
          ) -
            event.logA / NANO,
        ) < 1.1e-9,
      );
      assert.ok(
        Math.abs(
          logMix(
            guardrails.map((s) => s.logEFreezeMinus / NANO),
            weights,
          ) -
            event.logAMinus / NANO,
        ) < 1.1e-9,
      );
    }
  });

  it("bears out the decision that it tells, by its own numbers", () => {
    const bound = Math.log(1 / 0.05);
    for (const event of all) {
      if (event.action === "frozen") assert.ok(event.logA / NANO >= bound);
      if (event.action === "rolled_back") assert.ok(event.logAMinus / NANO >= bound);
      if (event.action === "thawed") assert.ok(event.logAMinus / NANO < bound);
      if (event.action !== "advanced") continue;
      const required = event.signals.filter(({ tier, signal }) => tier === "guardrail" && (event.fromPhase !== "shadow" || signal !== "latency_p95"));
      for (const { verdict, signal } of required) assert.ok(verdict === "safe" || verdict === "baseline_below_floor", `${signal} was ${verdict}`);
    }
    assert.ok(all.some(({ action }) => action === "thawed") && all.some(({ action }) => action === "rolled_back"));
  });

  it("is chained to the one before by its hash, and a changed number breaks the chain", () => {
    for (const [name, world] of worlds) {
      let previous = "";
      for (const event of world.events) {
        assert.equal(event.previousHash, previous, name);
        assert.equal(hashOf(event, deps), event.hash, name);
        assert.notEqual(hashOf({ ...event, logA: event.logA + 1 }, deps), event.hash);
        previous = event.hash;
      }
    }
  });

  it("fits its contract, has an id of its own, and tells a change of something", () => {
    for (const event of all) gateEvents.shape.parse(event);
    for (const [name, world] of worlds) {
      assert.equal(new Set(world.events.map(({ id }) => id)).size, world.events.length);
      assert.equal(new Set(world.events.map(({ hash }) => hash)).size, world.events.length);
      const keys = world.events.map(({ toPhase, toStep, condition, reasons, action }) => JSON.stringify([toPhase, toStep, condition, reasons, action]));
      for (let i = 1; i < keys.length; i++) assert.notEqual(keys[i], keys[i - 1], `${name}\n${story(world)}`);
    }
  });

  it("shows values in the units of people: rates of good, rates of errors, ms, dollars", () => {
    const event = worlds[0]?.[1].events.findLast(({ action }) => action === "advanced");
    const value = (name: string) => event?.signals.find(({ signal }) => signal === name);
    assert.ok((value("schema_validity")?.candidateValue ?? 0) > 0.98);
    assert.ok((value("error_rate")?.baselineValue ?? 1) < 0.03);
    assert.ok(Math.abs((value("latency_p95")?.baselineValue ?? 0) - 1_930) < 300);
    assert.ok(Math.abs((value("cost_per_request")?.candidateValue ?? 0) - 0.0005) < 0.00001);
    const task = value("task_completion");
    assert.ok(task?.bound !== null && task?.bound !== undefined && task.delta !== null && task.bound >= task.delta && task.bound < 0.1);
  });
});
