import fc from "fast-check";
import type { ReducerInput } from "../../../../src/domain/rollout/input.ts";
import { type Attempt, isRunning, type RouteState } from "../../../../src/domain/rollout/state.ts";
import type { Decision, Step } from "../../../../src/domain/rollout/step.ts";
import type { GateEvent, RoutingTable } from "../../../../topics/index.ts";
import type { RolloutSpec } from "../../../../topics/rollout-spec.ts";
import { good, route, spec, World } from "../../../fixtures/rollout-world.ts";

export const MINUTE = 60_000;
const verbs = ["pause", "resume", "promote", "rollback", "approve", "retry", "undo", "freeze", "thaw", "withdraw"] as const;
const people = ["ann", "bob"] as const;

/** One thing that happens to a route. Panes carry the step that is being served, an older one, garbage, or nothing. */
export type Happening =
  | { readonly kind: "minutes"; readonly n: number; readonly taskFail: number; readonly errors: number }
  | { readonly kind: "command"; readonly verb: (typeof verbs)[number]; readonly id: number; readonly actor: string }
  | {
      readonly kind: "spec";
      readonly onRunning: "reject" | "queue" | "replace" | "edit";
      readonly candidate: string;
      readonly alpha: number;
      readonly limit: number;
      readonly approvals: number[];
    }
  | { readonly kind: "brake"; readonly attempt: number; readonly all: boolean; readonly cleared: boolean }
  | { readonly kind: "repeat"; readonly back: number }
  | { readonly kind: "late"; readonly back: number }
  | { readonly kind: "corrupt"; readonly how: number }
  | { readonly kind: "back-in-time"; readonly ms: number }
  /** Time passes without a pane, or with those of calls alone. */
  | { readonly kind: "gap"; readonly n: number; readonly isJudgeAlone: boolean }
  /** Two panes arrive in the wrong order. */
  | { readonly kind: "out-of-order" }
  | { readonly kind: "others"; readonly candidatePerMinute: number };

const commanded: fc.Arbitrary<Happening> = fc.record({
  kind: fc.constant("command" as const),
  verb: fc.constantFrom(...verbs, "retry", "approve"),
  id: fc.integer({ min: 0, max: 60 }),
  actor: fc.constantFrom(...people),
});

const declaredSpec: fc.Arbitrary<Happening> = fc.record({
  kind: fc.constant("spec" as const),
  onRunning: fc.constantFrom("reject", "queue", "replace", "edit", "edit", "edit"),
  candidate: fc.constantFrom("new@1", "new@1", "new@2"),
  alpha: fc.constantFrom(0.05, 0.05, 0.04),
  limit: fc.constantFrom(0.3, 0.25, 0.35),
  approvals: fc.constantFrom<number[]>([], [0], [1]),
});

/** What people do to attempts, with little traffic: many attempts in a short history. */
export const doing: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("command" as const),
      verb: fc.constantFrom("rollback", "retry", "approve"),
      id: fc.nat(10_000),
      actor: fc.constantFrom(...people),
    }),
  },
  { weight: 1, arbitrary: commanded },
  { weight: 3, arbitrary: declaredSpec },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("gap" as const), n: fc.constant(1), isJudgeAlone: fc.boolean() }) },
);

export const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("minutes" as const),
      n: fc.integer({ min: 1, max: 25 }),
      taskFail: fc.constantFrom(0.1, 0.1, 0.14, 0.4),
      errors: fc.constantFrom(0.005, 0.005, 0.3),
    }),
  },
  { weight: 4, arbitrary: commanded },
  { weight: 3, arbitrary: declaredSpec },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("brake" as const), attempt: fc.integer({ min: 1, max: 3 }), all: fc.boolean(), cleared: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("repeat" as const), back: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("late" as const), back: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("corrupt" as const), how: fc.integer({ min: 0, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("back-in-time" as const), ms: fc.integer({ min: 0, max: 5 * MINUTE }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("gap" as const), n: fc.integer({ min: 1, max: 30 }), isJudgeAlone: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("out-of-order" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("others" as const), candidatePerMinute: fc.constantFrom(0, 250) }) },
);

export const CAP_PPM = 600_000;
export const OTHER_CALLS = 300;

export interface Taken {
  readonly before: RouteState;
  readonly input: ReducerInput;
  readonly after: RouteState;
  readonly decisions: readonly Decision[];
}

