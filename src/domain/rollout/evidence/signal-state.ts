import type { AdvanceProcess } from "../../stats/advance-process.ts";
import type { FreezeProcess } from "../../stats/freeze-process.ts";
import type { Histogram, Moments } from "../../stats/histogram.ts";
import { noMoments } from "../../stats/histogram.ts";
import { emptyInterval, type IntervalSums } from "../../stats/interval.ts";

/** One restart of a freeze process: it starts at a step (-1: shadow) and takes every block from then on. */
export interface FreezeRun {
  readonly step: number;
  /** Epoch of its first block: it takes no block from before. */
  readonly fromEpoch: number;
  readonly process: FreezeProcess;
}

/** The advance process of one step. */
export interface AdvanceRun {
  readonly step: number;
  /** It starts anew with another evaluator version. */
  readonly evaluatorVersion: string;
  readonly process: AdvanceProcess;
}

/** A block's mark: where it ended, and whether it was evidence of harm by itself. */
export interface BlockMark {
  readonly endMs: number;
  readonly isHarm: boolean;
}

/** One test of a signal: relative to the baseline, or against its floor. */
export interface TestState {
  readonly freeze: readonly FreezeRun[];
  readonly advance: readonly AdvanceRun[];
  readonly marks: readonly BlockMark[];
  /** The most incriminating blocks so far, worst first: named when they are set aside. */
  readonly worst: readonly { readonly paneStartMs: number; readonly logE: number }[];
}

/** Exact counts of one arm in a block: bad for freezing and (percentiles: at the limit's shift) for advancing. */
export interface ArmCounts {
  readonly n: number;
  readonly bad: number;
  readonly badToAdvance: number;
  /** Drawn but without a score when the pane closed. */
  readonly unscored: number;
}

/** Panes that are merged into a block, with what was known before its first one. */
export interface PendingBlock {
  readonly epoch: number;
  readonly step: number;
  readonly evaluatorVersion: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Baseline's mean loss by earlier blocks. */
  readonly pref: number;
  /** Baseline's unscored share by earlier blocks. */
  readonly unscoredShare: number;
  /** Bucket that exceedances are counted from; null for other kinds. */
  readonly threshold: number | null;
  readonly candidate: ArmCounts;
  readonly baseline: ArmCounts;
}

/** Pairs that are merged into a block (shadow). */
export interface PendingPairs {
  readonly epoch: number;
  readonly evaluatorVersion: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly unscoredShare: number;
  /** Differences in hundredths of a loss. */
  readonly differences: Histogram;
  readonly unscored: number;
}

/** Newest baseline panes of a percentile signal: two stretches of at least 60 minutes (statistics.md section 1.4). */
export interface BaselineHistograms {
  readonly current: Histogram;
  readonly currentFromMs: number;
  readonly previous: Histogram;
}

/** What is shown of one arm in this step. */
export interface ArmShown {
  readonly n: number;
  /** Sum of losses, or of quantities for means; of pairs, the sum of the differences in loss. */
  readonly sum: number;
  /** Only differences on the same prompts are known, not the arm's own values. */
  readonly isPaired: boolean;
  /** Of percentiles: the buckets. */
  readonly buckets: Histogram;
}

/** Everything that the decider keeps of one signal in one attempt. Plain numbers. */
export interface SignalState {
  readonly name: string;
  readonly relative: TestState;
  readonly floor: TestState;
  /** Whether the baseline itself is proven below the floor: latched. */
  readonly baselineFloor: { readonly process: FreezeProcess | null; readonly isBelow: boolean };
  /** Decayed sums of the baseline's earlier losses, as of `priorAtMs`. */
  readonly prior: Moments;
  readonly priorAtMs: number;
  readonly histograms: BaselineHistograms | null;
  /** Baseline's (in shadow: the pairs') drawn and unscored records so far. */
  readonly drawn: { readonly sampled: number; readonly unscored: number };
  readonly evaluatorVersion: string;
  readonly pending: PendingBlock | null;
  readonly pendingPairs: PendingPairs | null;
  readonly shown: { readonly candidate: ArmShown; readonly baseline: ArmShown };
  readonly interval: IntervalSums;
}

const noTest: TestState = { freeze: [], advance: [], marks: [], worst: [] };
export const noneShown: ArmShown = { n: 0, sum: 0, isPaired: false, buckets: { values: [], counts: [] } };

export function initialSignal(name: string): SignalState {
  return {
    name,
    relative: noTest,
    floor: noTest,
    baselineFloor: { process: null, isBelow: false },
    prior: noMoments,
    priorAtMs: 0,
    histograms: null,
    drawn: { sampled: 0, unscored: 0 },
    evaluatorVersion: "",
    pending: null,
    pendingPairs: null,
    shown: { candidate: noneShown, baseline: noneShown },
    interval: emptyInterval,
  };
}

/** What is shown begins anew with a step; evidence stays. */
export function forNewStep(signal: SignalState): SignalState {
  return { ...signal, shown: { candidate: noneShown, baseline: noneShown }, interval: emptyInterval };
}
