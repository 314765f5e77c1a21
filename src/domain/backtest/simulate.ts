import type { GateEvent, RolloutSpec, RoutingTable } from "../../../topics/index.ts";
import type { ReducerDeps } from "../rollout/gate-event.ts";
import type { Block, PaneInput, ReducerInput } from "../rollout/input.ts";
import { reduce } from "../rollout/reduce.ts";
import { longestMaturityMs } from "../rollout/spec/plan.ts";
import { type Attempt, initialState, type RouteState } from "../rollout/state.ts";
import { type ArmRows, pairedRows } from "./arm-rows.ts";
import type { Dice } from "./dice.ts";
import { drawMirrored, drawServed, type Pairs, type Source, sharesOf } from "./draw-pane.ts";

/** How many calls a route has in a stretch of virtual time. */
export type Arrivals = (fromMs: number, toMs: number) => number;

/** What is simulated: a rollout, the traffic, and where each version's answers come from. */
export interface Backtest {
  readonly spec: RolloutSpec;
  readonly rubrics: RoutingTable["rubrics"];
  readonly baseline: ArmRows;
  readonly candidate: ArmRows;
  readonly arrivals: Arrivals;
  readonly dice: Dice;
  /** `drawn`: each call takes a row of its version with replacement; `recorded`: the rows in the order of the file, again and again. */
  readonly order: "drawn" | "recorded";
  /** Virtual time after which an undecided rollout is given up, ms. */
  readonly horizonMs: number;
  readonly deps: ReducerDeps;
}

export type Outcome = "done" | "rolled_back" | "frozen" | "undecided";

export interface Simulated {
  readonly outcome: Outcome;
  readonly events: readonly GateEvent[];
  readonly attempt: Attempt | null;
  /** Calls of the candidate that users saw. */
  readonly exposed: number;
  readonly virtualMs: number;
}

/** Where virtual time begins: a midnight in UTC, so that cells of the day are whole. */
const START_MS = 1_767_225_600_000;
/** A freeze that lasts so long without thawing is an end: proven harm never thaws by itself. */
const FROZEN_MS = 24 * 60 * 60_000;

/**
 * Runs a rollout on a virtual clock through the reducer itself: every pane is drawn under the newest routing table, and both closes of a
 * pane and a tick are given to it as a decider would. Deterministic in the dice.
 */
export function simulate(backtest: Backtest): Simulated {
  return new Simulation(backtest).run();
}

class Simulation {
  readonly #about: Backtest;
  #state: RouteState;
  #table: RoutingTable | null = null;
  readonly #events: GateEvent[] = [];
  readonly #candidate: Source;
  readonly #baseline: Source;
  readonly #pairs: Pairs;
  /** Panes of judged signals and of outcomes that wait for their close, oldest first. */
  readonly #waiting: Readonly<Record<"judge" | "outcome", PaneInput[]>> = { judge: [], outcome: [] };
  readonly #judged: ReadonlySet<string>;
  #exposed = 0;
  #atMs = START_MS;

  constructor(about: Backtest) {
    this.#about = about;
    const { spec, baseline, candidate } = about;
    this.#state = initialState(spec.route);
    this.#candidate = this.#sourceOf(candidate);
    this.#baseline = this.#sourceOf(baseline);
    const paired = pairedRows(baseline, candidate);
    this.#pairs = { baseline, candidate, rows: paired, next: this.#places(paired.length) };
    this.#judged = new Set(about.rubrics.flatMap(({ signals }) => signals.map(({ name }) => name)));
  }

  #sourceOf(rows: ArmRows): Source {
    return { rows, next: this.#places(rows.rows) };
  }

