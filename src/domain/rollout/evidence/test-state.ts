import { addToAdvance, createAdvance } from "../../stats/advance-process.ts";
import { addToFreeze, createFreeze } from "../../stats/freeze-process.ts";
import { mix } from "../../stats/nano-nats.ts";
import type { RolloutPlan } from "../spec/plan.ts";
import type { BlockMark, TestState } from "./signal-state.ts";

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

/**
 * Multiplies a block into every restart that has begun: the one of its own step (which begins with its first block) and
 * those of earlier steps. Shadow and canary never multiply.
 */
export function addFreezeBlock(
  test: TestState,
  increments: readonly number[],
  weights: readonly number[],
  about: { readonly origin: BlockOrigin; readonly plan: RolloutPlan },
): TestState {
  const { origin, plan } = about;
  const setAside = plan.sustain.panes - 1;
  const isStarted = test.freeze.some(({ step }) => step === origin.step);
  const runs = isStarted ? test.freeze : [...test.freeze, { step: origin.step, fromEpoch: origin.epoch, process: createFreeze(weights, setAside) }];
  const isShadow = origin.step === SHADOW_STEP;
  const freeze = runs.map((run) => {
    const takes = (run.step === SHADOW_STEP) === isShadow && run.fromEpoch <= origin.epoch;
    return takes ? { ...run, process: addToFreeze(run.process, increments) } : run;
  });
  const logE = mix(increments, weights);
  const worst = [...test.worst, { paneStartMs: origin.fromMs, logE }]
    .filter((block) => block.logE > 0)
    .sort((a, b) => b.logE - a.logE || a.paneStartMs - b.paneStartMs)
    .slice(0, setAside);
  return { ...test, freeze, worst, marks: withMark(test.marks, { endMs: origin.toMs, isHarm: logE > 0 }, plan.sustain.windowMs) };
}

function withMark(marks: readonly BlockMark[], mark: BlockMark, windowMs: number): readonly BlockMark[] {
  const all = [...marks, mark].sort((a, b) => a.endMs - b.endMs);
  const newestMs = all.at(-1)?.endMs ?? 0;
  // Of older blocks only those that count are kept.
  return all.filter(({ endMs, isHarm }, i) => i >= all.length - LEAST_RECENT || (isHarm && endMs > newestMs - windowMs)).slice(-MOST_MARKS);
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
  about: { readonly origin: BlockOrigin; readonly ceiling: number },
): TestState {
  const { origin, ceiling } = about;
  const old = test.advance.find(({ step }) => step === origin.step);
  const process = old !== undefined && old.evaluatorVersion === origin.evaluatorVersion ? old.process : createAdvance(ceiling, weights);
  const run = { step: origin.step, evaluatorVersion: origin.evaluatorVersion, process: addToAdvance(process, increments) };
  return { ...test, advance: [...test.advance.filter(({ step }) => step !== origin.step), run] };
}

/** Recent blocks that were evidence of harm: of the last window, at least the last five blocks. */
export function recentHarm(test: TestState, atMs: number, windowMs: number): number {
  return test.marks.filter(({ endMs, isHarm }, i) => isHarm && (i >= test.marks.length - LEAST_RECENT || endMs > atMs - windowMs)).length;
}
