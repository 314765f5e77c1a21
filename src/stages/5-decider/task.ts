import type { Aggregate, Brake, Command, DeclaredRollout, FleetReport, Topic } from "../../../topics/index.ts";
import { aggregates, commands, rollouts } from "../../../topics/index.ts";
import type { ReducerDeps } from "../../domain/rollout/gate-event.ts";
import type { ReducerInput } from "../../domain/rollout/input.ts";
import { reduce } from "../../domain/rollout/reduce.ts";
import { initialState, isRunning, type RouteState } from "../../domain/rollout/state.ts";
import type { Decision } from "../../domain/rollout/step.ts";
import { forWatch } from "../../domain/rollout/watch.ts";
import { type Batch, type Incoming, type Outgoing, ParkError, type Table, type Task, type TaskContext } from "../../runtime/port.ts";
import { type ExposureCap, exposureBeside } from "./fleet-exposure.ts";
import { recordsOf, stateRecord } from "./outputs.ts";
import { PaneCollector } from "./pane-collector.ts";
import { liveGateways, readSpec } from "./read-spec.ts";
import type { Restored } from "./restore.ts";

/** After how long read records are committed although they led to nothing, ms. */
const IDLE_COMMIT_MS = 5_000;
/** Inputs that wait at most; all of them go into one transaction, since its offsets cover all that was taken. */
const MOST_INPUTS = 500;

/** An input before it is given its time. */
type Waiting = { readonly route: string; readonly input: (atMs: number) => ReducerInput };

export interface DeciderParts {
  readonly brakes: Table<Brake>;
  readonly fleet: Table<FleetReport>;
  /** Cap of candidate traffic over all routes, and what other deciders say of theirs; null: no cap. */
  readonly cap: ExposureCap | null;
  readonly restore: () => Promise<Restored>;
  readonly partitionFor: (topic: Topic, key: string) => number;
  readonly deps: ReducerDeps;
  /** Told of each decision once it is committed, for metrics and logs. */
  readonly onDecision: (decision: Decision) => void;
}

/**
 * The decider of one partition of routes: collects inputs, and at each flush gives them to the reducer in the order of
 * their arrival. The journal, what was decided, and the state leave in one transaction with the offsets.
 */
export class DeciderTask implements Task {
  readonly #context: TaskContext;
  readonly #parts: DeciderParts;
  readonly #collector = new PaneCollector();
  readonly #waiting: Waiting[] = [];
  readonly #forwards: Outgoing[] = [];
  /** Decisions of the transaction under way. */
  readonly #untold: Decision[] = [];
  #states = new Map<string, RouteState>();
  #epochs = new Map<string, number>();
  #isReadAhead = false;
  #committedAtMs: number;

  constructor(context: TaskContext, parts: DeciderParts) {
    this.#context = context;
    this.#parts = parts;
    this.#committedAtMs = context.now();
  }