  /** Places 0 to n - 1 in the order in which rows are taken. */
  #places(n: number): () => number {
    const { dice, order } = this.#about;
    if (order === "drawn") return () => dice.below(n);
    let place = -1;
    return () => {
      place = place + 1 === n ? 0 : place + 1;
      return place;
    };
  }

  run(): Simulated {
    const { spec, rubrics, horizonMs } = this.#about;
    this.#give({ kind: "spec", atMs: START_MS, route: spec.route, digest: "backtest", actor: "backtest", rubrics, spec, problems: [], gateways: [] });
    while (!this.#isOver() && this.#atMs - START_MS < horizonMs) this.#pane();
    return {
      outcome: this.#outcome(),
      events: this.#events,
      attempt: this.#state.current,
      exposed: this.#exposed,
      virtualMs: this.#atMs - START_MS,
    };
  }

  #give(input: ReducerInput): void {
    const step = reduce(this.#state, input, this.#about.deps);
    this.#state = step.state;
    for (const decision of step.decisions) {
      if (decision.kind === "gate-event") this.#events.push(decision.event);
      else this.#table = decision.table;
    }
  }

  #isOver(): boolean {
    const attempt = this.#state.current;
    if (attempt === null || attempt.phase === "done" || attempt.phase === "rolled_back") return true;
    return attempt.frozen !== null && this.#atMs - attempt.frozen.sinceMs >= FROZEN_MS;
  }

  #outcome(): Outcome {
    const attempt = this.#state.current;
    if (attempt?.phase === "done" || attempt?.phase === "rolled_back") return attempt.phase;
    return attempt !== null && attempt.frozen !== null ? "frozen" : "undecided";
  }

  /** One pane of traffic, its close, the close of the judged pane that is due, and a tick. */
  #pane(): void {
    const attempt = this.#state.current;
    const table = this.#table;
    if (attempt === null || table === null) throw new RangeError("a backtest needs a rollout that has started");
    const { paneMs } = attempt.plan;
    const paneStartMs = this.#atMs;
    this.#atMs += paneMs;
    const blocks = this.#blocks(table, attempt, paneStartMs);
    const outcomes = new Set(attempt.plan.signals.filter(({ group }) => group === "outcome").map(({ name }) => name));
    const groupOf = ({ signal }: Block) => (outcomes.has(signal) ? "outcome" : this.#judged.has(signal) ? "judge" : "calls");
    const of = (group: PaneInput["group"]) => blocks.filter((block) => groupOf(block) === group);
    const pane = { kind: "pane", atMs: this.#atMs, paneStartMs, paneMs, round: 0, watermarkMs: this.#atMs } as const;
    this.#give({ ...pane, group: "calls", blocks: of("calls") });
    this.#waiting.judge.push({ ...pane, group: "judge", blocks: of("judge") });
    // Nobody saw a mirrored answer: nothing came of it.
    if (outcomes.size > 0) this.#waiting.outcome.push({ ...pane, group: "outcome", blocks: of("outcome").filter(({ exposure }) => exposure === "served") });
    this.#close(this.#waiting.judge, attempt.plan.judgeGraceMs);
    this.#close(this.#waiting.outcome, longestMaturityMs(attempt.plan));
    this.#give({ kind: "tick", atMs: this.#atMs });
  }

  /** Gives the panes that have waited for their grace. */
  #close(waiting: PaneInput[], graceMs: number): void {
    while (waiting[0] !== undefined && waiting[0].paneStartMs + waiting[0].paneMs + graceMs <= this.#atMs) {
      const due = waiting.shift();
      if (due !== undefined) this.#give({ ...due, atMs: this.#atMs });
    }
  }

  #blocks(table: RoutingTable, attempt: Attempt, paneStartMs: number): Block[] {
    const { arrivals, dice } = this.#about;
    const context = {
      table,
      dice,
      judged: this.#judged,
      capOf: (signal: string) => table.valueCaps.find((known) => known.signal === signal)?.cap ?? null,
    };
    let left = arrivals(paneStartMs, this.#atMs);
    const mirrored = table.shadowPpm === 0 ? 0 : dice.binomial(left, table.shadowPpm / 1e6);
    const blocks: Block[] = drawMirrored(this.#pairs, mirrored, context);
    let share = 1;
    for (const [arm, own] of sharesOf(table)) {
      // Each call's subject falls into one arm: what is left is dealt by what is left of the shares.
      const calls = own >= share ? left : dice.binomial(left, own / share);
      left -= calls;
      share -= own;
      const source = arm === "candidate" ? this.#candidate : this.#baseline;
      const drawn = drawServed(source, arm, calls, context);
      blocks.push(...drawn.blocks);
      this.#exposed += attempt.phase === "done" ? 0 : drawn.exposed;
    }
    return blocks;
  }
}
