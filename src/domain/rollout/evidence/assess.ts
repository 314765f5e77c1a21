import { sliceShares } from "../../stats/combine.ts";
import { setAsideOf } from "../../stats/freeze-process.ts";
import { mixture } from "../../stats/nano-nats.ts";
import { canBeUnscored, canProve, isRequiredInShadow, type PlannedSignal, type RolloutPlan } from "../spec/plan.ts";
import type { Attempt } from "../state.ts";
import { thresholdOf, unscoredShareOf } from "./baseline.ts";
import { presentShare } from "./edition.ts";
import { unscoredRule } from "./missing.ts";
import { type FreezeRun, initialSlice, type Shown, type SignalState, type SliceState, type TestState } from "./signal-state.ts";
import { recentHarm, SHADOW_STEP } from "./test-state.ts";

/** One freeze process with its share of the signal. Logs in nano-nats. */
export interface Term {
  /** What is tested: `freeze` (against the baseline), `floor`, `runaway`. */
  readonly test: string;
  /** The step that it began with, null: those that have not begun; or why it is none. Spelt out for events alone. */
  readonly from: number | null | "unbound";
  readonly share: number;
  readonly logE: number;
  /** Without its most incriminating blocks. */
  readonly logEMinus: number;
  /** Null for what is no process of its own: restarts that have not begun, a floor that does not bind. */
  readonly run: FreezeRun | null;
}

/** What is known of one slice of a signal, or of all traffic. */
export interface SliceAssessment {
  /** `all`, or the name of a slice. */
  readonly name: string;
  /** Share of the signal's weight. */
  readonly share: number;
  readonly terms: readonly Term[];
  readonly logE: number;
  readonly logEMinus: number;
  readonly shown: Shown;
}

/** What is known of one signal at a look. Logs in nano-nats. */
export interface Assessment {
  readonly planned: PlannedSignal;
  readonly state: SignalState;
  /** Share of alpha: the signal's weight, of its edition's share. 0 for `watch`. */
  readonly weight: number;
  /** 0: the present margins; above: those of an earlier edition of the spec, oldest first. */
  readonly edition: number;
  readonly slices: readonly SliceAssessment[];
  readonly logE: number;
  /** Without the most incriminating blocks of each process. */
  readonly logEMinus: number;
  readonly logEAdvance: number;
  /** Must be safe before this step can be left (guardrails; in shadow only those that have pairs). */
  readonly isRequired: boolean;
  readonly isSafe: boolean;
  readonly isFloorSafe: boolean;
  /** Evidence of harm of the processes that began with this step, the largest. */
  readonly stepLogE: number;
  /** Recent blocks that were evidence of harm by themselves. */
  readonly harmBlocks: number;
  readonly candidateN: number;
  readonly baselineN: number;
  /** Nothing to compare, no threshold yet, or too much unscored. */
  readonly hasNoData: boolean;
}

/** Share of a mean's weight that its runaway test has: enough to catch one at once, too little to slow the mean. */
const RUNAWAY_SHARE = 0.1;
const FLOOR_SHARE = 0.5;

/** Restarts of a plan: one per step, and the pairs of shadow. */
const restartsOf = (plan: RolloutPlan) => plan.ladder.length + (plan.shadow === null ? 0 : 1);
const labelOf = (from: Term["from"]) => (from === SHADOW_STEP ? "shadow" : from === null ? "unstarted" : String(from));

function termsOf(test: string, { freeze }: TestState, share: number, plan: RolloutPlan): Term[] {
  const restarts = restartsOf(plan);
  const terms: Term[] = [];
  for (const run of freeze) terms.push({ test, from: run.step, share: share / restarts, logE: run.logE, logEMinus: run.logEMinus, run });
  const waiting = restarts - terms.length;
  // A restart that has not begun is worth 1.
  if (waiting > 0) terms.push({ test, from: null, share: (share * waiting) / restarts, logE: 0, logEMinus: 0, run: null });
  return terms;
}

