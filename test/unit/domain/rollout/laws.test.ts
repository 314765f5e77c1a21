import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ReducerInput } from "../../../../src/domain/rollout/input.ts";
import { reduce } from "../../../../src/domain/rollout/reduce.ts";
import { initialState, isRunning, type RouteState } from "../../../../src/domain/rollout/state.ts";
import type { Decision } from "../../../../src/domain/rollout/step.ts";
import { bucketsServedBy } from "../../../../src/domain/routing/ranges.ts";
import type { GateEvent, RoutingTable } from "../../../../topics/index.ts";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { deps, good, route, spec, World } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const verbs = ["pause", "resume", "promote", "rollback", "approve", "retry", "undo", "freeze", "thaw"] as const;

/** One thing that happens to a route. Panes carry the step that is being served, an older one, garbage, or nothing. */
type Happening =
  | { readonly kind: "minutes"; readonly n: number; readonly taskFail: number; readonly errors: number }
  | { readonly kind: "command"; readonly verb: (typeof verbs)[number]; readonly id: number }
  | { readonly kind: "spec"; readonly alpha: number; readonly approvals: number[] }
  | { readonly kind: "brake"; readonly attempt: number; readonly all: boolean; readonly cleared: boolean }
  | { readonly kind: "repeat"; readonly back: number }
  | { readonly kind: "late"; readonly back: number }
  | { readonly kind: "corrupt"; readonly how: number }
  | { readonly kind: "back-in-time"; readonly ms: number };

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("minutes" as const),
      n: fc.integer({ min: 1, max: 25 }),
      taskFail: fc.constantFrom(0.1, 0.1, 0.14, 0.4),
      errors: fc.constantFrom(0.005, 0.005, 0.3),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("command" as const), verb: fc.constantFrom(...verbs), id: fc.integer({ min: 0, max: 30 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("spec" as const), alpha: fc.constantFrom(0.05, 0.04, 0.03), approvals: fc.constantFrom<number[]>([], [0], [1]) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("brake" as const), attempt: fc.integer({ min: 1, max: 3 }), all: fc.boolean(), cleared: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("repeat" as const), back: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("late" as const), back: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("corrupt" as const), how: fc.integer({ min: 0, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("back-in-time" as const), ms: fc.integer({ min: 0, max: 5 * MINUTE }) }) },
);

interface Taken {
  readonly before: RouteState;
  readonly input: ReducerInput;
  readonly after: RouteState;
  readonly decisions: readonly Decision[];
}

/** A world that keeps every step of the reducer, state before and after. */
class Watched extends World {
  readonly taken: Taken[] = [];
  override give(input: ReducerInput): void {
    const before = this.state;
    const { state: after, decisions } = reduce(before, input, deps);
    this.taken.push({ before, input, after, decisions });
    super.give(input);
  }
}

/** Wide margins and short times, so that short histories reach every phase. */
const quick = (over: Partial<RolloutSpec>): RolloutSpec =>
  spec({
    signals: [
      { name: "schema_validity", floor: 0.9, margin: { limit: 0.15, tolerated: 0.02 } },
      { name: "task_completion", margin: { limit: 0.3, tolerated: 0.05 } },
      { name: "error_rate", margin: { limit: 0.2, tolerated: 0.02 } },
      { name: "latency_p95", margin: { limit: 1, tolerated: 0.3 } },
    ],
    minSamples: 40,
    dwell: { min: "5m", minLate: "5m", max: "60m" },
    observation: "10m",
    holdback: 20,
    advanced: { percentileMinRecords: 100 },
    ...over,
  });

function live(happenings: readonly Happening[], seed: number): Watched {
  const behaviour = { ...good };
  const world = new Watched({ seed, callsPerMinute: 200, candidateAt: () => behaviour });
  world.apply(quick({ shadow: { share: seed % 2 === 0 ? 100 : 0, minDwell: "3m" } }));
  for (const what of happenings) happen(world, what, behaviour);
  return world;
}

function happen(world: Watched, what: Happening, behaviour: { taskFail: number; errors: number }): void {
  const panes = world.inputs.filter((input) => input.kind === "pane");
  switch (what.kind) {
    case "minutes":
      behaviour.taskFail = what.taskFail;
      behaviour.errors = what.errors;
      world.minutes(what.n);
      break;
    case "command":
      world.command(what.verb, { id: `c${what.id}` });
      break;
    case "spec":
      world.apply(quick({ alpha: what.alpha, approvals: what.approvals, shadow: { share: 0 } }));
      break;
    case "brake": {
      const brake = {
        route: what.all ? "*" : route,
        rollout: `${route}/new@1`,
        attempt: what.attempt,
        cleared: what.all && what.cleared,
        reason: "",
        actor: "bob",
        atMs: world.atMs,
      };
      world.give({ kind: "brake", atMs: world.atMs, brake });
      break;
    }
    case "repeat": {
      const again = world.inputs.at(-1 - what.back);
      if (again !== undefined) world.give({ ...again, atMs: world.atMs });
      break;
    }
    case "late": {
      const pane = panes.at(-1 - what.back);
      if (pane?.kind === "pane") world.give({ ...pane, atMs: world.atMs, round: pane.round + 1 });
      break;
    }
    case "corrupt": {
      const pane = panes.at(-1);
      if (pane?.kind !== "pane") break;
      const [first, ...rest] = pane.blocks;
      if (first === undefined) break;
      const broken = [
        { ...first, counts: [] },
        { ...first, values: [7, 3], counts: [1, 1], scored: 2 },
        { ...first, kind: "grid" as const },
        { ...first, values: [Number.NaN], counts: [first.scored] },
      ];
      world.atMs += MINUTE;
      world.give({ ...pane, atMs: world.atMs, paneStartMs: pane.paneStartMs + MINUTE, blocks: [broken[what.how] ?? first, ...rest] });
      break;
    }
    default:
      world.give({ kind: "tick", atMs: world.atMs - what.ms });
  }
}

