import type { PlannedSignal, RolloutPlan } from "../rollout/spec/plan.ts";
import { LATE_PERCENT, WITHOUT_PROOF_PERCENT, WITHOUT_PROOF_REQUESTS } from "../rollout/spec/plan.ts";
import { combine } from "../stats/combine.ts";
import { ln } from "../stats/ln.ts";
import { mix, nano, threshold } from "../stats/nano-nats.ts";
import type { FreezeRuns } from "./freeze-runs.ts";
import { type Frame, type Grid, SimulatedSignal } from "./simulated-signal.ts";
import type { ArmCounts } from "./subject-counts.ts";

/** What the decision rules take from a plan. */
export type SimulatedPlan = Pick<RolloutPlan, "alpha" | "alphaAdvance" | "sustain" | "ladder" | "dwell" | "minSamples" | "advanceOn" | "paneMs"> & {
  readonly signals: readonly PlannedSignal[];
};

export interface SimulatorOptions {
  /** Restarts that share alpha: by default the plan's steps. Fewer only where a step is never left. */
  readonly restarts?: number;
  /** Earlier attempts of the same versions: each halves alpha_adv. */
  readonly halvings?: number;
  /** false: never advances, which takes half the time. */
  readonly advances?: boolean;
  /** Steps (by index) that time alone lets pass, without 200 requests or a floor proven: no rule of the product, but how figures were taken that are compared with. */
  readonly openSteps?: readonly number[];
  /** Records are counted by subject too: give them with `subjects`. */
  readonly hasSubjects?: boolean;
  /** Values of quantities, by signal. */
  readonly grids?: Readonly<Record<string, Grid>>;
}

/** What a look decides: the newest change of the attempt. */
export type SimulatedAction = "none" | "freeze" | "thaw" | "rollback" | "advance" | "done";

const FLOOR_SHARE = 0.5;
const RUNAWAY_SHARE = 0.1;

/**
 * The decision rules of an attempt in canary on counts per pane (statistics.md section 2), as src/domain/rollout has them but
 * without its records: for simulations of thousands of rollouts. A test runs both on the same histories. Left out: shadow,
 * slices, late rounds, silence, split health, approvals, pauses, edits, and stepping down (a signal whose action is to contract
 * stays frozen here).
 *
 * Per pane: every signal is fed once, then `look` is asked.
 */
export class Simulator {
  readonly signals: readonly SimulatedSignal[];
  readonly #plan: SimulatedPlan;
  readonly #restarts: number;
  readonly #options: SimulatorOptions;
  readonly #bound: number;
  readonly #worry: number;
  step = 0;
  /** End of the newest pane, ms since the attempt began. */
  atMs = 0;
  stepSinceMs = 0;
  /** Since when it is frozen; null: it is not. */
  frozenSinceMs: number | null = null;
  isSetAside = false;
  #stepRequests = 0;
  #paneRequests = 0;

  constructor(plan: SimulatedPlan, options: SimulatorOptions = {}) {
    this.#plan = plan;
    this.#options = options;
    this.#restarts = options.restarts ?? plan.ladder.length;
    this.#bound = threshold(plan.alpha);
    this.#worry = nano(ln(1 / plan.alpha) / 2);
    const frame: Frame = {
      paneMs: plan.paneMs,
      windowMs: plan.sustain.windowMs,
      setAside: plan.sustain.panes - 1,
      steps: this.#restarts,
      alpha: plan.alpha,
      ceiling: threshold(plan.alphaAdvance, options.halvings ?? 0),
      advances: options.advances !== false,
    };
    const { hasSubjects, grids } = options;
    this.signals = plan.signals.map((planned) => new SimulatedSignal(planned, frame, { grid: grids?.[planned.name], hasSubjects }));
  }