interface Weighted {
  readonly share: number;
  readonly logE: number;
  readonly logEMinus: number;
}

/** Both kinds of evidence of the parts together. Looks are frequent: the mixtures are made in arrays that are kept for it. */
function mixedBoth(parts: readonly Weighted[]): Pick<Weighted, "logE" | "logEMinus"> {
  const [first] = parts;
  if (first === undefined) return { logE: 0, logEMinus: 0 };
  if (parts.length === 1) return { logE: first.logE, logEMinus: first.logEMinus };
  let sum = 0;
  for (const { share } of parts) sum += share;
  if (mixing.shares.length < parts.length) mixing = newMixing(parts.length);
  parts.forEach(({ share, logE, logEMinus }, k) => {
    mixing.shares[k] = share / sum;
    mixing.logE[k] = logE;
    mixing.logEMinus[k] = logEMinus;
  });
  return { logE: mixture(mixing.logE, mixing.shares, parts.length), logEMinus: mixture(mixing.logEMinus, mixing.shares, parts.length) };
}

const newMixing = (n: number) => ({ shares: new Float64Array(n), logE: new Float64Array(n), logEMinus: new Float64Array(n) });
let mixing = newMixing(32);

/** A floor that does not bind can exonerate but not incriminate: its evidence counts as at most 1. */
function unbound(terms: readonly Term[], share: number): Term[] {
  const { logE, logEMinus } = mixedBoth(terms);
  return [{ test: "floor", from: "unbound", share, logE: Math.min(0, logE), logEMinus: Math.min(0, logEMinus), run: null }];
}

const isFloorBinding = (planned: PlannedSignal, state: SignalState): boolean =>
  planned.floor !== null && (planned.isFloorStrict || !state.baselineFloor.isBelow);

/** Beside the comparison with the baseline: a floor shares the weight half, a mean's runaway test a tenth (statistics.md section 1.1, 1.2). */
function besides(planned: PlannedSignal, state: SignalState, plan: RolloutPlan): Term[] {
  if (planned.kind === "mean") return termsOf("runaway", state.runaway, RUNAWAY_SHARE, plan);
  if (planned.floor === null) return [];
  const floor = termsOf("floor", state.floor, FLOOR_SHARE, plan);
  return isFloorBinding(planned, state) ? floor : unbound(floor, FLOOR_SHARE);
}

function sliceAssessment(name: string, terms: readonly Term[], shown: Shown): SliceAssessment {
  let share = 0;
  for (const term of terms) share += term.share;
  const { logE, logEMinus } = mixedBoth(terms);
  return { name, share, terms, logE, logEMinus, shown };
}

/** The evidence of a signal: half of the comparison is of all traffic, half of the plan's slices by their shares (statistics.md section 2). */
function collect(planned: PlannedSignal, state: SignalState, plan: RolloutPlan): SliceAssessment[] {
  if (planned.weight === 0) return [{ name: "all", share: 0, terms: [], logE: 0, logEMinus: 0, shown: state.shown }, ...shownSlices(state, plan)];
  const beside = besides(planned, state, plan);
  const relative = 1 - beside.reduce((sum, { share }) => sum + share, 0);
  if (plan.slices.length === 0) return [sliceAssessment("all", [...termsOf("freeze", state.relative, relative, plan), ...beside], state.shown)];
  const shares = sliceShares(plan.slices.map(({ share }) => share ?? 1 / plan.slices.length));
  const slices = plan.slices.map(({ name }, i) => {
    const slice = sliceOf(state, name);
    return sliceAssessment(name, termsOf("freeze", slice.relative, (relative / 2) * (shares[i] ?? 0), plan), slice.shown);
  });
  return [sliceAssessment("all", [...termsOf("freeze", state.relative, relative / 2, plan), ...beside], state.shown), ...slices];
}

