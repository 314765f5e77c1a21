import type { Arrivals } from "./arrivals.ts";
import type { Watcher } from "./checks.ts";
import { Dice } from "./dice.ts";
import type { HeadgateWatch } from "./headgate.ts";
import { emptyPane, type Flips, type Pane, type Source, sourceOf } from "./panes.ts";
import type { Columns } from "./traffic.ts";
import { type AuditArm, Windows } from "./windows.ts";

/** When a contender stopped a rollout. */
export interface Stop {
  /** Minutes since the rollout began. */
  readonly minute: number;
  /** Calls that the candidate had answered by then. */
  readonly exposed: number;
}

/** What happened in one simulated rollout. */
export interface RolloutOutcome {
  /** One per rule, in their order; null: it let the rollout live. */
  readonly rules: readonly (Stop | null)[];
  /** Headgate's first freeze. */
  readonly frozen: Stop | null;
  /** Headgate's sustained breach: rolled back, or kept frozen. */
  readonly sustained: Stop | null;
  readonly thaws: number;
}

export interface Simulation {
  readonly baseline: Columns;
  /** The same classes as the baseline's. The same columns: an A/A rollout. */
  readonly candidate: Columns;
  /** Chances that a good call of the candidate is bad, per rate column; null: none. */
  readonly flips: Flips | null;
  readonly arrivals: Arrivals;
  /** Candidate's share of calls, in (0, 1). */
  readonly share: number;
  readonly minutes: number;
  readonly rules: readonly Watcher[];
  readonly headgate: HeadgateWatch | null;
  readonly seed: number;
}

/**
 * Simulates rollouts: both arms draw their calls from the recorded ones with replacement, minute by minute, and every rule
 * looks at the same minutes.
 *
 * @param streams one rollout per number; a number's rollout is the same whatever the others are
 */
export function* simulate(simulation: Simulation, streams: Iterable<number>): Generator<RolloutOutcome> {
  const { baseline, candidate, arrivals, flips } = simulation;
  const sources = { candidate: sourceOf(candidate, arrivals.cells, flips), baseline: sourceOf(baseline, arrivals.cells, null) };
  const panes = { candidate: emptyPane(candidate), baseline: emptyPane(baseline) };
  const windows = new Windows(
    baseline,
    simulation.rules.flatMap(({ needs }) => needs),
  );
  for (const stream of streams) yield rollout(simulation, { sources, panes, windows }, new Dice(simulation.seed, stream));
}

interface Stage {
  readonly sources: Readonly<Record<AuditArm, Source>>;
  readonly panes: Readonly<Record<AuditArm, Pane>>;
  readonly windows: Windows;
}

/** Who is still looking at a rollout, and when the others stopped it. */
class Stops {
  readonly rules: (Stop | null)[];
  frozen: Stop | null = null;
  sustained: Stop | null = null;
  readonly #simulation: Simulation;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.rules = simulation.rules.map(() => null);
    simulation.headgate?.reset();
    for (const rule of simulation.rules) rule.reset();
  }

  get isOver(): boolean {
    return this.rules.every((stop) => stop !== null) && (this.#simulation.headgate === null || this.sustained !== null);
  }

  look(now: Stop, { panes, windows }: Stage): void {
    const { rules, headgate } = this.#simulation;
    for (let i = 0; i < rules.length; i++) {
      if (this.rules[i] === null && rules[i]?.look(now.minute, windows) === true) this.rules[i] = now;
    }
    if (headgate === null || this.sustained !== null) return;
    headgate.look(now.minute, panes.candidate, panes.baseline);
    if (headgate.frozenAt !== null) this.frozen ??= now;
    if (headgate.sustainedAt !== null) this.sustained = now;
  }
}

function rollout(simulation: Simulation, stage: Stage, dice: Dice): RolloutOutcome {
  const { arrivals, share, headgate, minutes } = simulation;
  const { sources, panes, windows } = stage;
  const period = arrivals.slots.length * arrivals.slotMinutes;
  const offset = dice.below(period);
  const stops = new Stops(simulation);
  windows.reset();
  let exposed = 0;
  for (let minute = 1; minute <= minutes && !stops.isOver; minute++) {
    const slot = arrivals.slots[Math.floor(((offset + minute) % period) / arrivals.slotMinutes)];
    if (slot === undefined) throw new RangeError("the arrival pattern has a gap");
    const { callsPerMinute, cell } = slot;
    sources.candidate.draw(panes.candidate, cell, dice.poisson(callsPerMinute * share), dice);
    sources.baseline.draw(panes.baseline, cell, dice.poisson(callsPerMinute * (1 - share)), dice);
    exposed += panes.candidate.n;
    windows.push(panes);
    stops.look({ minute, exposed }, stage);
  }
  return { rules: stops.rules, frozen: stops.frozen, sustained: stops.sustained, thaws: headgate?.thaws ?? 0 };
}
