import type { Block } from "../rollout/input.ts";
import { FREEZE_MULTIPLES, FREEZE_WEIGHTS } from "../stats/bet.ts";
import { type Detector, detect, detectorLogM } from "../stats/drift.ts";
import { oneSample } from "../stats/floor.ts";
import { type Histogram, momentsOf } from "../stats/histogram.ts";
import { temper } from "../stats/nano-nats.ts";
import { dayCellOf } from "./day-cells.ts";
import type { Bounds, Profile } from "./profile.ts";
import { isCountable, lossesOf } from "./watched.ts";

/**
 * One e-detector against a frozen bound: M <- (M + 1) e per block and component. It may be looked at inside a block too: M is a sum of e-processes, one
 * per block begun, each of which is at most 1 on average at any time one may stop at.
 */
export interface DetectorState {
  /** log M of each component after the blocks that are closed. */
  readonly m: readonly Detector[];
  /** The block under way: its number, and its log sums in nano-nats, before the design effect. */
  readonly block: number;
  readonly q: readonly number[];
  /** Records and their losses since it began, for people. */
  readonly n: number;
  readonly sum: number;
}

export const quiet: DetectorState = { m: FREEZE_WEIGHTS.map(() => null), block: -1, q: FREEZE_WEIGHTS.map(() => 0), n: 0, sum: 0 };

/** log M of each component by now. */
export function nowOf({ m, q, block }: DetectorState, deff: number): readonly Detector[] {
  if (block < 0) return m;
  const tempered = temper(q, deff);
  return m.map((one, k) => detect(one, tempered[k] ?? 0));
}

/** Takes losses of one block of time: a newer block closes the one under way. A block without records does not count. */
export function addLosses(
  state: DetectorState,
  losses: Histogram,
  about: { readonly block: number; readonly bound: number; readonly span: number } & Pick<Bounds, "deff" | "variance">,
): DetectorState {
  const { block, bound, span, deff, variance } = about;
  const isNew = block > state.block;
  const before = isNew && state.block >= 0 ? { ...state, m: nowOf(state, deff) } : state;
  const q = isNew ? FREEZE_WEIGHTS.map(() => 0) : before.q;
  // A bound of 1 is exceeded by nothing: the reference was bad throughout.
  const alternatives = FREEZE_MULTIPLES.map((multiple) => bound + span * multiple);
  const increments = bound >= 1 ? q.map(() => 0) : oneSample(losses, bound, alternatives, variance);
  const { n, sum } = momentsOf(losses);
  return { m: before.m, block: Math.max(block, state.block), q: q.map((x, k) => x + (increments[k] ?? 0)), n: state.n + n, sum: state.sum + sum };
}

/** A version under watch: one detector per signal of the profile that it is compared with. */
export interface Run {
  readonly version: string;
  /** Version whose profile it is compared with, and when that was taken: another one starts anew. */
  readonly reference: string;
  readonly takenAtMs: number;
  /** Attempt that is observed; 0 when no rollout runs. */
  readonly attempt: number;
  readonly detectors: Readonly<Record<string, DetectorState>>;
}

/** Takes the version's blocks of a pane. */
export function feedRun(run: Run, profile: Profile, blocks: readonly Block[], pane: { readonly startMs: number; readonly blockMs: number }): Run {
  const detectors = { ...run.detectors };
  for (const { signal, threshold, bounds } of profile.signals) {
    if (bounds === null || threshold === null) continue;
    const bound = bounds.byCell[dayCellOf(pane.startMs, bounds.byCell.length)] ?? 1;
    for (const block of blocks) {
      if (block.signal !== signal.name || !isCountable(block, signal)) continue;
      const about = { block: Math.floor(pane.startMs / pane.blockMs), bound, span: signal.span, deff: bounds.deff, variance: bounds.variance };
      detectors[signal.name] = addLosses(detectors[signal.name] ?? quiet, lossesOf(block, signal, threshold), about);
    }
  }
  return { ...run, detectors };
}

/** Share of each acting signal, so that they add to 1. */
export function sharesOf({ signals }: Profile): ReadonlyMap<string, number> {
  const acting = signals.filter(({ bounds }) => bounds !== null);
  const sum = acting.reduce((all, { signal }) => all + signal.weight, 0);
  return new Map(acting.map(({ signal }) => [signal.name, signal.weight / sum]));
}

/** log of the weighted sum of all detectors in nano-nats; null while all are 0. Alarm when it reaches ln c. */
export function runLogM(run: Run, profile: Profile): Detector {
  const ms: Detector[] = [];
  const weights: number[] = [];
  const shares = sharesOf(profile);
  for (const { signal, bounds } of profile.signals) {
    const state = run.detectors[signal.name];
    if (bounds === null || state === undefined) continue;
    nowOf(state, bounds.deff).forEach((m, k) => {
      ms.push(m);
      weights.push((shares.get(signal.name) ?? 0) * (FREEZE_WEIGHTS[k] ?? 0));
    });
  }
  return detectorLogM(ms, weights);
}