/** The part of an assessment that follows from a signal's state alone, whatever the step and the time. */
interface Weighed {
  readonly state: SignalState;
  readonly plan: RolloutPlan;
  readonly slices: readonly SliceAssessment[];
  readonly logE: number;
  readonly logEMinus: number;
}

/**
 * What was made of a signal's newest state. A state never changes, so it holds as long as that is asked about: most looks come between two blocks of a signal.
 * By the signal of the plan, which lives as long as its attempt: kept by state, the entries would be garbage that outlives every young generation.
 */
const weighed = new WeakMap<PlannedSignal, Weighed>();

function weigh(planned: PlannedSignal, state: SignalState, plan: RolloutPlan): Weighed {
  const known = weighed.get(planned);
  if (known !== undefined && known.state === state && known.plan === plan) return known;
  const slices = collect(planned, state, plan);
  const found: Weighed = { state, plan, slices, ...(planned.weight > 0 ? mixedBoth(slices) : mixedBoth([])) };
  weighed.set(planned, found);
  return found;
}

const sliceOf = (state: SignalState, name: string): SliceState => state.slices[name] ?? initialSlice;
const shownSlices = (state: SignalState, plan: RolloutPlan): SliceAssessment[] =>
  plan.slices.map(({ name }) => ({ name, share: 0, terms: [], logE: 0, logEMinus: 0, shown: sliceOf(state, name).shown }));

const runOf = <R extends { readonly step: number }>(runs: readonly R[], step: number): R | undefined => runs.find((run) => run.step === step);
const stepEvidence = (test: TestState, step: number): number => runOf(test.freeze, step)?.logE ?? 0;

/** The tests whose harm counts, as they stand. */
function harmTests(planned: PlannedSignal, state: SignalState): TestState[] {
  const slices = Object.values(state.slices).map(({ relative }) => relative);
  return [state.relative, ...slices, ...(isFloorBinding(planned, state) ? [state.floor] : []), ...(planned.kind === "mean" ? [state.runaway] : [])];
}

/** What must be proven of a signal before a step is left: its comparison, its floor where that binds, and both directions of missing scores. */
export function advancesOf(planned: PlannedSignal, state: SignalState, step: number) {
  const relative = { name: "advance", run: runOf(state.relative.advance, step) };
  const floor = isFloorBinding(planned, state) ? [{ name: "advance-floor", run: runOf(state.floor.advance, step) }] : [];
  const isComposite = relative.run?.isComposite === true;
  const missing = isComposite ? [{ name: "advance-missing", run: runOf(state.missing.advance, step) }] : [];
  const reverse = isComposite || isTwoSided(planned) ? [{ name: "advance-reverse", run: runOf(state.reverse.advance, step) }] : [];
  return [relative, ...floor, ...missing, ...reverse];
}

const isTwoSided = ({ source }: PlannedSignal) => source === "missing";

/** What is known of a signal in the step that the attempt is in. */
function assess(planned: PlannedSignal, state: SignalState, attempt: Attempt, about: { readonly share: number; readonly edition: number }): Assessment {
  const { plan, step, phase } = attempt;
  const { slices, logE, logEMinus } = weigh(planned, state, plan);
  const advances = advancesOf(planned, state, step);
  const floor = advances.find(({ name }) => name === "advance-floor");
  const isShadow = phase === "shadow";
  const newestMs = (attempt.newestPane[planned.group] ?? -1) + plan.paneMs;
  const baselineN = isShadow ? state.shown.candidate.n : state.shown.baseline.n;
  let [stepLogE, harmBlocks] = [Number.NEGATIVE_INFINITY, 0];
  for (const test of harmTests(planned, state)) {
    stepLogE = Math.max(stepLogE, stepEvidence(test, step));
    harmBlocks = Math.max(harmBlocks, recentHarm(test, newestMs, plan.sustain.windowMs));
  }
  const isActive = planned.weight > 0;
  return {
    planned,
    state,
    weight: planned.weight * about.share,
    edition: about.edition,
    slices,
    logE,
    logEMinus,
    logEAdvance: isActive ? Math.min(...advances.map(({ run }) => run?.logE ?? 0)) : 0,
    isRequired: isShadow ? isRequiredInShadow(planned) : planned.tier === "guardrail" && canProve(planned),
    isSafe: advances.every(({ run }) => run?.process.safe === true),
    isFloorSafe: floor === undefined || floor.run?.process.safe === true,
    stepLogE,
    harmBlocks,
    candidateN: state.shown.candidate.n,
    baselineN,
    hasNoData: state.shown.candidate.n === 0 || baselineN === 0 || !canDecide(planned, state, attempt),
  };
}

