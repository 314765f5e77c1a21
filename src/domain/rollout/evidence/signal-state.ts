import type { AdvanceProcess } from "../../stats/advance-process.ts";
import type { FreezeProcess } from "../../stats/freeze-process.ts";
import type { Histogram, Moments } from "../../stats/histogram.ts";
import { emptyHistogram, noMoments } from "../../stats/histogram.ts";
import { emptyInterval, type IntervalSums } from "../../stats/interval.ts";
import type { Clusters } from "./clusters.ts";

/** One restart of a freeze process: it starts at a step (-1: shadow) and takes every block from then on. */
export interface FreezeRun {
  readonly step: number;
  /** Epoch of its first block: it takes no block from before. */
  readonly fromEpoch: number;
  readonly process: FreezeProcess;
  /** Design effect that its log sums were tempered by at its newest block, at least 1. */
  readonly deff: number;
  /** log E of the process, and without its most incriminating blocks, as of its newest block; nano-nats. They follow from the others, and save every look the work. */
  readonly logE: number;
  readonly logEMinus: number;
}

/** The advance process of one step. */
export interface AdvanceRun {
  readonly step: number;
  /** It starts anew with another evaluator version. */
  readonly evaluatorVersion: string;
  readonly process: AdvanceProcess;
  /** It holds blocks that count unscored records as failed in both arms, which proves something only where neither arm misses more than the other. */
  readonly isComposite: boolean;
  /** Design effect at its newest block, widened for advancing. */
  readonly deff: number;
  readonly logE: number;
}

/** A block's mark: where it ended, and whether it was evidence of harm by itself. */
export interface BlockMark {
  readonly endMs: number;
  readonly isHarm: boolean;
}

/** One test of a signal: relative to the baseline, against its floor, of runaway values, or of one slice. */
export interface TestState {
  readonly freeze: readonly FreezeRun[];
  readonly advance: readonly AdvanceRun[];
  readonly marks: readonly BlockMark[];
  /** The most incriminating blocks so far, worst first: named when they are set aside. */
  readonly worst: readonly { readonly paneStartMs: number; readonly logE: number }[];
}

/** Losses in [0, 1] of one arm in a block: as freezing counts them, and as advancing does (they differ for percentiles only). */
export interface ArmValues {
  readonly freeze: Histogram;
  readonly advance: Histogram;
  /** Drawn but without a score when the pane closed. */
  readonly unscored: number;
}

/** What is known of the baseline before a block. */
export interface KnownBefore {
  /** Baseline's mean loss by earlier blocks. */
  readonly pref: number;
  /** Pooled variance of losses by earlier blocks; null for binary counts. */
  readonly v: number | null;
  /** Baseline's unscored share by earlier blocks. */
  readonly unscoredShare: number;
  /** Bucket that exceedances are counted from; null for other kinds. */
  readonly threshold: number | null;
  /** What a mean's values are capped at and divided by; null for other kinds. */
  readonly cap: number | null;
}

/** Panes that are merged into a block, with what was known before its first one. */
export interface PendingBlock extends KnownBefore {
  readonly epoch: number;
  readonly step: number;
  readonly evaluatorVersion: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly candidate: ArmValues;
  readonly baseline: ArmValues;
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
  /** Bucket that exceedances are counted from, by all of these panes; null: too few records. */
  readonly threshold: number | null;
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

export interface Shown {
  readonly candidate: ArmShown;
  readonly baseline: ArmShown;
}

/** The comparison of served calls in one slice of traffic, or in all of it. */
export interface SliceState {
  readonly relative: TestState;
  /** Decayed sums of the baseline's earlier losses, as of `priorAtMs`. */
  readonly prior: Moments;
  readonly priorAtMs: number;
  /** The same of both arms together: their spread. */
  readonly spread: Moments;
  readonly pending: PendingBlock | null;
  readonly shown: Shown;
}

/** Everything that the decider keeps of one signal in one attempt. Plain numbers. */
export interface SignalState extends SliceState {
  readonly name: string;
  readonly floor: TestState;
  /** Of a judged signal: that the candidate does not miss more scores than the baseline, for advancing only. */
  readonly missing: TestState;
  /** Of judged signals and `missing_scores`: that the baseline does not miss more either. */
  readonly reverse: TestState;
  /** Of means: values beyond twice the baseline's P99, which a capped mean hides. */
  readonly runaway: TestState;
  /** Whether the baseline itself is proven below the floor: latched. */
  readonly baselineFloor: { readonly process: FreezeProcess | null; readonly isBelow: boolean };
  readonly histograms: BaselineHistograms | null;
  /** What quantities are capped at, in their own units; fixed for the attempt once known. */
  readonly cap: number | null;
  /** Of means, with the cap: bucket from which a value is a runaway. */
  readonly runawayBucket: number | null;
  /** Decayed sums of the baseline's (in shadow: the pairs') drawn and unscored records, as of `atMs`. */
  readonly drawn: { readonly sampled: number; readonly unscored: number; readonly atMs: number };
  readonly evaluatorVersion: string;
  readonly pendingPairs: PendingPairs | null;
  readonly interval: IntervalSums;
  /** Records and losses per bucket of subjects, for the design effect. */
  readonly clusters: Clusters;
  /** The spec's slices, by name. */
  readonly slices: Readonly<Record<string, SliceState>>;
}

export const noTest: TestState = { freeze: [], advance: [], marks: [], worst: [] };
export const noneShown: ArmShown = { n: 0, sum: 0, isPaired: false, buckets: emptyHistogram };
const nothingShown: Shown = { candidate: noneShown, baseline: noneShown };

export const initialSlice: SliceState = { relative: noTest, prior: noMoments, priorAtMs: 0, spread: noMoments, pending: null, shown: nothingShown };

export function initialSignal(name: string): SignalState {
  return {
    ...initialSlice,
    name,
    floor: noTest,
    missing: noTest,
    reverse: noTest,
    runaway: noTest,
    baselineFloor: { process: null, isBelow: false },
    histograms: null,
    cap: null,
    runawayBucket: null,
    drawn: { sampled: 0, unscored: 0, atMs: 0 },
    evaluatorVersion: "",
    pendingPairs: null,
    interval: emptyInterval,
    clusters: [],
    slices: {},
  };
}

/** What is shown begins anew with a step; evidence stays. */
export function forNewStep(signal: SignalState): SignalState {
  const slices = Object.fromEntries(Object.entries(signal.slices).map(([name, slice]) => [name, { ...slice, shown: nothingShown }]));
  return { ...signal, shown: nothingShown, interval: emptyInterval, slices };
}
