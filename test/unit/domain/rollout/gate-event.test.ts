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
function recompute(processes: SignalEvidence["processes"], isMinus: boolean): number {
  const logs = processes.map(({ q, setAside, weights, deff }) =>
    logMix(
      q.map((sum, k) => (sum - (isMinus ? (setAside[k] ?? 0) : 0)) / NANO / deff),
      weights,
    ),
  );
  const all = processes.reduce((sum, { share }) => sum + share, 0);
  return logMix(
    logs,
    processes.map(({ share }) => share / all),
  );
}
/** statistics.md section 1.3. */
function boundOf({ intervalPrecision: v, intervalWeighted, intervalScale, tolerated, limit }: SignalEvidence, alpha: number): number | null {
  if (v === 0) return null;
  const rho = ((limit - tolerated) * intervalScale) ** -2;
  const half = Math.sqrt((v + rho) * (2 * Math.log(1 / alpha) + Math.log((v + rho) / rho))) / v;
  const centre = intervalWeighted / v;
  return (centre - half > tolerated * intervalScale ? centre - half : centre + half) / intervalScale;
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
  [
    "slices and subjects",
    new World({ seed: 23, slices: { long: 0.3, billing: 0.2 }, hasSubjects: true, callsPerMinute: 400 }),
    { slices: [{ name: "long", share: 0.3 }, "billing"], signals: ["schema_validity", "task_completion", "missing_scores", "cost_per_request", "error_rate"] },
  ],
];
for (const [, world, over] of worlds) {
  world.apply(spec(over));
  world.minutes(90, ({ state }) => state.current?.phase === "done" || state.current?.phase === "rolled_back");
}
/** Signals that shadow cannot prove. */
const inShadow = new Set(["latency_p95", "cost_per_request", "missing_scores"]);
const all: GateEvent[] = worlds.flatMap(([, world]) => world.events);

describe("a gate event", () => {
  it("holds numbers from which its bounds can be recomputed to 1e-9", () => {
    const withEvidence = all.filter(({ signals }) => signals.some(({ weight }) => weight > 0));
    assert.ok(withEvidence.length >= 12, `only ${withEvidence.length} events carry evidence`);
    for (const event of withEvidence) {
      const guardrails = event.signals.filter(({ weight }) => weight > 0);
      for (const signal of guardrails) {
        const harm = signal.processes.filter(({ share }) => share > 0);
        assert.ok(Math.abs(harm.reduce((sum, { share }) => sum + share, 0) - signal.sliceShare) < 1e-9, "shares of the processes sum to the slice's");
        assert.ok(Math.abs(recompute(harm, false) - signal.logEFreeze / NANO) < 1.1e-9, `${signal.signal} of ${event.action}`);
        assert.ok(Math.abs(recompute(harm, true) - signal.logEFreezeMinus / NANO) < 1.1e-9, `${signal.signal} of ${event.action}, minus`);
        const spent = Math.min(1, event.alpha * signal.weight * signal.sliceShare * Math.exp(signal.logEFreeze / NANO));
        assert.ok(Math.abs(spent - signal.alphaSpent) < 1e-6 * Math.max(1e-9, spent));
        assert.ok(signal.logEFreezeMinus <= signal.logEFreeze);
        const advancing = signal.processes
          .filter(({ share }) => share === 0)
          .map(({ q, weights, deff }) =>
            logMix(
              q.map((sum) => sum / NANO / deff),
              weights,
            ),
          );
        if (advancing.length > 0) {
          const logE = Math.min(...advancing, Math.log(1 / event.alphaAdvance));
          // Where a process is missing, it is worth 1: it has not begun.
          assert.ok(Math.abs(logE - signal.logEAdvance / NANO) < 2e-9 || signal.logEAdvance === 0, `${signal.signal} of ${event.action}, advance`);
        }
        const bound = boundOf(signal, event.alpha);
        assert.ok((bound === null) === (signal.bound === null) && Math.abs((bound ?? 0) - (signal.bound ?? 0)) < 1e-9, `${signal.signal}, bound`);
      }
      const shareOf = ({ weight, sliceShare }: SignalEvidence) => weight * sliceShare;
      assert.ok(Math.abs(guardrails.reduce((sum, row) => sum + shareOf(row), 0) - 1) < 1e-9, "weights sum to 1");
      const logA = (of: (row: SignalEvidence) => number) =>
        logMix(
          guardrails.map((row) => of(row) / NANO),
          guardrails.map(shareOf),
        );
      // Rounding once more per signal on the way: half a nano-nat each.
      assert.ok(Math.abs(logA((row) => row.logEFreeze) - event.logA / NANO) < 3e-9);
      assert.ok(Math.abs(logA((row) => row.logEFreezeMinus) - event.logAMinus / NANO) < 3e-9);
    }
    const bounded = withEvidence.flatMap(({ signals }) => signals).filter(({ bound }) => bound !== null);
    assert.ok(new Set(bounded.map(({ signal }) => signal)).size >= 4, "several signals showed a bound");
    assert.ok(
      withEvidence.some(({ signals }) => signals.some(({ slice, logEFreeze }) => slice === "billing" && logEFreeze !== 0)),
      "a slice had evidence",
    );
    assert.ok(
      withEvidence.some(({ signals }) => signals.some(({ processes }) => processes.some(({ deff }) => deff > 1))),
      "a design effect was seen",
    );
  });

  it("bears out the decision that it tells, by its own numbers", () => {
    const bound = Math.log(1 / 0.05);
    for (const event of all) {
      if (event.action === "frozen") assert.ok(event.logA / NANO >= bound);
      if (event.action === "rolled_back") assert.ok(event.logAMinus / NANO >= bound);
      if (event.action === "thawed") assert.ok(event.logAMinus / NANO < bound);
      if (event.action !== "advanced") continue;
      const required = event.signals.filter(
        ({ tier, signal, slice }) => tier === "guardrail" && slice === "all" && (event.fromPhase !== "shadow" || !inShadow.has(signal)),
      );
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