/** False when a judged signal has too much unscored, a percentile no threshold, or a mean no cap yet. */
function canDecide(planned: PlannedSignal, state: SignalState, { phase }: Attempt): boolean {
  if (planned.kind === "percentile") return thresholdOf(state) !== null;
  if (planned.kind === "mean") return phase === "shadow" || state.cap !== null;
  if (!canBeUnscored(planned) || planned.source === "missing" || state.drawn.sampled === 0) return true;
  return unscoredRule(planned.margin.limit * planned.judgeJ, unscoredShareOf(state, planned)) !== null;
}

/** What an assessment was made of, beside the signal's state. */
interface Made {
  readonly about: { readonly share: number; readonly edition: number };
  readonly plan: RolloutPlan;
  readonly step: number;
  readonly phase: Attempt["phase"];
  readonly newestPane: number;
  readonly assessment: Assessment;
}

/** The newest assessment of each signal of a plan: nothing that it follows from has changed at most looks. */
const made = new WeakMap<PlannedSignal, Made>();

function assessOnce(planned: PlannedSignal, state: SignalState, attempt: Attempt, about: Made["about"]): Assessment {
  const known = made.get(planned);
  const { plan, step, phase } = attempt;
  const newestPane = attempt.newestPane[planned.group] ?? -1;
  const isSame =
    known !== undefined &&
    known.plan === plan &&
    known.assessment.state === state &&
    known.step === step &&
    known.phase === phase &&
    known.newestPane === newestPane &&
    known.about.share === about.share &&
    known.about.edition === about.edition;
  if (isSame) return known.assessment;
  const assessment = assess(planned, state, attempt, about);
  made.set(planned, { about, plan, step, phase, newestPane, assessment });
  return assessment;
}

function assessEdition(attempt: Attempt, about: Made["about"]): Assessment[] {
  return attempt.plan.signals.flatMap((planned, i) => {
    const state = attempt.signals[i];
    return state === undefined ? [] : [assessOnce(planned, state, attempt, about)];
  });
}

/** All signals under the present margins, then what earlier editions of the spec still say about harm. */
export function assessAll(attempt: Attempt): Assessment[] {
  const { editions } = attempt;
  const present = assessEdition(attempt, { share: presentShare(editions), edition: 0 });
  const earlier = editions.flatMap(({ plan, signals, share }, i) =>
    assessEdition({ ...attempt, plan, signals }, { share, edition: i + 1 })
      .filter(({ weight }) => weight > 0)
      .map((found) => ({ ...found, isRequired: false })),
  );
  return [...present, ...earlier];
}

/** The numbers of a term from which its bound can be recomputed, as a gate event shows them. */
export function detailsOf({ test, from, share, logE, logEMinus, run }: Term) {
  const name = `${test}:${labelOf(from)}`;
  if (run === null) return { name, weights: [1], share, q: [logE], setAside: [logE - logEMinus], deff: 1 };
  const { process, deff } = run;
  return { name, weights: [...process.weights], share, q: [...process.q], setAside: process.weights.map((_, k) => setAsideOf(process, k)), deff };
}
