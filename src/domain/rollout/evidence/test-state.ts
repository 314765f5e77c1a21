import { addToAdvance, advanceLogE, createAdvance } from "../../stats/advance-process.ts";
import { addToFreeze, createFreeze, freezeLogE, freezeLogEMinus } from "../../stats/freeze-process.ts";
import { mix } from "../../stats/nano-nats.ts";
import type { RolloutPlan } from "../spec/plan.ts";
import { type Asked, type Clusters, deffIn, deffSince } from "./clusters.ts";
import type { BlockMark, FreezeRun, TestState } from "./signal-state.ts";

/** Blocks of which marks are kept at most, whatever the window. */
const MOST_MARKS = 120;
/** Blocks that count as recent however long ago they were. */
export const LEAST_RECENT = 5;
export const SHADOW_STEP = -1;

/** Where a block comes from. */
export interface BlockOrigin {
  readonly step: number;
  readonly epoch: number;
  readonly evaluatorVersion: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** What the design effect of a test is taken from. */
export interface Clustered {
  readonly clusters: Clusters;
  readonly asked: Omit<Asked, "use">;
}

/** A run with a block multiplied in, and what follows from it for every look until the next. */
function withIncrements(run: FreezeRun, increments: readonly number[], { clusters, asked }: Clustered): FreezeRun {
  const { step, fromEpoch } = run;
  const process = addToFreeze(run.process, increments);
  const deff = clusters.length === 0 ? 1 : deffSince(clusters, fromEpoch, step === SHADOW_STEP, { ...asked, use: "freeze" });
  return { step, fromEpoch, process, deff, logE: freezeLogE(process, deff), logEMinus: freezeLogEMinus(process, deff) };
}

/**
 * Multiplies a block into every restart that has begun: the one of its own step (which begins with its first block) and
 * those of earlier steps. Shadow and canary never multiply.
 */
export function addFreezeBlock(
  test: TestState,
  increments: readonly number[],
  weights: readonly number[],
  about: { readonly origin: BlockOrigin; readonly plan: Pick<RolloutPlan, "sustain">; readonly clustered: Clustered },
): TestState {
  const { origin, plan, clustered } = about;
  const setAside = plan.sustain.panes - 1;
  const isStarted = test.freeze.some(({ step }) => step === origin.step);
  const runs = isStarted
    ? test.freeze
    : [...test.freeze, { step: origin.step, fromEpoch: origin.epoch, process: createFreeze(weights, setAside), deff: 1, logE: 0, logEMinus: 0 }];
  const isShadow = origin.step === SHADOW_STEP;
  const freeze = runs.map((run) => {
    const takes = (run.step === SHADOW_STEP) === isShadow && run.fromEpoch <= origin.epoch;
    return takes ? withIncrements(run, increments, clustered) : run;
  });
  // Where no component is above 1 the mixture is not either: half of the blocks need no logarithm for their mark.
  const logE = isAboveOne(increments) ? mix(increments, weights) : 0;
  const worst =
    logE <= (test.worst[setAside - 1]?.logE ?? 0)
      ? test.worst
      : [...test.worst, { paneStartMs: origin.fromMs, logE }].sort((a, b) => b.logE - a.logE || a.paneStartMs - b.paneStartMs).slice(0, setAside);
  return { freeze, advance: test.advance, marks: withMark(test.marks, { endMs: origin.toMs, isHarm: logE > 0 }, plan.sustain.windowMs), worst };
}

function isAboveOne(increments: readonly number[]): boolean {
  for (const x of increments) if (!(x <= 0)) return true;
  return false;
}

function withMark(marks: readonly BlockMark[], mark: BlockMark, windowMs: number): readonly BlockMark[] {
  // Only a late block ends before the newest one.
  const isLate = mark.endMs < (marks.at(-1)?.endMs ?? mark.endMs);
  const all = isLate ? [...marks, mark].sort((a, b) => a.endMs - b.endMs) : marks;
  const n = isLate ? all.length : all.length + 1;
  const newestMs = (isLate ? all.at(-1) : mark)?.endMs ?? 0;
  // Of older blocks only those that count are kept.
  const kept = all.filter(({ endMs, isHarm }, i) => i >= n - LEAST_RECENT || (isHarm && endMs > newestMs - windowMs));
  if (!isLate) kept.push(mark);
  return kept.length > MOST_MARKS ? kept.slice(-MOST_MARKS) : kept;
}

/**
 * Multiplies a block into the advance process of its step. A step that is entered again goes on with its old process;
 * another evaluator version starts it anew.
 *
 * @param ceiling ln(1/alpha_adv) of the attempt, nano-nats
 */
export function addAdvanceBlock(
  test: TestState,
  increments: readonly number[],
  weights: readonly number[],
  about: { readonly origin: BlockOrigin; readonly ceiling: number; readonly clustered: Clustered; readonly isComposite: boolean },
): TestState {
  const { origin, ceiling, clustered } = about;
  const { clusters, asked } = clustered;
  const old = test.advance.find(({ step }) => step === origin.step);
  const known = old !== undefined && old.evaluatorVersion === origin.evaluatorVersion ? old : null;
  const before = known?.process ?? createAdvance(ceiling, weights);
  const isComposite = about.isComposite || known?.isComposite === true;
  const deff = clusters.length === 0 ? 1 : deffIn(clusters, origin.step, { ...asked, use: "advance" });
  const process = addToAdvance(before, increments, deff);
  const run = { step: origin.step, evaluatorVersion: origin.evaluatorVersion, process, isComposite, deff, logE: advanceLogE(process, deff) };
  return { ...test, advance: [...test.advance.filter(({ step }) => step !== origin.step), run] };
}

/** Recent blocks that were evidence of harm: of the last window, at least the last five blocks. */
export function recentHarm(test: TestState, atMs: number, windowMs: number): number {
  const { marks } = test;
  let harm = 0;
  for (let i = 0; i < marks.length; i++) {
    const mark = marks[i];
    if (mark?.isHarm === true && (i >= marks.length - LEAST_RECENT || mark.endMs > atMs - windowMs)) harm++;
  }
  return harm;
}

/** Evidence of harm forgotten: every freeze process is worth 1 again. What was proven for advancing stays. */
export function withoutHarm(test: TestState): TestState {
  const freeze = test.freeze.map((run) => ({
    ...run,
    process: createFreeze(run.process.weights, run.process.top[0]?.length ?? 0),
    logE: 0,
    logEMinus: 0,
  }));
  return { ...test, freeze, marks: [], worst: [] };
}
