import { mix, threshold } from "../../stats/nano-nats.ts";
import { SPLIT_ALPHA, SPLIT_WEIGHTS, splitEvidence } from "../../stats/split-health.ts";
import type { Block } from "../input.ts";

/** Whether subjects arrive in the arms as planned (statistics.md section 1.7). */
export interface SplitState {
  /** Log sums of the components, nano-nats. */
  readonly q: readonly number[];
  /** Subjects at first sight so far, for people. */
  readonly candidate: number;
  readonly baseline: number;
  /** Has once reached ln(1/.001): it stays so for the attempt, since whoever was put on the wrong arm stays there. */
  readonly isMismatch: boolean;
}

export const noSplit: SplitState = { q: SPLIT_WEIGHTS.map(() => 0), candidate: 0, baseline: 0, isMismatch: false };

/**
 * Adds the subjects that a pane saw for the first time, with the split that was in force.
 *
 * @param blocks of one pane, of the attempt, all of one step and split
 * @param share planned for the candidate, in (0, 1)
 */
export function addFirstSights(split: SplitState, blocks: readonly Block[], share: number): SplitState {
  let candidate = 0;
  let baseline = 0;
  for (const { newSubjects, arm, slice, exposure } of blocks) {
    if (typeof newSubjects !== "number" || slice !== "all" || exposure !== "served") continue;
    // Whom a gateway under a brake or without a fresh table served the baseline was assigned to the candidate all the same.
    if (arm === "candidate" || arm === "none") candidate += newSubjects;
    else if (arm === "baseline" || arm === "holdback") baseline += newSubjects;
  }
  if (candidate + baseline === 0) return split;
  const increments = splitEvidence(candidate, candidate + baseline, share);
  const q = split.q.map((sum, k) => sum + (increments[k] ?? 0));
  return {
    q,
    candidate: split.candidate + candidate,
    baseline: split.baseline + baseline,
    isMismatch: split.isMismatch || mix(q, SPLIT_WEIGHTS) >= threshold(SPLIT_ALPHA),
  };
}
