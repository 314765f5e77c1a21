import type { AttemptRow, GateEvent } from "../../../topics/index.ts";
import { canonicalJson } from "./canonical-json.ts";
import { assessAll } from "./evidence/assess.ts";
import type { RolloutPlan } from "./spec/plan.ts";
import type { Attempt, RouteState } from "./state.ts";

/** Rows that the state keeps; older ones are in the gate events of the attempt's start and end, so nothing is lost. */
const MOST_ROWS = 32;
/** Number of an attempt of one pair of versions from which on a person must approve its start (statistics.md section 2). */
export const APPROVAL_FROM = 4;
const MOST_ANCESTORS = 8;

/** What was tried of one candidate against one baseline. */
export interface PairCount {
  readonly attempts: number;
  /** Edits of margins, weights or alpha while an attempt ran: each spends alpha to advance like an attempt. */
  readonly edits: number;
  /** Attempts that did not end in `done`, or were undone. */
  readonly failed: number;
}

export type Pairs = Readonly<Record<string, PairCount>>;

const never: PairCount = { attempts: 0, edits: 0, failed: 0 };
export const pairOf = ({ baseline, candidate }: Pick<RolloutPlan, "baseline" | "candidate">): string => JSON.stringify([baseline, candidate]);

export function countOf(state: Pick<RouteState, "pairs">, plan: Pick<RolloutPlan, "baseline" | "candidate">): PairCount {
  const pair = pairOf(plan);
  return Object.hasOwn(state.pairs, pair) ? (state.pairs[pair] ?? never) : never;
}

/** How often alpha to advance has been halved for the next attempt: once for each attempt and each edit before it. */
export const halvingsOf = ({ attempts, edits }: PairCount): number => attempts + edits;

/**
 * Versions that this candidate probably descends from: other candidates that failed against the same baseline. They are derived
 * and not declared, since who changes a name to start afresh would not declare it. Oldest first.
 */
export function ancestorsOf(state: Pick<RouteState, "pairs">, plan: Pick<RolloutPlan, "baseline" | "candidate">): string[] {
  return Object.entries(state.pairs)
    .flatMap(([pair, { failed }]) => {
      const [baseline, candidate] = JSON.parse(pair) as [string, string];
      return failed > 0 && baseline === plan.baseline && candidate !== plan.candidate ? [candidate] : [];
    })
    .slice(-MOST_ANCESTORS);
}

/** "after 2 failed attempts of this version"; null when there was none. */
export function failuresSaid(failed: number): string | null {
  return failed === 0 ? null : `after ${failed} failed attempt${failed === 1 ? "" : "s"} of this version`;
}

/** Digests of what an attempt is judged by: its margins with alpha, and its evaluators. */
function digestsOf(plan: RolloutPlan, sha256: (text: string) => string): Pick<AttemptRow, "marginsDigest" | "evaluatorsDigest"> {
  const margins = plan.signals.map(({ name, tier, margin, shift, floor, isFloorStrict, judgeJ, weight, onBreach }) => {
    return { name, tier, margin, shift, floor, isFloorStrict, judgeJ, weight, onBreach };
  });
  return { marginsDigest: sha256(canonicalJson({ margins, alpha: plan.alpha })), evaluatorsDigest: sha256(canonicalJson(plan.rubrics)) };
}

interface About {
  readonly action: GateEvent["action"];
  readonly reasons: readonly string[];
  readonly actor: string;
  readonly why: string;
  readonly atMs: number;
  readonly sha256: (text: string) => string;
}

/** The ledger after an event, with the row that the event carries: null when it neither starts nor ends an attempt. */
export interface Booked {
  readonly ledger: readonly AttemptRow[];
  readonly pairs: Pairs;
  readonly row: AttemptRow | null;
}

/**
 * Books the start or the end of an attempt. The row is written at the start, so that an attempt that is aborted has one too;
 * its end fills in how it ended and the final evidence of each signal.
 *
 * @param before state before the event; its counts do not know a starting attempt's failure yet
 * @param after state after it
 */
export function book(before: RouteState, after: RouteState, about: About): Booked {
  const nothing: Booked = { ledger: after.ledger, pairs: after.pairs, row: null };
  const attempt = after.current;
  if (attempt === null) return nothing;
  if (about.action === "started") {
    const row = opened(before, attempt, about);
    return { ...nothing, ledger: [...after.ledger, row].slice(-MOST_ROWS), row };
  }
  if (about.action !== "rolled_back" && about.action !== "done" && about.action !== "undone") return nothing;
  // After a later attempt failed, `undone` is about an earlier one: its row is not this attempt's.
  if (about.action === "undone" && before.current?.phase !== "done") return nothing;
  const isMine = (row: AttemptRow) => row.rollout === attempt.plan.rollout && row.attempt === attempt.attempt;
  const known = after.ledger.findLast(isMine);
  if (known === undefined) return nothing;
  const row: AttemptRow = {
    ...known,
    ...digestsOf(attempt.plan, about.sha256),
    alpha: attempt.plan.alpha,
    alphaAdvance: attempt.plan.alphaAdvance / 2 ** attempt.halvings,
    edits: attempt.edits,
    endedAtMs: about.atMs,
    end: about.action,
    endReasons: [...about.reasons],
    endedBy: about.actor,
    finalLogE: finalOf(attempt),
  };
  const pair = pairOf(attempt.plan);
  const count = countOf(after, attempt.plan);
  const pairs = about.action === "done" ? after.pairs : { ...after.pairs, [pair]: { ...count, failed: count.failed + 1 } };
  return { ledger: after.ledger.map((one) => (isMine(one) ? row : one)), pairs, row };
}

function opened(before: RouteState, attempt: Attempt, about: About): AttemptRow {
  const { plan, specDigest } = attempt;
  const { attempts, failed } = countOf(before, plan);
  return {
    rollout: plan.rollout,
    attempt: attempt.attempt,
    baseline: plan.baseline,
    candidate: plan.candidate,
    number: attempts + 1,
    failedBefore: failed,
    ancestors: ancestorsOf(before, plan),
    alpha: plan.alpha,
    alphaAdvance: plan.alphaAdvance / 2 ** attempt.halvings,
    edits: 0,
    specDigest,
    ...digestsOf(plan, about.sha256),
    actor: about.actor,
    why: about.why,
    startedAtMs: about.atMs,
    endedAtMs: null,
    end: null,
    endReasons: [],
    endedBy: "",
    finalLogE: [],
  };
}

/** The evidence of harm of each guardrail under the present margins, nano-nats; empty when it cannot be evaluated. */
function finalOf(attempt: Attempt): AttemptRow["finalLogE"] {
  try {
    return assessAll(attempt)
      .filter(({ weight, edition }) => weight > 0 && edition === 0)
      .map(({ planned, logE }) => ({ signal: planned.name, logE }));
  } catch {
    // What was wrong is the attempt's `evaluationError`, which every event of it names.
    return [];
  }
}
