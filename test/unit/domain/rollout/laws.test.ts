import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ReducerInput } from "../../../../src/domain/rollout/input.ts";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { callsPerMinute } from "../../../../src/domain/rollout/routing-table.ts";
import { initialState, isRunning, type RouteState } from "../../../../src/domain/rollout/state.ts";
import { bucketsServedBy } from "../../../../src/domain/routing/ranges.ts";
import type { GateEvent, RoutingTable } from "../../../../topics/index.ts";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { deps, route, spec, World } from "../../../fixtures/rollout-world.ts";
import { CAP_PPM, eventsOf, isSameAttempt, law, MINUTE, OTHER_CALLS, rung, type Taken, tablesOf } from "./histories.ts";

/** Whoever goes up has all that its step demands, or a person said so. */
function checkStepUp(step: Taken): void {
  const up = rung(step.after) > rung(step.before) && isRunning(step.before.current) && isSameAttempt(step.before.current, step.after.current);
  if (!up) return;
  const event = eventsOf(step).find(({ action }) => action === "advanced");
  assert.ok(event, "a step up has its event");
  if (step.input.kind === "command") {
    assert.ok(event.actor === step.input.command.actor && step.input.command.verb === "promote");
    return;
  }
  const before = step.before.current;
  assert.ok(before !== null && before.frozen === null && !before.isPaused && before.evaluationError === null);
  assert.ok(step.after.atMs - before.stepSinceMs >= (before.phase === "shadow" ? 3 : 5) * MINUTE, "its dwell");
  assert.ok(!before.plan.approvals.includes(before.step) || before.approved[String(before.step)] !== undefined, "its approval");
  const required = event.signals.filter(
    ({ tier, signal, edition }) => tier === "guardrail" && edition === 0 && (before.phase !== "shadow" || signal !== "latency_p95"),
  );
  assert.ok(required.length > 0 && required.every(({ verdict }) => verdict === "safe"), "its proof");
  assert.ok(
    required.filter(({ gate }) => gate === "confidence").every(({ candidateN, baselineN }) => Math.min(candidateN, baselineN) >= before.plan.minSamples),
    "its samples",
  );
  const own = callsPerMinute(step.after, MINUTE) ?? 0;
  const candidates = (step.input.exposure?.candidatePerMinute ?? 0) * 1e6 + own * event.toSharePpm;
  assert.ok(candidates <= CAP_PPM * (OTHER_CALLS + own), "the room under the shared cap");
}

