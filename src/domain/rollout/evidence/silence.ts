import { expectedRecords, isSilent } from "../../stats/staleness.ts";
import type { Block } from "../input.ts";
import type { RolloutPlan } from "../spec/plan.ts";

/** How long an arm has been without a record, and how many it should have had. */
export interface ArmSilence {
  /** Start of the first pane in which a record was due; null while records come. */
  readonly sinceMs: number | null;
  readonly expected: number;
}

export interface GroupSilence {
  readonly candidate: ArmSilence;
  readonly baseline: ArmSilence;
}

export interface SilenceState {
  readonly calls: GroupSilence;
  readonly judge: GroupSilence;
  /** End of the newest pane with a record of any arm; null before the first. */
  readonly lastRecordMs: number | null;
}

/** What silence asks for. Neither is counted in alpha or reported as a regression (statistics.md section 2). */
export interface SilenceVerdict {
  readonly verdict: "none" | "hold" | "freeze";
  /** Who is silent, for people; empty for nobody. */
  readonly who: string;
}

const heard: ArmSilence = { sinceMs: null, expected: 0 };
export const noSilence: SilenceState = { calls: { candidate: heard, baseline: heard }, judge: { candidate: heard, baseline: heard }, lastRecordMs: null };

/** A silent judge is given four times as long as silent callers: 60 minutes instead of 15. */
const JUDGE_PATIENCE = 4;
/** Time that a record may take from a call's end to a closed pane, beside the grace. */
export const PIPELINE_MS = 15_000;

export interface ArmTotals {
  readonly candidate: number;
  readonly baseline: number;
}

/**
 * Calls of both arms in a pane: of the signals counted on every call the one with the most records, since a check may not apply to all.
 * Mirrored calls are the candidate's.
 */
export function callTotals(blocks: readonly Block[]): ArmTotals {
  const counted = { candidate: new Map<string, number>(), baseline: new Map<string, number>(), holdback: new Map<string, number>() };
  for (const { arm, slice, kind, signal, records } of blocks) {
    if (slice !== "all" || kind === "paired" || !(arm === "candidate" || arm === "baseline" || arm === "holdback")) continue;
    counted[arm].set(signal, (counted[arm].get(signal) ?? 0) + records);
  }
  const most = (of: ReadonlyMap<string, number>) => Math.max(0, ...of.values());
  return { candidate: most(counted.candidate), baseline: most(counted.baseline) + most(counted.holdback) };
}

function listen(silence: ArmSilence, records: number, expected: number, paneStartMs: number): ArmSilence {
  if (records > 0) return heard;
  // Silence begins where a record was due: a quiet night is none.
  return { sinceMs: silence.sinceMs ?? (expected > 0 ? paneStartMs : null), expected: silence.expected + expected };
}

/** A closed pane of calls. `share` of subjects (or of mirrored calls) planned for the candidate, 0 to 1; of all others for the baseline. */
export function heardCalls(
  state: SilenceState,
  totals: ArmTotals,
  about: { readonly candidateShare: number; readonly baselineShare: number; readonly paneStartMs: number; readonly paneEndMs: number },
): SilenceState {
  const { candidateShare, baselineShare, paneStartMs, paneEndMs } = about;
  const { candidate, baseline } = state.calls;
  return {
    ...state,
    calls: {
      candidate: listen(candidate, totals.candidate, expectedRecords(totals.baseline, candidateShare, baselineShare), paneStartMs),
      baseline: listen(baseline, totals.baseline, baselineShare === 0 ? 0 : expectedRecords(totals.candidate, baselineShare, candidateShare), paneStartMs),
    },
    lastRecordMs: totals.candidate + totals.baseline > 0 ? paneEndMs : state.lastRecordMs,
  };
}

/** A closed pane of judged signals: silence is when what was drawn comes back without a single score. */
export function heardJudge(state: SilenceState, blocks: readonly Block[], guardrails: ReadonlySet<string>, paneStartMs: number): SilenceState {
  const sums = { candidate: { sampled: 0, scored: 0 }, baseline: { sampled: 0, scored: 0 } };
  for (const block of blocks) {
    if (block.slice !== "all" || !guardrails.has(block.signal)) continue;
    const arm = block.arm === "candidate" ? sums.candidate : sums.baseline;
    arm.sampled += block.sampled;
    arm.scored += block.scored;
  }
  const { candidate, baseline } = sums;
  const expectedOf = (own: typeof candidate, other: typeof candidate) =>
    other.scored > 0 ? (other.scored * own.sampled) / Math.max(1, other.sampled) : own.sampled;
  return {
    ...state,
    judge: {
      candidate: listen(state.judge.candidate, candidate.scored, expectedOf(candidate, baseline), paneStartMs),
      baseline: listen(state.judge.baseline, baseline.scored, expectedOf(baseline, candidate), paneStartMs),
    },
  };
}

/**
 * What silence asks for at a look. The candidate's or both arms' silence holds at once and freezes when it lasts; a silent
 * baseline holds.
 *
 * @param about `callsPerMs`: usual rate of the route, 0 when unknown; `heardUntilMs`: end of the group's newest closed pane
 */
export function silenceVerdict(
  state: SilenceState,
  group: "calls" | "judge",
  about: { readonly plan: RolloutPlan; readonly atMs: number; readonly callsPerMs: number; readonly heardUntilMs: number },
): SilenceVerdict {
  const { plan, atMs, callsPerMs, heardUntilMs } = about;
  const patienceMs = plan.sustain.windowMs * (group === "judge" ? JUDGE_PATIENCE : 1);
  if (group === "calls" && state.lastRecordMs !== null) {
    const silentMs = atMs - state.lastRecordMs - plan.callsGraceMs - PIPELINE_MS;
    if (silentMs >= patienceMs && isSilent(0, silentMs * callsPerMs)) return { verdict: "freeze", who: "both arms" };
  }
  const { candidate, baseline } = state[group];
  const lasts = candidate.sinceMs !== null && heardUntilMs - candidate.sinceMs >= patienceMs;
  if (isSilent(0, candidate.expected)) return { verdict: lasts ? "freeze" : "hold", who: "the candidate" };
  return isSilent(0, baseline.expected) ? { verdict: "hold", who: "the baseline" } : { verdict: "none", who: "" };
}
