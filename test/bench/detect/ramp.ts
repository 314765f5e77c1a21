import { Simulator } from "../../../src/domain/simulation/simulator.ts";
import type { RolloutSpec } from "../../../topics/index.ts";
import { rampPlan } from "./plans.ts";
import { Dice, poisson } from "./random.ts";
import { baseLevels } from "./traffic.ts";

/** Whole rollouts over the ladder 1-5-10-25-50-100 %, as `ramp` of mc_v2.py draws them: 5-minute panes, four guardrails, 72 hours at most. */
const PANE_MINUTES = 5;
const MOST_MINUTES = 72 * 60;
const SHARES = [0.01, 0.05, 0.1, 0.25, 0.5] as const;
/** Rates of bad, and the share of latencies beyond the threshold. */
const base = { schema: 0.002, error: 0.01, task: 0.15, latency: 0.05 } as const;
export type RampLevels = Readonly<Record<keyof typeof base, number>>;

/** Requests per second, and the share of candidate calls that is judged. */
export interface RampModel {
  readonly rps: number;
  readonly judged: number;
}
export const rampModels: readonly RampModel[] = [
  { rps: 3, judged: 1 },
  { rps: 10, judged: 0.2 },
  { rps: 50, judged: 0.1 },
];

export interface RampScenario {
  readonly name: string;
  readonly candidate: RampLevels;
  /** Step from whose beginning the candidate does harm, and after how many panes in it. */
  readonly onset?: number;
  readonly panesIn?: number;
  readonly isDiurnal: boolean;
  readonly spec?: Partial<RolloutSpec>;
  /** Steps that time alone lets pass, as the prototype's first one. */
  readonly openSteps?: readonly number[];
}

export interface RampRun {
  readonly isFrozen: boolean;
  readonly isRolledBack: boolean;
  readonly isDone: boolean;
  /** Minutes; -1: never. */
  readonly firstFreeze: number;
  readonly minutes: number;
  readonly step: number;
  /** Left the step in which harm began. */
  readonly leftOnset: boolean;
  /** Requests that a harmful candidate answered. */
  readonly badServed: number;
}

const swing = (minute: number, phase: number, shift = 0) => Math.sin((2 * Math.PI * (minute + phase)) / 1440 + shift);

/** One rollout's traffic. */
class Ramp {
  readonly #simulator: Simulator;
  readonly #dice: Dice;
  readonly #model: RampModel;
  readonly #scenario: RampScenario;
  #phase = 0;
  #minute = 0;
  #stepSince = 0;

  constructor(simulator: Simulator, dice: Dice, model: RampModel, scenario: RampScenario) {
    this.#simulator = simulator;
    this.#dice = dice;
    this.#model = model;
    this.#scenario = scenario;
  }

