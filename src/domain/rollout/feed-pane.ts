import { KnownError } from "../../errors/known-error.ts";
import { BUCKETS } from "../routing/buckets.ts";
import { threshold } from "../stats/nano-nats.ts";
import { feedSignal } from "./evidence/feed-signal.ts";
import { type BlocksBySeries, bySeries, missingParts, type Part, partsOf } from "./evidence/parts.ts";
import type { SignalState } from "./evidence/signal-state.ts";
import { callTotals, heardCalls, heardJudge } from "./evidence/silence.ts";
import { addFirstSights } from "./evidence/split.ts";
import type { Block, PaneInput } from "./input.ts";
import { wasPaused } from "./phases.ts";
import { candidateBuckets } from "./routing-table.ts";
import type { PlannedSignal, RolloutPlan } from "./spec/plan.ts";
import { type Attempt, type FedPanes, noPanes, type RouteState } from "./state.ts";

/** Panes whose rounds are remembered per group. */
const MOST_PANES = 240;
/** Coverage below which a pane does not count as observed (DESIGN.md section 6, law 7). */
const LEAST_COVERAGE = 0.9;
/** Stretches of panes that wait for the judge at most, each however long: short panes must not outrun a slow judge. */
const MOST_UNOBSERVED = 120;
/** How much of the rate of calls is kept with each pane: half of it is seven panes old. */
const RATE_KEPT = 0.9;

/** Whether a pane's round was fed before: panes close in order, and their rounds too. */
export function isFed(fed: FedPanes, { paneStartMs, paneMs, round, group }: Pick<PaneInput, "paneStartMs" | "paneMs" | "round" | "group">): boolean {
  const endMs = paneStartMs + paneMs;
  if (group === "outcome" && round > 0) return isFedLate(fed, endMs, round);
  if (round === 0) return endMs <= fed.newestEndMs;
  const newest = fed.rounds.find(([end]) => end === endMs)?.[1];
  // A pane that is no longer remembered is too old to be new; one that was never closed has no late records.
  return newest === undefined || round <= newest;
}

/** Outcomes come for days, and for panes that had none: their rounds are told by their order alone, the panes of a round by their ends. */
function isFedLate({ rounds }: FedPanes, endMs: number, round: number): boolean {
  const [newestEndMs, newest] = rounds.at(-1) ?? [-1, 0];
  return round < newest || (round === newest && endMs <= newestEndMs);
}

/** The pane is fed from now on. */
export function withFed(fed: FedPanes, { paneStartMs, paneMs, round, group }: PaneInput): FedPanes {
  const endMs = paneStartMs + paneMs;
  if (group === "outcome") {
    return round > 0 ? { ...fed, rounds: [[endMs, round]] } : { ...fed, newestEndMs: Math.max(fed.newestEndMs, endMs) };
  }
  const { rounds } = fed;
  const newestEndMs = Math.max(fed.newestEndMs, endMs);
  // Panes close in order; only a late round stands further back.
  let place = rounds.length;
  while (place > 0 && (rounds[place - 1]?.[0] ?? 0) >= endMs) place--;
  const isKnown = rounds[place]?.[0] === endMs;
  const all = rounds.toSpliced(place, isKnown ? 1 : 0, [endMs, round] as const);
  if (all.length > MOST_PANES) all.shift();
  return { newestEndMs, rounds: all };
}

/**
 * Takes a closed pane into the evidence of the running attempt. Total: what cannot be evaluated holds the rollout, and
 * leaves the evidence as it was.
 */
export function feedPane(state: RouteState, attempt: Attempt, input: PaneInput): RouteState {
  const fed = { ...state.fed, [input.group]: withFed(state.fed[input.group] ?? noPanes, input) };
  const mine = input.blocks.filter((block) => block.rollout === attempt.plan.rollout && block.attempt === attempt.attempt);
  const rated = input.group === "calls" && input.round === 0 ? withRate(state, input) : state;
  try {
    return { ...rated, fed, current: withEvidence(attempt, mine, input) };
  } catch (error) {
    const what =
      error instanceof KnownError
        ? `${error.message}; ${error.fix}`
        : `the evidence of a pane could not be evaluated (${String(error)}); report this with the route's \`evidence\``;
    return { ...rated, fed, current: { ...attempt, evaluationError: attempt.evaluationError ?? what } };
  }
}

/** What a signal is fed from: its own blocks, or what was drawn for the first judged guardrail and did not come back. */
function partsFor(pane: BlocksBySeries, planned: PlannedSignal, known: string, plan: RolloutPlan, round: number): Part[] {
  if (planned.source !== "missing") return partsOf(pane, planned, known);
  const judged = plan.signals.find(({ source, weight }) => source === "judge" && weight > 0);
  // A score that comes later was missing when its pane closed, and stays that.
  return judged === undefined || round > 0 ? [] : missingParts(partsOf(pane, judged, known));
}

/** Step that no block is of: evidence under earlier margins never advances. */
const NO_STEP = Number.MAX_SAFE_INTEGER;

