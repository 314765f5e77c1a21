import { ln } from "../stats/ln.ts";
import { NANO } from "../stats/nano-nats.ts";
import { type SignalTests, signalTests, type Term } from "./headgate-signals.ts";
import type { Pane } from "./panes.ts";
import type { GuardedSignal } from "./signals.ts";
import type { Columns } from "./traffic.ts";

/** Chance that an equally good candidate is ever frozen that a spec allows by default. */
export const ALPHA = 0.05;
/**
 * Restarts of the default spec: six steps and shadow. Evidence begins anew with each, and each has a share of alpha; here the
 * rollout stays where only one has begun, which is where headgate is slowest.
 */
const RESTARTS = 7;
/** `sustain` of the default spec. */
const SUSTAIN_BLOCKS = 3;
const SUSTAIN_MINUTES = 15;

interface Weighted {
  readonly weight: number;
  readonly tests: SignalTests;
}

/** Headgate in one simulated rollout: its statistics and rules for freezing, sustaining and thawing (statistics.md section 2). */
export class HeadgateWatch {
  readonly #signals: readonly Weighted[];
  readonly #bound: number;
  /** Below this no component can lift A to the bound: nothing needs to be added up. Nano-nats. */
  readonly #quiet: number;
  #frozenSince: number | null = null;
  #isSetAside = false;
  /** Minute of the first freeze; null: it never froze. */
  frozenAt: number | null = null;
  /** Minute in which the breach was sustained: rolled back, or kept frozen for signals whose action is to freeze (latency, cost). */
  sustainedAt: number | null = null;
  /** Freezes that went by themselves. */
  thaws = 0;

  constructor(signals: readonly GuardedSignal[], columns: Columns, alpha = ALPHA) {
    const total = signals.reduce((sum, { preset }) => sum + (preset.hard ? 2 : 1), 0);
    this.#signals = signals.map((signal) => ({ weight: (signal.preset.hard ? 2 : 1) / total, tests: signalTests(signal, columns) }));
    this.#bound = 1 / alpha;
    this.#quiet = NANO * ln(1 + RESTARTS * (this.#bound - 1));
  }

  reset(): void {
    for (const { tests } of this.#signals) tests.reset();
    this.#frozenSince = null;
    this.#isSetAside = false;
    this.frozenAt = null;
    this.sustainedAt = null;
    this.thaws = 0;
  }

  /** Takes a closed minute in and looks at once, as the decider does. @param minute from 1 */
  look(minute: number, candidate: Pane, baseline: Pane): void {
    if (this.sustainedAt !== null) return;
    for (const { tests } of this.#signals) tests.add(minute, candidate, baseline);
    if (this.#frozenSince === null && this.#isQuiet()) return;
    const together = (isMinus: boolean) => this.#signals.reduce((sum, { weight, tests }) => sum + weight * signalValue(tests, isMinus), 0);
    const isCrossedMinus = together(true) >= this.#bound;
    if (this.#frozenSince === null && (this.#isSetAside ? isCrossedMinus : together(false) >= this.#bound)) {
      this.#frozenSince = minute;
      this.frozenAt ??= minute;
    }
    if (isCrossedMinus && this.#isRecent(minute)) {
      this.sustainedAt = minute;
      this.frozenAt ??= minute;
    } else if (this.#frozenSince !== null && !isCrossedMinus && minute - this.#frozenSince >= SUSTAIN_MINUTES) {
      this.#frozenSince = null;
      this.#isSetAside = true;
      this.thaws++;
    }
  }

  #isQuiet(): boolean {
    return this.#signals.every(({ tests }) => tests.terms.every(({ sums }) => sums.most() < this.#quiet));
  }

  /** Whether a signal to which the breach is attributed has shown harm in three recent blocks. */
  #isRecent(minute: number): boolean {
    const found = this.#signals.map(({ weight, tests }) => ({ value: weight * signalValue(tests, true), tests })).sort((a, b) => b.value - a.value);
    const guilty = found.filter(({ value }, i) => i === 0 || value >= this.#bound);
    return guilty.some(({ tests }) => tests.terms.some((term) => term.isBinding() && term.sums.recentHarm(minute, SUSTAIN_MINUTES) >= SUSTAIN_BLOCKS));
  }
}

/** E of a signal, restarts that have not begun counting 1. */
function signalValue({ terms }: SignalTests, isMinus: boolean): number {
  return terms.reduce((sum, term) => sum + term.share * termValue(term, isMinus), 0);
}

function termValue({ sums, isBinding }: Term, isMinus: boolean): number {
  const value = (sums.value(isMinus) + RESTARTS - 1) / RESTARTS;
  return isBinding() ? value : Math.min(1, value);
}