  run(): RampRun {
    const simulator = this.#simulator;
    simulator.reset();
    this.#phase = this.#dice.next() * 1440;
    this.#minute = 0;
    this.#stepSince = 0;
    const onset = this.#scenario.onset ?? 0;
    let [firstFreeze, badServed, isRolledBack, isDone] = [-1, 0, false, false];
    while (this.#minute < MOST_MINUTES && !isRolledBack && !isDone) {
      badServed += this.#pane();
      this.#minute += PANE_MINUTES;
      const before = simulator.step;
      const action = simulator.look();
      if ((action === "freeze" || action === "rollback") && firstFreeze < 0) firstFreeze = this.#minute;
      isRolledBack = action === "rollback";
      isDone = action === "done";
      if (simulator.step !== before) this.#stepSince = this.#minute;
    }
    const { step } = simulator;
    return { isFrozen: firstFreeze >= 0, isRolledBack, isDone, firstFreeze, minutes: this.#minute, step, leftOnset: step > onset, badServed };
  }

  /** Draws and feeds a pane; returns what a harmful candidate served. */
  #pane(): number {
    const { step } = this.#simulator;
    const { isDiurnal, candidate, onset = 0, panesIn = 0 } = this.#scenario;
    const share = SHARES[step] ?? 1;
    const rate = this.#model.rps * 60 * PANE_MINUTES * (1 + (isDiurnal ? 0.6 * swing(this.#minute, this.#phase) : 0));
    const isHarmful = step > onset || (step === onset && this.#minute - this.#stepSince >= panesIn * PANE_MINUTES);
    const drift = isDiurnal ? 1 + 0.4 * swing(this.#minute, this.#phase, 0.7) : 1;
    const judgedOfBaseline = Math.min(1, ((2 * share) / (1 - share)) * this.#model.judged);
    const [mine, others] = [rate * share, rate * (1 - share)];
    const harm = (name: keyof RampLevels) => (isHarmful ? candidate[name] - base[name] : 0);
    this.#binary(0, mine, others, base.schema + harm("schema"), base.schema);
    this.#binary(1, mine, others, base.error * drift + harm("error"), base.error * drift);
    this.#binary(2, mine * this.#model.judged, others * judgedOfBaseline, base.task * drift + harm("task"), base.task * drift);
    this.#latency(mine, others, base.latency * drift + harm("latency"), base.latency * drift);
    return isHarmful ? mine : 0;
  }

  #binary(i: number, mine: number, others: number, bad: number, badOfBaseline: number): void {
    const dice = this.#dice;
    const ya = poisson(dice, mine * bad);
    const yb = poisson(dice, others * badOfBaseline);
    this.#simulator.binary(i, ya + poisson(dice, mine * (1 - bad)), ya, yb + poisson(dice, others * (1 - badOfBaseline)), yb);
  }

  /** Of an equal candidate 94 % of what exceeds T exceeds it shifted by what is tolerated, 71 % by the limit. */
  #latency(mine: number, others: number, beyond: number, beyondOfBaseline: number): void {
    const dice = this.#dice;
    const tolerated = this.#scenario.candidate.latency === base.latency ? 0.94 * beyond : beyond;
    const xa = poisson(dice, mine * 0.71 * beyond);
    const ya = xa + poisson(dice, mine * (tolerated - 0.71 * beyond));
    const yb = poisson(dice, others * beyondOfBaseline);
    this.#simulator.binary(3, ya + poisson(dice, mine * (1 - tolerated)), ya, yb + poisson(dice, others * (1 - beyondOfBaseline)), yb, xa);
  }
}

/** Rollouts over the whole ladder, one after the other. */
export function runRamps(model: RampModel, scenario: RampScenario, runs: number, seed: number): RampRun[] {
  const plan = rampPlan({ ...baseLevels, ...base, latency: 1 }, scenario.spec);
  const simulator = new Simulator(plan, { openSteps: scenario.openSteps ?? [] });
  const ramp = new Ramp(simulator, new Dice(seed, 0x72616d70), model, scenario);
  return Array.from({ length: runs }, () => ramp.run());
}

const levels = (over: Partial<RampLevels>): RampLevels => ({ ...base, ...over });
/** The scenarios of statistics.md section 3.5: the first step is left after its dwell, the others with proof. */
export const rampScenarios: readonly RampScenario[] = [
  { name: "identical, flat", candidate: levels({}), isDiurnal: false },
  { name: "identical, diurnal", candidate: levels({}), isDiurnal: true },
  { name: "at every boundary, diurnal", candidate: levels({ schema: 0.004, error: 0.012, task: 0.16, latency: 0.05 + 1e-9 }), isDiurnal: true },
  { name: "schema 2 %", candidate: levels({ schema: 0.02 }), isDiurnal: true },
  { name: "task −5 pt", candidate: levels({ task: 0.2 }), isDiurnal: true },
  { name: "task −10 pt", candidate: levels({ task: 0.25 }), isDiurnal: true },
  { name: "task −10 pt, first at 25 %", candidate: levels({ task: 0.25 }), onset: 3, isDiurnal: true },
].map((scenario) => ({ ...scenario, openSteps: [0] }));

/** The product's own rules of leaving steps: proof everywhere (default), or none below 5 % when the spec says so. */
export const productRamps: readonly RampScenario[] = [
  { name: "identical, diurnal; `safe` in every step", candidate: levels({}), isDiurnal: true },
  { name: "identical, diurnal; `not_breached` up to 5 %", candidate: levels({}), isDiurnal: true, spec: { advanceOn: "not_breached" } },
];

/** Harm of the task's limit that begins with a step, or within a stay of four hours. */
export function harmFrom(step: number, panesIn = 0): RampScenario {
  const spec: Partial<RolloutSpec> = panesIn === 0 ? {} : { dwell: { min: "30m", minLate: "4h", max: "72h" } };
  return { name: `from step ${step}`, candidate: levels({ task: 0.2 }), onset: step, panesIn, isDiurnal: true, openSteps: [0], spec };
}
