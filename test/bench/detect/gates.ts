import { type SimulatedAction, Simulator } from "../../../src/domain/simulation/simulator.ts";
import { threshold } from "../../../src/domain/stats/nano-nats.ts";
import { type Alarms, Comparators } from "./comparators.ts";
import { gatesPlan } from "./plans.ts";
import { Dice } from "./random.ts";
import { baseLevels, type Counts, costGrid, type Model, type Scenario, signalNames, Traffic } from "./traffic.ts";

const NEVER = Number.POSITIVE_INFINITY;
const STRICT_ALPHA = 0.01;
const productCost = "cost_per_request";

/** What happened in one run: minutes, infinite when it did not. */
export interface GatesRun {
  /** First freeze (A has reached 1/alpha), and rollback (it lasts), at alpha .05 and .01. */
  readonly freeze: number;
  readonly rollback: number;
  readonly freezeStrict: number;
  readonly rollbackStrict: number;
  readonly thaws: number;
  readonly isFrozenAtEnd: boolean;
  /** Minute in which each signal was safe for the first time, and in which all were at once. */
  readonly safe: readonly number[];
  readonly allSafe: number;
  /** Null: not asked for in this run. */
  readonly alarms: Alarms | null;
}

export interface GatesOptions {
  readonly runs: number;
  readonly seed: number;
  /** Runs in which the other rules watch too, to the end. */
  readonly compared?: number;
  /** Look at what can be proven safe too; twice the work. */
  readonly advances?: boolean;
  readonly minutes?: number;
  /** Share of each minute in which the candidate's upstream is down. */
  readonly outageAt?: (minute: number) => number;
  /** Go on after everything that can be known is known. */
  readonly toTheEnd?: boolean;
}

/** Feeds a minute's counts of all signals. */
export function feed(simulator: Simulator, counts: readonly Counts[]): void {
  for (let i = 0; i < counts.length; i++) {
    const minute = counts[i];
    if (minute === undefined) continue;
    if (minute.values.length > 0) simulator.grid(i, minute.candidate, minute.baseline);
    else simulator.binary(i, minute.na, minute.ya, minute.nb, minute.yb, minute.xa);
  }
}

/** Rollouts of eight guardrails under a constant split, one after the other. */
export function runGates(model: Model, scenario: Scenario, options: GatesOptions): GatesRun[] {
  const base = scenario.base ?? baseLevels;
  const traffic = new Traffic(model, base, scenario.candidate);
  const plan = gatesPlan(base);
  const simulator = new Simulator(plan, { restarts: 1, advances: options.advances === true, grids: { [productCost]: costGrid } });
  const dice = new Dice(options.seed, 0x68656164);
  return Array.from({ length: options.runs }, (_, i) => {
    const comparators = i < (options.compared ?? 0) ? new Comparators() : null;
    const watch = new Watch(simulator, options.advances === true);
    runOnce(traffic, watch, dice, { ...options, minutes: options.minutes ?? model.minutes, comparators });
    return watch.run(comparators?.alarms ?? null);
  });
}

function runOnce(
  traffic: Traffic,
  watch: Watch,
  dice: Dice,
  options: GatesOptions & { readonly minutes: number; readonly comparators: Comparators | null },
): void {
  const { comparators } = options;
  for (let minute = 1; minute <= options.minutes; minute++) {
    const isDecided = watch.isDecided && options.toTheEnd !== true;
    if (isDecided && (comparators === null || comparators.areDone)) return;
    traffic.draw(dice, options.outageAt?.(minute) ?? 0);
    comparators?.look(minute, traffic.counts);
    if (!isDecided) watch.look(minute, traffic.counts);
  }
}

const strictBound = threshold(STRICT_ALPHA);

/** Notes when headgate does what, in one run. */
class Watch {
  readonly #simulator: Simulator;
  readonly #advances: boolean;
  readonly #safe = signalNames.map(() => NEVER);
  #freeze = NEVER;
  #rollback = NEVER;
  #freezeStrict = NEVER;
  #rollbackStrict = NEVER;
  #thaws = 0;
  #allSafe = NEVER;

  constructor(simulator: Simulator, advances: boolean) {
    simulator.reset();
    this.#simulator = simulator;
    this.#advances = advances;
  }

  get isDecided(): boolean {
    return this.#rollback < NEVER && this.#rollbackStrict < NEVER && this.#freezeStrict < NEVER;
  }

  run(alarms: Alarms | null): GatesRun {
    return {
      freeze: this.#freeze,
      rollback: this.#rollback,
      freezeStrict: this.#freezeStrict,
      rollbackStrict: this.#rollbackStrict,
      thaws: this.#thaws,
      isFrozenAtEnd: this.#rollback === NEVER && this.#simulator.frozenSinceMs !== null,
      safe: this.#safe,
      allSafe: this.#allSafe,
      alarms,
    };
  }

  look(minute: number, counts: readonly Counts[]): void {
    feed(this.#simulator, counts);
    this.#note(minute, this.#simulator.look());
    this.#noteStrict(minute);
    if (this.#advances) this.#noteSafe(minute);
  }

  #note(minute: number, action: SimulatedAction): void {
    if (this.#rollback < NEVER) return;
    if (action === "thaw") this.#thaws++;
    if (action === "freeze" || action === "rollback") this.#freeze = Math.min(this.#freeze, minute);
    if (action === "rollback") this.#rollback = minute;
  }

  /** The evidence does not depend on alpha, so one run tells what a stricter one would have done. */
  #noteStrict(minute: number): void {
    const simulator = this.#simulator;
    if (!simulator.canCross(strictBound)) return;
    if (this.#freezeStrict === NEVER && simulator.logA(false) >= strictBound) this.#freezeStrict = minute;
    if (this.#rollbackStrict === NEVER && simulator.logA(true) >= strictBound && simulator.isSustained(strictBound)) this.#rollbackStrict = minute;
  }

  #noteSafe(minute: number): void {
    let isAllSafe = true;
    this.#simulator.signals.forEach(({ isSafe }, i) => {
      if (isSafe) this.#safe[i] = Math.min(this.#safe[i] ?? NEVER, minute);
      else isAllSafe = false;
    });
    if (isAllSafe) this.#allSafe = Math.min(this.#allSafe, minute);
  }
}
