import { canonicalJson } from "./canonical-json.ts";
import { forNewEdition } from "./evidence/edition.ts";
import { countOf, pairOf } from "./ledger.ts";
import { withStart } from "./phases.ts";
import { showDuration } from "./spec/duration.ts";
import { canProve, type OnBreach, type PlannedSignal, type RolloutPlan } from "./spec/plan.ts";
import type { Attempt, RouteState } from "./state.ts";

/** Edits of margins, weights or alpha per attempt: each keeps the evidence under the earlier ones, with half of the weight that is left. */
const MOST_EDITS = 3;

const same = (one: unknown, other: unknown) => canonicalJson(one) === canonicalJson(other);

/** What an edit must leave as it is: what is tested, on whom, and how its evidence is cut. */
const fixed = [
  ["baseline", ({ baseline }: RolloutPlan) => baseline],
  ["candidate", ({ candidate }: RolloutPlan) => candidate],
  ["ladder", ({ ladder }: RolloutPlan) => ladder],
  ["holdback", ({ holdback }: RolloutPlan) => holdback],
  ["shadow.share", ({ shadow }: RolloutPlan) => shadow?.ppm ?? 0],
  ["slices", ({ slices }: RolloutPlan) => slices],
  ["schema", ({ schemaCheck }: RolloutPlan) => schemaCheck],
  ["judge.rubric", ({ rubrics }: RolloutPlan) => rubrics],
  ["pane", ({ paneMs }: RolloutPlan) => paneMs],
  ["window", ({ windowMs }: RolloutPlan) => windowMs],
  ["grace", ({ callsGraceMs, judgeGraceMs }: RolloutPlan) => [callsGraceMs, judgeGraceMs]],
] as const;

/** Why a plan cannot take the place of the running one; empty when it can. */
export function editProblems(attempt: Attempt, plan: RolloutPlan): string[] {
  const now = attempt.plan;
  if (plan.rollout !== now.rollout) return [`edit changes the rollout that runs, which is ${now.rollout}: give that id, or use onRunning: queue or replace`];
  const problems = fixed
    .filter(([, of]) => !same(of(now), of(plan)))
    .map(([field]) => `${field} cannot be edited while the rollout runs: leave it as it is, or use onRunning: replace`);
  for (const { name, kind, source } of plan.signals) {
    const before = now.signals.find((signal) => signal.name === name);
    if (before !== undefined && before.kind !== kind) problems.push(`signals: ${name} cannot change its form while the rollout runs`);
    if (before !== undefined && before.source !== source) problems.push(`signals: ${name} cannot change its source while the rollout runs`);
  }
  if (problems.length === 0 && isEvidenceEdited(now, plan) && attempt.edits >= MOST_EDITS)
    problems.push(`its margins were edited ${MOST_EDITS} times already, and each edit halves what evidence is worth: use onRunning: replace for a new attempt`);
  return problems;
}

type Tested = Omit<PlannedSignal, "onBreach" | "gate">;
const tested = ({ onBreach: _b, gate: _g, ...rest }: PlannedSignal): Tested => rest;

/** Whether evidence means something else from now on. */
function isEvidenceEdited(now: RolloutPlan, plan: RolloutPlan): boolean {
  const of = ({ signals, alpha, percentileMinRecords }: RolloutPlan) => ({ signals: signals.map(tested), alpha, percentileMinRecords });
  return !same(of(now), of(plan));
}

/** Whether gateways or samplers must be told. */
export function isTableEdited(now: RolloutPlan, plan: RolloutPlan): boolean {
  const of = ({ judgePerMinute, staleAfterMs, signals }: RolloutPlan) => ({
    judgePerMinute,
    staleAfterMs,
    outcomes: signals.filter(({ source }) => source === "outcome").map(({ name, maturityMs }) => [name, maturityMs]),
  });
  return !same(of(now), of(plan));
}

const strictness: Readonly<Record<OnBreach, number>> = { freeze: 0, contract: 1, rollback: 2 };
const share = (value: number) => String(Number(value.toPrecision(4)));