  async start(): Promise<undefined> {
    await Promise.all([this.#parts.brakes.ready, this.#parts.fleet.ready, this.#parts.cap?.states.ready]);
    const { states, epochs } = await this.#parts.restore();
    this.#states = states;
    this.#epochs = epochs;
    return undefined;
  }

  take(record: Incoming): void {
    this.#isReadAhead = true;
    if (record.topic === aggregates.name) this.#takeAggregate(record);
    else if (record.value !== null) this.#takeRequest(record);
  }

  isFull(): boolean {
    return this.#waiting.length >= MOST_INPUTS;
  }

  #takeAggregate({ value, offset }: Incoming): void {
    if (value === null) throw new ParkError("an aggregate without a value");
    const aggregate = value as Aggregate;
    if (this.#parts.partitionFor(aggregates, aggregate.route) !== this.#context.partition)
      throw new ParkError(`aggregates of ${aggregate.route} belong to another partition`);
    const closed = this.#collector.take(aggregate, offset);
    if (closed === null) return;
    this.#waiting.push({ route: closed.route, input: (atMs) => ({ ...closed.pane, atMs }) });
    this.#context.wake();
  }

  /** Specs and commands: of another partition's route (other clients partition otherwise) they are forwarded, never dropped. */
  #takeRequest({ topic: name, value, headers }: Incoming): void {
    const topic = name === rollouts.name ? rollouts : commands;
    const { route } = value as DeclaredRollout | Command;
    if (route === "") throw new ParkError("a record without a route");
    const partition = this.#parts.partitionFor(topic, route);
    this.#context.wake();
    if (partition !== this.#context.partition) {
      this.#forwards.push({ topic, partition, key: route, value, headers } as Outgoing);
      return;
    }
    if (topic === commands) {
      const command = value as Command;
      this.#waiting.push({ route, input: (atMs) => ({ kind: "command", atMs, command }) });
      return;
    }
    const declared = value as DeclaredRollout;
    const { actor, rubrics } = declared;
    this.#waiting.push({
      route,
      input: (atMs) => ({ kind: "spec", atMs, route, actor, rubrics, gateways: liveGateways(this.#reports(), atMs), ...readSpec(declared) }),
    });
  }

  *#reports(): Iterable<FleetReport> {
    for (const [, report] of this.#parts.fleet.entries()) yield report;
  }

  flush(nowMs: number): Batch | null {
    // Asked again only after the last transaction succeeded.
    for (const decision of this.#untold.splice(0)) this.#parts.onDecision(decision);
    const outputs: Outgoing[] = this.#forwards.splice(0);
    const touched = new Set<string>();
    const give = (route: string, input: ReducerInput) => this.#give(route, input, { outputs, touched });
    this.#brakeAll(nowMs, give);
    for (const { route, input } of this.#waiting.splice(0)) {
      give(route, input(nowMs));
      this.#brakeOne(route, nowMs, give);
    }
    for (const [route, state] of [...this.#states]) {
      const { next, edit } = state.waiting;
      if (!isRunning(state.current) && next === null && edit === null && state.fallback === null) continue;
      this.#brakeOne(route, nowMs, give);
      const gateways = next?.needs === "turn" && !isRunning(state.current) ? { gateways: liveGateways(this.#reports(), nowMs) } : {};
      give(route, { kind: "tick", atMs: nowMs, ...gateways } as const);
    }
    for (const [route, { epoch }] of [...this.#states]) {
      // Who starts now would serve what its own file says, and a finished rollout would be undone there.
      if ((this.#epochs.get(route) ?? 0) < epoch) give(route, { kind: "tick", atMs: nowMs, isTableLost: true } as const);
    }
    for (const route of touched) {
      const state = this.#states.get(route);
      if (state !== undefined) outputs.push(stateRecord(state, this.#context.partition));
    }
    return this.#batch(outputs, nowMs);
  }

  /** Blocks whose pane is not closed yet are read again after a restart: only what came before them is committed. */
  #batch(outputs: Outgoing[], nowMs: number): Batch | null {
    const isDue = this.#isReadAhead && nowMs - this.#committedAtMs >= IDLE_COMMIT_MS;
    if (outputs.length === 0 && !isDue) return null;
    this.#isReadAhead = false;
    this.#committedAtMs = nowMs;
    const oldest = this.#collector.oldestOffset();
    return oldest === null ? { outputs } : { outputs, offsets: { [aggregates.name]: { offset: oldest } } };
  }

  #give(route: string, untimed: ReducerInput, into: { readonly outputs: Outgoing[]; readonly touched: Set<string> }): void {
    const before = this.#states.get(route) ?? initialState(route);
    const needed = neededOf(before, untimed);
    if (needed === null) return;
    const seenEpoch = this.#seenEpoch(route);
    const { cap } = this.#parts;
    const input: ReducerInput = {
      ...needed,
      ...(seenEpoch > before.epoch ? { seenEpoch } : {}),
      ...(cap === null ? {} : { exposure: exposureBeside(route, cap, this.#states) }),
    };
    const step = reduce(before, input, this.#parts.deps);
    if (step.state === before) return;
    this.#states.set(route, step.state);
    into.outputs.push(...recordsOf(step, input, this.#context.partition));
    into.touched.add(route);
    for (const decision of step.decisions) {
      if (decision.kind === "routing") this.#epochs.set(route, decision.table.epoch);
      this.#untold.push(decision);
    }
  }

  /** Highest epoch of a route that was published or is served anywhere: also after a lost state the epoch only grows. */
  #seenEpoch(route: string): number {
    let seen = this.#epochs.get(route) ?? 0;
    for (const report of this.#reports()) for (const served of report.routes) if (served.route === route) seen = Math.max(seen, served.epoch);
    return seen;
  }

  /** The brake on a route's attempt, if it is the running one's. */
  #brakeOne(route: string, nowMs: number, give: (route: string, input: ReducerInput) => void): void {
    this.#brakeByAll(route, nowMs, give);
    const brake = this.#parts.brakes.get(route);
    const attempt = this.#states.get(route)?.current ?? null;
    if (brake === undefined || !isRunning(attempt) || brake.rollout !== attempt.plan.rollout || brake.attempt !== attempt.attempt) return;
    give(route, { kind: "brake", atMs: nowMs, brake } as const);
  }

  #brakeAll(nowMs: number, give: (route: string, input: ReducerInput) => void): void {
    for (const route of [...this.#states.keys()]) this.#brakeByAll(route, nowMs, give);
  }

  /** The brake on all routes, when its record is another than the route has taken: also one that was set and cleared in between. */
  #brakeByAll(route: string, nowMs: number, give: (route: string, input: ReducerInput) => void): void {
    const brake = this.#parts.brakes.get("*");
    const state = this.#states.get(route);
    if (brake === undefined || state === undefined || state.allBrakeAtMs === brake.atMs) return;
    give(route, { kind: "brake", atMs: nowMs, brake } as const);
  }
}

/** While no rollout runs only what the drift watch needs goes into the journal: most of a pane is of no use to it. */
function neededOf(state: RouteState, input: ReducerInput): ReducerInput | null {
  return input.kind === "pane" && !isRunning(state.current) ? forWatch(state, input) : input;
}