/** A world that keeps every step of the reducer, state before and after. */
export class Watched extends World {
  readonly taken: Taken[] = [];
  /** Calls per minute that candidates of other routes serve: none, so that there is room for every step, or most of them. */
  others = 0;
  override give(untold: ReducerInput): void {
    super.give({ ...untold, exposure: { mostPpm: CAP_PPM, candidatePerMinute: this.others, callsPerMinute: OTHER_CALLS } });
  }
  /** Crashes after every eighth input, and is restored from JSON. */
  protected override survives(state: RouteState): RouteState {
    return this.inputs.length % 8 === 0 ? super.survives(state) : state;
  }
  protected override saw(before: RouteState, input: ReducerInput, { state, decisions }: Step): void {
    this.taken.push({ before, input, after: state, decisions });
  }
}

/** Wide margins and short times, so that short histories reach every phase. */
export const quick = (over: Partial<RolloutSpec>, limit = 0.3): RolloutSpec =>
  spec({
    signals: [
      { name: "schema_validity", floor: 0.9, margin: { limit: 0.15, tolerated: 0.02 } },
      { name: "task_completion", margin: { limit, tolerated: limit / 6 } },
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
      world.command(what.verb, { id: `c${what.id}`, actor: what.actor });
      break;
    case "spec":
      world.apply(declared(what, world.state));
      break;
    case "gap":
      for (let i = 0; i < what.n; i++) {
        const paneStartMs = world.atMs;
        world.atMs += MINUTE;
        if (what.isJudgeAlone) world.give(paneOf(world, paneStartMs));
        world.give({ kind: "tick", atMs: world.atMs });
      }
      break;
    case "out-of-order": {
      const startsMs = [world.atMs + MINUTE, world.atMs];
      world.atMs += 2 * MINUTE;
      for (const paneStartMs of startsMs) world.give(paneOf(world, paneStartMs));
      break;
    }
    case "others":
      world.others = what.candidatePerMinute;
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

/** A spec; an edit is of what runs, whatever that is. */
function declared(what: Happening & { readonly kind: "spec" }, { current, serving }: RouteState): RolloutSpec {
  const { onRunning, alpha, limit, approvals } = what;
  const isEdit = onRunning === "edit" && isRunning(current);
  const candidate = isEdit ? current.plan.candidate : what.candidate;
  const baseline = isEdit ? current.plan.baseline : (serving?.name ?? "old@1");
  const shadow = isEdit && current.plan.shadow !== null ? { share: 100, minDwell: "3m" } : { share: 0 };
  const versions = { [candidate]: { upstream: "a", model: candidate === "new@1" ? "new" : "newer" } };
  return quick({ onRunning, candidate, baseline, versions, alpha, approvals, shadow, ...(isEdit ? { id: current.plan.rollout } : {}) }, limit);
}

/** The pane of calls of a minute. */
function paneOf(world: Watched, paneStartMs: number): ReducerInput {
  const blocks = world.traffic(paneStartMs).filter(({ signal }) => signal !== "task_completion");
  return { kind: "pane", group: "calls", atMs: world.atMs, paneStartMs, paneMs: MINUTE, round: 0, watermarkMs: world.atMs, blocks };
}

export const isSameAttempt = (one: Attempt | null, other: Attempt | null): boolean =>
  one !== null && other !== null && one.attempt === other.attempt && one.plan.rollout === other.plan.rollout;
export const tablesOf = ({ decisions }: Taken): RoutingTable[] => decisions.flatMap((decision) => (decision.kind === "routing" ? [decision.table] : []));
export const eventsOf = ({ decisions }: Taken): GateEvent[] => decisions.flatMap((decision) => (decision.kind === "gate-event" ? [decision.event] : []));
export const rung = (state: RouteState): number => (isRunning(state.current) ? state.current.step : -2);

/** Seed of all laws of a run: they look at the same histories, so that each is lived once. A failure prints it. */
const seedOfRun = Math.floor(Math.random() * 2 ** 31);
const lived = new Map<string, Watched>();
const MOST_LIVED = 80;

function liveOnce(happenings: readonly Happening[], seed: number): Watched {
  const key = JSON.stringify([happenings, seed]);
  const world = lived.get(key) ?? live(happenings, seed);
  if (lived.size < MOST_LIVED) lived.set(key, world);
  return world;
}

/** Runs a law over random histories; each is replayed by fast-check's own seed when it fails. */
export function law(check: (world: Watched) => void, { numRuns = 18, of = happening, least = 1, most = 14 } = {}): void {
  fc.assert(
    fc.property(fc.array(of, { minLength: least, maxLength: most }), fc.integer({ min: 1, max: 1_000 }), (happenings, seed) =>
      check(liveOnce(happenings, seed)),
    ),
    { numRuns, seed: seedOfRun },
  );
}