const tablesOf = ({ decisions }: Taken): RoutingTable[] => decisions.flatMap((decision) => (decision.kind === "routing" ? [decision.table] : []));
const eventsOf = ({ decisions }: Taken): GateEvent[] => decisions.flatMap((decision) => (decision.kind === "gate-event" ? [decision.event] : []));
const rung = (state: RouteState): number => (isRunning(state.current) ? state.current.step : -2);

/** Runs a law over random histories; each is replayed by fast-check's own seed when it fails. */
function law(check: (world: Watched) => void, numRuns = 15): void {
  fc.assert(
    fc.property(fc.array(happening, { minLength: 1, maxLength: 14 }), fc.integer({ min: 1, max: 1_000 }), (happenings, seed) => check(live(happenings, seed))),
    { numRuns },
  );
}

describe("the laws of DESIGN.md section 6, over random histories", () => {
  it("1: going up needs everything that its step demands, or a person's name", () => {
    law((world) => {
      for (const step of world.taken) {
        const up = rung(step.after) > rung(step.before) && isRunning(step.before.current);
        if (!up) continue;
        const event = eventsOf(step).find(({ action }) => action === "advanced");
        assert.ok(event, "a step up has its event");
        if (step.input.kind === "command") {
          assert.equal(event.actor, "ann");
          continue;
        }
        const before = step.before.current;
        assert.ok(before !== null && before.frozen === null && !before.isPaused && before.evaluationError === null);
        assert.ok(step.after.atMs - before.stepSinceMs >= (before.phase === "shadow" ? 3 : 5) * MINUTE, "its dwell");
        assert.ok(!before.plan.approvals.includes(before.step) || before.approved[String(before.step)] !== undefined, "its approval");
        const required = event.signals.filter(({ tier, signal }) => tier === "guardrail" && (before.phase !== "shadow" || signal !== "latency_p95"));
        assert.ok(required.length > 0 && required.every(({ verdict }) => verdict === "safe"), "its proof");
        assert.ok(
          required.filter(({ gate }) => gate === "confidence").every(({ candidateN, baselineN }) => Math.min(candidateN, baselineN) >= before.plan.minSamples),
          "its samples",
        );
      }
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
      const { rollout } = world.state.current.plan;
      const { attempt } = world.state.current;
      const brake = { route, rollout, attempt, cleared: false, reason: "", actor: "bob", atMs: world.atMs };
      const command = { id: "stop", route, verb: "rollback" as const, reason: "", expectedAttempt: null, expectedEpoch: null, actor: "ann", atMs: world.atMs };
      for (const input of [{ kind: "brake", atMs: world.atMs, brake } as const, { kind: "command", atMs: world.atMs, command } as const]) {
        const { state, decisions } = reduce(world.state, input, deps);
        assert.equal(state.current?.phase, "rolled_back");
        const table = decisions.flatMap((decision) => (decision.kind === "routing" ? [decision.table] : []))[0];
        assert.ok(table !== undefined && bucketsServedBy(table.ranges, "new@1") === 0 && table.shadowPpm === 0);
      }
    });
  });

  it("2: at most one step up per decision, and the share grows only by the ladder", () => {
    law((world) => {
      for (const step of world.taken) {
        if (!isRunning(step.before.current) || !isRunning(step.after.current)) continue;
        if (step.before.current.attempt !== step.after.current.attempt) continue;
        assert.ok(rung(step.after) - rung(step.before) <= 1);
        assert.ok(tablesOf(step).length <= 1);
      }
    });
  });

  it("3: a rolled-back attempt stays so, and no evidence carries over to the next", () => {
    law((world) => {
      for (const { before, after, decisions } of world.taken) {
        const was = before.current;
        if (was?.phase !== "rolled_back") continue;
        if (after.current?.attempt === was.attempt && after.current.plan.rollout === was.plan.rollout) {
          assert.equal(after.current.phase, "rolled_back");
          assert.ok(
            decisions.every(({ kind }) => kind === "gate-event"),
            "no table of a finished attempt",
          );
        } else {
          assert.ok(after.current !== null && after.current.attempt === was.attempt + 1);
          assert.ok(
            after.current.signals.every(
              ({ relative, floor, prior }) => relative.freeze.length + floor.freeze.length + relative.advance.length === 0 && prior.n === 0,
            ),
          );
        }
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
        if (was?.phase !== "observing" || is?.phase !== "observing" || was.attempt !== is.attempt) continue;
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
        if (before.current?.evaluationError === null || input.kind === "command" || after.current?.attempt !== before.current?.attempt) continue;
        assert.ok(rung(after) <= rung(before), "never up on broken evidence");
      }
    });
  });
});