  /** A new attempt, of which nothing is known. */
  reset(): void {
    for (const signal of this.signals) signal.reset();
    this.step = 0;
    this.atMs = 0;
    this.stepSinceMs = 0;
    this.frozenSinceMs = null;
    this.isSetAside = false;
    this.#stepRequests = 0;
    this.#paneRequests = 0;
  }

  get #paneEndMs(): number {
    return this.atMs + this.#plan.paneMs;
  }

  /** Feeds pass/fail counts or exceedances of the open pane: see `SimulatedSignal.feedBinary`. */
  binary(i: number, na: number, ya: number, nb: number, yb: number, xa = ya, unscoredA = 0, unscoredB = 0): void {
    const signal = this.signals[i];
    signal?.feedBinary(this.step, this.#paneEndMs, na, ya, nb, yb, xa, unscoredA, unscoredB);
    if (signal?.planned.group === "calls") this.#paneRequests = Math.max(this.#paneRequests, na);
  }

  /** Feeds scores or quantities of the open pane: see `SimulatedSignal.feedGrid`. */
  grid(i: number, candidate: Float64Array, baseline: Float64Array, unscoredA = 0, unscoredB = 0): void {
    this.signals[i]?.feedGrid(this.step, this.#paneEndMs, candidate, baseline, unscoredA, unscoredB);
  }

  /** Counts the open pane's records of a signal by subject; before its counts are fed. */
  subjects(i: number, candidate: ArmCounts, baseline: ArmCounts): void {
    this.signals[i]?.subjects(this.step, candidate, baseline);
  }

  /** Closes the pane, looks, and moves: the rules of policy.ts. */
  look(): SimulatedAction {
    this.atMs = this.#paneEndMs;
    this.#stepRequests += this.#paneRequests;
    this.#paneRequests = 0;
    if (this.frozenSinceMs !== null || this.canCross(this.#bound)) {
      const action = this.#harm();
      if (action !== "none") return action;
    }
    return this.frozenSinceMs === null && this.#options.advances !== false ? this.#goUp() : "none";
  }

  /** Cheap: false while A is certainly below the bound. @param bound nano-nats */
  canCross(bound: number): boolean {
    for (const { planned, most } of this.signals) if (planned.weight > 0 && most >= bound) return true;
    return false;
  }

  #harm(): SimulatedAction {
    const logAMinus = this.logA(true);
    const isCrossedMinus = logAMinus >= this.#bound;
    if (isCrossedMinus && this.isSustained(this.#bound)) return "rollback";
    const isCrossed = this.isSetAside ? isCrossedMinus : this.logA(false) >= this.#bound;
    if (this.frozenSinceMs === null) {
      if (!isCrossed) return "none";
      this.frozenSinceMs = this.atMs;
      return "freeze";
    }
    if (isCrossedMinus || this.atMs - this.frozenSinceMs < this.#plan.sustain.windowMs) return "none";
    this.frozenSinceMs = null;
    this.isSetAside = true;
    return "thaw";
  }

  /**
   * Whether a signal to which a crossing is attributed has enough recent blocks against it, and asks for a rollback; where A
   * without the most incriminating blocks has reached the bound.
   *
   * @param bound nano-nats
   */
  isSustained(bound: number): boolean {
    const { panes, windowMs } = this.#plan.sustain;
    const terms = this.signals
      .filter(({ planned }) => planned.weight > 0)
      .map((signal) => ({ signal, log: this.logEOf(signal, true) + nano(ln(signal.planned.weight)) }))
      .sort((a, b) => b.log - a.log || (a.signal.planned.name < b.signal.planned.name ? -1 : 1));
    return terms.some(({ signal, log }, i) => {
      if ((i > 0 && log < bound) || signal.planned.onBreach !== "rollback") return false;
      for (const test of signal.harmTests()) if (test.recentHarm(this.atMs, windowMs) >= panes) return true;
      return false;
    });
  }

  /** log A, or A without the most incriminating blocks; nano-nats. */
  logA(isMinus: boolean): number {
    const guardrails = this.signals.filter(({ planned }) => planned.weight > 0);
    return combine(guardrails.map((signal) => ({ weight: signal.planned.weight, logE: this.logEOf(signal, isMinus) })));
  }

  /** log E of a signal: its comparison, and its floor or runaway test, over all restarts; nano-nats. */
  logEOf(signal: SimulatedSignal, isMinus: boolean): number {
    const { floor, runaway, relative } = signal;
    const beside = floor !== null ? FLOOR_SHARE : runaway !== null ? RUNAWAY_SHARE : 0;
    const parts = this.#partsOf(relative, 1 - beside, isMinus);
    if (runaway !== null) parts.push(...this.#partsOf(runaway, beside, isMinus));
    else if (floor !== null) {
      const terms = this.#partsOf(floor, beside, isMinus);
      // A floor that does not bind can exonerate, but not incriminate.
      if (signal.isFloorBinding) parts.push(...terms);
      else parts.push({ share: beside, logE: Math.min(0, mixed(terms)) });
    }
    return mixed(parts);
  }

  #partsOf(runs: FreezeRuns, share: number, isMinus: boolean): Part[] {
    const parts: Part[] = [];
    for (let j = 0; j < runs.started; j++) parts.push({ share: share / this.#restarts, logE: isMinus ? runs.logEMinus(j) : runs.logE(j) });
    const waiting = this.#restarts - parts.length;
    // A restart that has not begun is worth 1.
    if (waiting > 0) parts.push({ share: (share * waiting) / this.#restarts, logE: 0 });
    return parts;
  }

  #goUp(): SimulatedAction {
    const { dwell, ladder } = this.#plan;
    const percent = ladder[this.step]?.percent ?? 100;
    if (this.atMs - this.stepSinceMs < (percent >= LATE_PERCENT ? dwell.minLateMs : dwell.minMs)) return "none";
    if (!this.canLeave()) return "none";
    this.step++;
    this.stepSinceMs = this.atMs;
    this.#stepRequests = 0;
    for (const signal of this.signals) signal.enterStep();
    return this.step >= ladder.length - 1 ? "done" : "advance";
  }

  /** Whether the step's evidence lets it be left, whatever the dwell. */
  canLeave(): boolean {
    const { advanceOn, ladder, minSamples } = this.#plan;
    if (this.#options.openSteps?.includes(this.step) === true) return this.#isCalm();
    const required = this.signals.filter(({ planned }) => planned.tier === "guardrail");
    if (advanceOn === "not_breached" && (ladder[this.step]?.percent ?? 100) <= WITHOUT_PROOF_PERCENT)
      return this.#stepRequests >= WITHOUT_PROOF_REQUESTS && required.every(({ isFloorSafe }) => isFloorSafe) && this.logA(false) < 0;
    if (this.#stepRequests < minSamples) return false;
    for (const signal of required) {
      if (!signal.isSafe || signal.hasNoData) return false;
      const { candidateN, baselineN, planned } = signal;
      if (planned.gate === "confidence" && Math.min(candidateN, baselineN) < minSamples) return false;
    }
    return this.#isCalm();
  }

  /** No guardrail has fresh evidence of harm in this step: 1/sqrt(alpha). */
  #isCalm(): boolean {
    for (const signal of this.signals) {
      if (signal.planned.weight === 0) continue;
      for (const test of signal.harmTests()) if (test.most >= this.#worry && test.logE(this.step) >= this.#worry) return false;
    }
    return true;
  }
}

interface Part {
  readonly share: number;
  readonly logE: number;
}

function mixed(parts: readonly Part[]): number {
  if (parts.length === 1) return parts[0]?.logE ?? 0;
  const sum = parts.reduce((all, { share }) => all + share, 0);
  return mix(
    parts.map(({ logE }) => logE),
    parts.map(({ share }) => share / sum),
  );
}