describe("the laws of DESIGN.md section 6, over random histories", () => {
  it("1: going up needs everything that its step demands, or a person's name", () => {
    law((world) => {
      for (const step of world.taken) checkStepUp(step);
    });
  });

  it("1: no evidence never advances, also where shadow demands no proof of any guardrail", () => {
    const unproven = ["latency_p95", "ttft_p95", { name: "schema_validity", gate: "cohort" as const }];
    fc.assert(
      fc.property(
        fc.record({
          signals: fc.subarray<RolloutSpec["signals"][number]>(unproven, { minLength: 1 }),
          share: fc.constantFrom(0.01, 10, 100),
          advanceOn: fc.constantFrom("safe" as const, "not_breached" as const),
          minSamples: fc.constantFrom(1, 100),
          panes: fc.constantFrom("none" as const, "empty" as const, "baseline only" as const),
        }),
        ({ signals, share, advanceOn, minSamples, panes }) => {
          const world = new World();
          world.apply(spec({ signals, confidence: "none", minSamples, advanceOn, ladder: [5, 50, 100], shadow: { share, minDwell: "1m", maxDwell: "5m" } }));
          assert.equal(world.state.current?.phase, "shadow");
          for (let i = 0; i < 40; i++) {
            const paneStartMs = world.atMs;
            const blocks = panes === "baseline only" ? world.traffic(paneStartMs).filter(({ arm }) => arm !== "candidate") : [];
            world.atMs += MINUTE;
            const pane = { kind: "pane", group: "calls", atMs: world.atMs, paneStartMs, paneMs: MINUTE, round: 0, watermarkMs: world.atMs, blocks } as const;
            if (panes !== "none") world.give(pane);
            world.give({ kind: "tick", atMs: world.atMs });
          }
          assert.deepEqual([world.state.current?.phase, world.events.filter(({ action }) => action === "advanced")], ["shadow", []]);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("1: going down needs nothing: a rollback or a brake acts in any running phase and condition", () => {
    law((world) => {
      if (!isRunning(world.state.current)) return;
      const { rollout, candidate } = world.state.current.plan;
      const { attempt } = world.state.current;
      const brake = { route, rollout, attempt, cleared: false, reason: "", actor: "bob", atMs: world.atMs };
      const command = { id: "stop", route, verb: "rollback" as const, reason: "", expectedAttempt: null, expectedEpoch: null, actor: "ann", atMs: world.atMs };
      for (const input of [{ kind: "brake", atMs: world.atMs, brake } as const, { kind: "command", atMs: world.atMs, command } as const]) {
        const { state, decisions } = reduce(world.state, input, deps);
        assert.equal(state.current?.phase, "rolled_back");
        const table = decisions.flatMap((decision) => (decision.kind === "routing" ? [decision.table] : []))[0];
        assert.ok(table !== undefined && bucketsServedBy(table.ranges, candidate) === 0 && table.shadowPpm === 0);
      }
    });
  });

  it("2: at most one step up per decision, and the share grows only by the ladder", () => {
    law((world) => {
      for (const step of world.taken) {
        if (!isRunning(step.before.current) || !isRunning(step.after.current)) continue;
        if (!isSameAttempt(step.before.current, step.after.current)) continue;
        assert.ok(rung(step.after) - rung(step.before) <= 1);
        assert.ok(tablesOf(step).length <= 1);
      }
    });
  });

  it("3: a rolled-back attempt stays so", () => {
    law((world) => {
      for (const { before, after, decisions } of world.taken) {
        const was = before.current;
        if (was?.phase !== "rolled_back") continue;
        if (!isSameAttempt(after.current, was)) continue;
        assert.equal(after.current?.phase, "rolled_back");
        const tables = decisions.flatMap((decision) => (decision.kind === "routing" ? [decision.table] : []));
        assert.ok(
          tables.every(({ rollout, ranges }) => rollout === "" && ranges.length === 1),
          "no arms of a finished attempt",
        );
      }
    });
  });

  it("3: no evidence carries over to another attempt", () => {
    law((world) => {
      for (const { before, after } of world.taken) {
        if (after.current === null || isSameAttempt(before.current, after.current)) continue;
        const { signals, editions, attempt, plan } = after.current;
        const isFresh = signals.every(
          ({ relative, floor, prior }) => relative.freeze.length + floor.freeze.length + relative.advance.length === 0 && prior.n === 0,
        );
        assert.ok(isFresh && editions.length === 0, "no evidence carries over");
        assert.equal(attempt, (before.numbers[plan.rollout] ?? 0) + 1);
      }
    });
  });

  it("5: the recorded inputs alone give the same decisions and the same state, also through JSON at every step", () => {
    law((world) => {
      let state = initialState(route);
      const events: GateEvent[] = [];
      const tables: RoutingTable[] = [];
      const journal = JSON.parse(JSON.stringify(world.inputs)) as ReducerInput[];
      for (const input of journal) {
        const step = reduce(state, input, deps);
        assert.notEqual(step.state, state, "every recorded input did something");
        state = JSON.parse(JSON.stringify(step.state)) as RouteState;
        for (const decision of step.decisions) {
          if (decision.kind === "gate-event") events.push(decision.event);
          else tables.push(decision.table);
        }
      }
      assert.deepEqual(events, world.events);
      assert.deepEqual(tables, world.tables);
      assert.deepEqual(state, world.state);
      assert.equal(state.seq, journal.length);
    });
  });

  it("6: the epoch only grows, and is above every epoch that was seen anywhere", () => {
    law((world) => {
      let epoch = 0;
      for (const { epoch: next } of world.tables) {
        assert.ok(next > epoch);
        epoch = next;
      }
      const seenEpoch = world.state.epoch + 1_000_000_000_000;
      const command = { id: "stop", route, verb: "rollback" as const, reason: "", expectedAttempt: null, expectedEpoch: null, actor: "ann", atMs: world.atMs };
      const { state } = reduce(world.state, { kind: "command", atMs: world.atMs, command, seenEpoch }, deps);
      assert.ok(!isRunning(world.state.current) || state.epoch > seenEpoch);
    });
  });

  it("7: while observing only panes that are covered and not frozen count, and a breach restarts the clock", () => {
    law((world) => {
      for (const { before, after, decisions, input } of world.taken) {
        const [was, is] = [before.current, after.current];
        if (was?.phase !== "observing" || is?.phase !== "observing" || !isSameAttempt(was, is)) continue;
        const grown = is.observedMs - was.observedMs;
        if (grown > 0) assert.ok(input.kind === "pane" && input.round === 0 && grown <= input.paneMs && was.frozen === null && !was.isPaused);
        const froze = decisions.some((decision) => decision.kind === "gate-event" && decision.event.action === "frozen" && decision.event.actor === "headgate");
        if (froze && is.frozen?.cause === "breach") assert.equal(is.observedMs, 0);
      }
      const done = world.events.find(({ action, actor }) => action === "done" && actor === "headgate");
      assert.ok(done === undefined || world.taken.some(({ before }) => (before.current?.observedMs ?? 0) + MINUTE >= 10 * MINUTE));
    });
  });

  it("is total: nothing throws, corrupt evidence holds the attempt, and the state stays small", () => {
    law((world) => {
      assert.ok(JSON.stringify(world.state).length <= 128 * 1024);
      const broken = world.taken.find(({ after }) => after.current?.evaluationError !== null && after.current?.evaluationError !== undefined);
      if (broken === undefined) return;
      const from = world.taken.indexOf(broken);
      for (const { before, after, input } of world.taken.slice(from + 1)) {
        if (before.current?.evaluationError === null || input.kind === "command" || !isSameAttempt(after.current, before.current)) continue;
        assert.ok(rung(after) <= rung(before), "never up on broken evidence");
      }
    });
  });
});