function withEvidence(attempt: Attempt, blocks: readonly Block[], input: PaneInput): Attempt {
  const { paneStartMs, round, group } = input;
  const paneEndMs = paneStartMs + input.paneMs;
  const pane = bySeries(blocks);
  const isEvidence = !wasPaused(attempt, paneStartMs, paneEndMs);
  const ceiling = threshold(attempt.plan.alphaAdvance, attempt.halvings);
  const feed = (signals: readonly SignalState[], plan: RolloutPlan, about: { readonly step: number; readonly isEvidence: boolean }) =>
    signals.map((signal, i) => {
      const planned = plan.signals[i];
      if (planned === undefined || planned.group !== group) return signal;
      const parts = partsFor(pane, planned, signal.evaluatorVersion, plan, round);
      return feedSignal(signal, parts, pane, { plan, planned, paneStartMs, paneEndMs, round, ceiling, ...about });
    });
  const editions =
    attempt.editions.length === 0
      ? attempt.editions
      : attempt.editions.map((edition) => ({ ...edition, signals: feed(edition.signals, edition.plan, { step: NO_STEP, isEvidence }) }));
  const isUnderPresent = isEvidence && paneStartMs >= attempt.editedAtMs;
  const signals = feed(attempt.signals, attempt.plan, { step: attempt.step, isEvidence: isUnderPresent });
  const next = { ...attempt, signals, editions, watermarkMs: Math.max(attempt.watermarkMs, input.watermarkMs) };
  if (round > 0) return next;
  const seen = { ...next, newestPane: { ...next.newestPane, [group]: Math.max(next.newestPane[group] ?? -1, paneStartMs) } };
  if (group === "calls") return afterCalls(withFirstSights(seen, blocks), blocks, input, isEvidence);
  return group === "judge" ? afterJudge(seen, blocks, input) : seen;
}

/** Subjects at first sight in the step that the attempt is in, with its split. */
function withFirstSights(attempt: Attempt, blocks: readonly Block[]): Attempt {
  const own = blocks.filter((block) => block.step === attempt.step && typeof block.newSubjects === "number");
  return own.length === 0 ? attempt : { ...attempt, split: addFirstSights(attempt.split, own, candidateBuckets(attempt) / BUCKETS) };
}

/** Arms of the step's own blocks: those of an earlier step say nothing about silence in this one. */
function afterCalls(attempt: Attempt, blocks: readonly Block[], input: PaneInput, isEvidence: boolean): Attempt {
  const own = blocks.filter((block) => block.step === attempt.step);
  const isShadow = attempt.phase === "shadow";
  const totals = callTotals(own);
  const share = candidateBuckets(attempt) / BUCKETS;
  const shares = isShadow ? { candidateShare: (attempt.plan.shadow?.ppm ?? 0) / 1e6, baselineShare: 1 } : { candidateShare: share, baselineShare: 1 - share };
  const paneEndMs = input.paneStartMs + input.paneMs;
  const served = callTotals(own.filter(({ exposure }) => exposure === "served")).candidate;
  const heard = {
    ...attempt,
    silence: heardCalls(attempt.silence, totals, { ...shares, paneStartMs: input.paneStartMs, paneEndMs }),
    stepRequests: attempt.stepRequests + (isEvidence ? (isShadow ? totals.candidate : served) : 0),
  };
  if (attempt.phase !== "observing" || served === 0 || !isEvidence || attempt.frozen !== null) return heard;
  return judgedGuardrails(attempt).size === 0
    ? { ...heard, observedMs: heard.observedMs + input.paneMs }
    : { ...heard, unobservedPanes: withPane(heard.unobservedPanes, { fromMs: input.paneStartMs, toMs: paneEndMs }) };
}

type Stretches = Attempt["unobservedPanes"];

function withPane(stretches: Stretches, pane: Stretches[number]): Stretches {
  const newest = stretches.at(-1);
  if (newest?.toMs !== pane.fromMs) return [...stretches, pane].slice(-MOST_UNOBSERVED);
  return [...stretches.slice(0, -1), { fromMs: newest.fromMs, toMs: pane.toMs }];
}

function afterJudge(attempt: Attempt, blocks: readonly Block[], input: PaneInput): Attempt {
  const guardrails = judgedGuardrails(attempt);
  const own = blocks.filter((block) => block.step === attempt.step);
  const heard = { ...attempt, silence: heardJudge(attempt.silence, own, guardrails, input.paneStartMs) };
  const [fromMs, toMs] = [input.paneStartMs, input.paneStartMs + input.paneMs];
  if (!attempt.unobservedPanes.some((stretch) => stretch.fromMs <= fromMs && toMs <= stretch.toMs)) return heard;
  // Panes close in order: none before this one will be.
  const unobservedPanes = attempt.unobservedPanes
    .filter((stretch) => stretch.toMs > toMs)
    .map((stretch) => ({ fromMs: Math.max(stretch.fromMs, toMs), toMs: stretch.toMs }));
  const isCovered = coverageOf(own.filter((block) => guardrails.has(block.signal) && block.arm === "candidate")) >= LEAST_COVERAGE;
  return { ...heard, unobservedPanes, observedMs: heard.observedMs + (isCovered && attempt.frozen === null ? input.paneMs : 0) };
}

function judgedGuardrails({ plan }: Attempt): ReadonlySet<string> {
  return new Set(plan.signals.filter(({ group, weight }) => group === "judge" && weight > 0).map(({ name }) => name));
}

/** (scored + abstained + failed) / sampled; 1 when nothing was sampled. */
function coverageOf(blocks: readonly Block[]): number {
  const sampled = blocks.reduce((sum, block) => sum + block.sampled, 0);
  return sampled === 0 ? 1 : blocks.reduce((sum, block) => sum + block.scored + block.abstained + block.failed, 0) / sampled;
}

function withRate(state: RouteState, { blocks, paneMs }: PaneInput): RouteState {
  const served = blocks.filter(({ exposure }) => exposure === "served");
  const { candidate, baseline } = callTotals(served);
  const { calls, ms } = state.callRate;
  return { ...state, callRate: { calls: calls * RATE_KEPT + candidate + baseline, ms: ms * RATE_KEPT + paneMs } };
}
