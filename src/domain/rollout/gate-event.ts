import type { AttemptRow, GateEvent, SignalEvidence } from "../../../topics/index.ts";
import { canonicalJson } from "./canonical-json.ts";
import type { Look } from "./look.ts";
import { candidatePpm } from "./routing-table.ts";
import { signalRows } from "./signal-rows.ts";
import { type Attempt, conditionOf, type RouteState } from "./state.ts";

/** What the reducer cannot compute itself. */
export interface ReducerDeps {
  /** Hex SHA-256 of a text's UTF-8 bytes. */
  readonly sha256: (text: string) => string;
  readonly codeVersion: string;
}

/** What an event says beside the states before and after it. */
export interface Telling {
  readonly action: GateEvent["action"];
  readonly reasons: readonly string[];
  readonly message: string;
  readonly actor: string;
  readonly withoutProof: boolean;
  /** The evidence that was looked at; null for what was decided without a look. */
  readonly look: Look | null;
  /** Evidence of the drift watch, which looks at other things; null: that of `look`. */
  readonly rows: readonly SignalEvidence[] | null;
  /** Spec that the event is about, when there is no attempt yet. */
  readonly about: { readonly rollout: string; readonly baseline: string; readonly candidate: string; readonly specDigest: string } | null;
  readonly setAsidePanes: readonly number[];
  /** Row of the ledger, when the event starts or ends an attempt. */
  readonly row: AttemptRow | null;
  /** Position among the events of one input, from 0. */
  readonly index: number;
}

/** Id of an event: a function of the route and of the input that led to it, so that a replay gives the same. */
export function eventId(route: string, seq: number, index: number, deps: ReducerDeps): string {
  return deps.sha256(`gate-event\u0000${route}\u0000${seq}\u0000${index}`).slice(0, 32);
}

/**
 * The event of a decision, chained to the route's previous one.
 *
 * @param before state that the decision was taken in
 * @param after state that it leads to, epoch included
 */
export function gateEvent(before: RouteState, after: RouteState, telling: Telling, deps: ReducerDeps): GateEvent {
  const attempt = after.current;
  const was = isSame(before.current, attempt) ? before.current : null;
  const subject = telling.about === null ? attempt : null;
  const from = was ?? (subject === null ? attempt : null);
  const event: GateEvent = {
    id: eventId(after.route, after.seq, telling.index, deps),
    atMs: after.atMs,
    route: after.route,
    ...namesOf(attempt, telling),
    attempt: subject?.attempt ?? 0,
    action: telling.action,
    fromPhase: placeOf(from).phase,
    fromStep: placeOf(from).step,
    fromSharePpm: placeOf(from).sharePpm,
    toPhase: placeOf(attempt).phase,
    toStep: placeOf(attempt).step,
    toSharePpm: placeOf(attempt).sharePpm,
    condition: attempt === null ? "progressing" : conditionOf(attempt),
    reasons: [...telling.reasons],
    gates: (telling.look?.outcomes ?? []).map(({ gate, verdict, reasons }) => ({ gate, verdict, reasons: [...reasons] })),
    actor: telling.actor,
    arm: "candidate",
    epoch: after.epoch,
    advanceWithoutProof: telling.withoutProof,
    alpha: subject?.plan.alpha ?? 0,
    alphaAdvance: subject === null ? 0 : alphaAdvanceOf(subject),
    logA: telling.look?.crossing.logA ?? 0,
    logAMinus: telling.look?.crossing.logAMinus ?? 0,
    signals: telling.rows === null ? evidenceOf(telling.look, was) : [...telling.rows],
    paneStartMs: Math.max(0, was?.newestPane.calls ?? 0),
    watermarkMs: was?.watermarkMs ?? 0,
    evidenceSeq: after.seq,
    setAsidePanes: [...telling.setAsidePanes],
    message: telling.message,
    codeVersion: deps.codeVersion,
    previousHash: before.lastHash,
    hash: "",
    ledger: telling.row,
    sampleRequestIds: null,
  };
  return { ...event, hash: hashOf(event, deps) };
}

function isSame(one: Attempt | null, other: Attempt | null): boolean {
  return one !== null && other !== null && one.attempt === other.attempt && one.plan.rollout === other.plan.rollout;
}

function placeOf(attempt: Attempt | null): { readonly phase: GateEvent["toPhase"]; readonly step: number; readonly sharePpm: number } {
  return attempt === null ? { phase: "pending", step: -1, sharePpm: 0 } : { phase: attempt.phase, step: attempt.step, sharePpm: candidatePpm(attempt) };
}

function namesOf(attempt: Attempt | null, { about }: Telling): Pick<GateEvent, "rollout" | "baseline" | "candidate" | "specDigest"> {
  if (about !== null) return about;
  if (attempt === null) return { rollout: "", baseline: "", candidate: "", specDigest: "" };
  const { rollout, baseline, candidate } = attempt.plan;
  return { rollout, baseline, candidate, specDigest: attempt.specDigest };
}

function evidenceOf(look: Look | null, attempt: Attempt | null): SignalEvidence[] {
  return look === null || attempt === null ? [] : look.assessments.flatMap((found) => signalRows(found, attempt, look));
}

/** Hash of an event: SHA-256 of its canonical JSON without the field `hash`. */
export function hashOf(event: GateEvent, deps: Pick<ReducerDeps, "sha256">): string {
  const { hash: _hash, ...rest } = event;
  return deps.sha256(canonicalJson(rest));
}

/** alpha to advance of an attempt: half of that of the one before. */
export const alphaAdvanceOf = (attempt: Attempt): number => attempt.plan.alphaAdvance / 2 ** attempt.halvings;