function signalLoosenings(before: PlannedSignal, after: PlannedSignal | undefined): string[] {
  const { name } = before;
  if (before.tier === "watch") return [];
  if (after === undefined) return [`${name} is removed`];
  if (after.tier === "watch") return [`${name} becomes tier watch`];
  const found: string[] = [];
  for (const part of ["tolerated", "limit"] as const) {
    if (after.margin[part] > before.margin[part]) found.push(`${part} of ${name} ${share(before.margin[part])} to ${share(after.margin[part])}`);
  }
  if (before.floor !== null && (after.floor === null || after.floor < before.floor)) found.push(`floor of ${name} ${before.floor} to ${after.floor ?? "none"}`);
  if (before.isFloorStrict && !after.isFloorStrict) found.push(`floor of ${name} is no longer strict`);
  if (canProve(before) && !canProve(after)) found.push(`${name} has no maturity any more, so that no step rests on it`);
  if (after.judgeJ > before.judgeJ) found.push(`judgeError of ${name} is taken to be smaller`);
  if (strictness[after.onBreach] < strictness[before.onBreach]) found.push(`onBreach of ${name} ${before.onBreach} to ${after.onBreach}`);
  return found;
}

/** Fields of time and number that protect by being large, as a person writes them. */
const protecting: readonly (readonly [string, (plan: RolloutPlan) => number, (value: number) => string])[] = [
  ["minSamples", ({ minSamples }) => minSamples, String],
  ["dwell.min", ({ dwell }) => dwell.minMs, showDuration],
  ["dwell.minLate", ({ dwell }) => dwell.minLateMs, showDuration],
  ["shadow.minDwell", ({ shadow }) => shadow?.minDwellMs ?? 0, showDuration],
  ["observation", ({ observationMs }) => observationMs, showDuration],
  ["sustain.window", ({ sustain }) => sustain.windowMs, showDuration],
  ["advanced.percentileMinRecords", ({ percentileMinRecords }) => percentileMinRecords, String],
];

/**
 * What an edit makes easier for the candidate, one clause each: it then needs the approval of somebody else. Another alpha
 * always does: a larger one weakens the promise to the candidate, and a smaller one the protection of users.
 */
export function loosenings(now: RolloutPlan, plan: RolloutPlan): string[] {
  const found = now.signals.flatMap((signal) =>
    signalLoosenings(
      signal,
      plan.signals.find(({ name }) => name === signal.name),
    ),
  );
  if (plan.alpha !== now.alpha) found.push(`alpha ${now.alpha} to ${plan.alpha}`);
  for (const [field, of, show] of protecting) {
    if (of(plan) < of(now)) found.push(`${field} ${show(of(now))} to ${show(of(plan))}`);
  }
  if (plan.sustain.panes > now.sustain.panes) found.push(`sustain.panes ${now.sustain.panes} to ${plan.sustain.panes}`);
  if (plan.staleAfterMs > now.staleAfterMs || (plan.staleAfterMs === 0 && now.staleAfterMs !== 0)) found.push("staleAfter grows");
  if (plan.advanceOn === "not_breached" && now.advanceOn === "safe") found.push("advanceOn safe to not_breached");
  const lost = now.approvals.filter((step) => !plan.approvals.includes(step));
  if (lost.length > 0) found.push(`steps ${lost.join(", ")} no longer need an approval`);
  const open = now.freezeWindows.filter(({ fromMs, toMs }) => !plan.freezeWindows.some((kept) => kept.fromMs <= fromMs && kept.toMs >= toMs));
  if (open.length > 0) found.push("a freeze window is opened");
  return found;
}

/** What a stricter edit weakens all the same: evidence of harm that a rollout is frozen for is worth half under other margins, and could then thaw by itself. */
export function weakened({ frozen, plan: now }: Attempt, plan: RolloutPlan): string[] {
  return frozen?.cause === "breach" && isEvidenceEdited(now, plan) ? [`the evidence of ${frozen.about} that it is frozen for is halved`] : [];
}

/**
 * The running attempt under the edited plan, for panes that start from now on. Where evidence means something else, freezing
 * starts at 1 with half of the weight that is left and advancing with half of its alpha (statistics.md section 2).
 */
export function applyEdit(state: RouteState, attempt: Attempt, edit: { readonly plan: RolloutPlan; readonly digest: string }, atMs: number): RouteState {
  const { plan, digest } = edit;
  const starts = withStart(state.starts, { digest, rollout: plan.rollout, attempt: attempt.attempt });
  if (!isEvidenceEdited(attempt.plan, plan)) return { ...state, starts, current: { ...attempt, plan, specDigest: digest } };
  const edited = { ...forNewEdition(attempt, plan, atMs), specDigest: digest, edits: attempt.edits + 1 };
  const count = countOf(state, plan);
  return { ...state, starts, pairs: { ...state.pairs, [pairOf(plan)]: { ...count, edits: count.edits + 1 } }, current: edited };
}
