import type { GateEvent, RoutingTable } from "../../../topics/index.ts";
import { gateEvent, type ReducerDeps, type Telling } from "./gate-event.ts";
import type { FleetExposure } from "./input.ts";
import { book, failuresSaid } from "./ledger.ts";
import { callsPerMinute, routingTable, samplePpmOf, valueCapsOf } from "./routing-table.ts";
import type { Attempt, RouteState } from "./state.ts";

/** What the reducer decided, in order: an event, or a table that gateways obey. */
export type Decision = { readonly kind: "gate-event"; readonly event: GateEvent } | { readonly kind: "routing"; readonly table: RoutingTable };

export interface Step {
  readonly state: RouteState;
  readonly decisions: readonly Decision[];
}

/** What all parts of the reducer are given. `atMs` never runs backwards. */
export interface Moment {
  readonly atMs: number;
  readonly seenEpoch: number;
  /** Null: no cap on candidate traffic over all routes. */
  readonly exposure: FleetExposure | null;
  readonly deps: ReducerDeps;
}

/** Reason of a table that is published again because the topic has lost it. */
export const TABLE_LOST = "table_lost";

export const unchanged = (state: RouteState): Step => ({ state, decisions: [] });

/** An epoch that is newer than anything seen (DESIGN.md section 3): it only grows, also after a state was lost. */
function nextEpoch(state: RouteState, { atMs, seenEpoch }: Moment): number {
  return Math.max(state.epoch, seenEpoch, atMs) + 1;
}

export type Told = Pick<Telling, "action" | "reasons" | "message"> &
  Partial<Omit<Telling, "index" | "row">> & {
    /** Why somebody started an attempt, for its row in the ledger. */
    readonly why?: string;
  };

/** Tells a change that moves no traffic: an event in the present epoch. */
export function tell(before: Step, after: RouteState, told: Told, moment: Moment): Step {
  return commit(before, after, told, moment, false);
}

/** Tells a change and publishes the table that carries it out. */
export function publish(before: Step, after: RouteState, told: Told, moment: Moment): Step {
  return commit(before, after, told, moment, true);
}

function commit(before: Step, after: RouteState, told: Told, moment: Moment, publishes: boolean): Step {
  const { atMs, deps } = moment;
  // Events of one input are numbered; they share the sequence number that the input will get.
  const index = before.decisions.filter(({ kind }) => kind === "gate-event").length;
  const epoch = publishes ? nextEpoch(before.state, moment) : before.state.epoch;
  const { why = "", ...rest } = told;
  const unsaid = { actor: "headgate", withoutProof: false, look: null, about: null, setAsidePanes: [], rows: null, ...rest };
  const { action, reasons, actor } = unsaid;
  const isAttempts = unsaid.about === null;
  const booked = isAttempts ? book(before.state, after, { action, reasons, actor, why, atMs, sha256: deps.sha256 }) : null;
  const failures = booked?.row ? failuresSaid(booked.row.failedBefore) : null;
  const telling: Telling = { ...unsaid, message: failures === null ? told.message : `${told.message}; ${failures}`, row: booked?.row ?? null, index };
  const { ledger, pairs } = booked ?? after;
  const stamped: RouteState = { ...after, ledger, pairs, epoch, seq: before.state.seq, atMs };
  const numbered = { ...stamped, seq: stamped.seq + 1 };
  const current = stamped.current === null ? null : { ...stamped.current, ...(isAttempts ? { message: telling.message } : {}) };
  const event = gateEvent(before.state, { ...numbered, current }, telling, deps);
  const state: RouteState = { ...stamped, current, lastEventId: event.id, lastHash: event.hash };
  const decisions: Decision[] = [...before.decisions, { kind: "gate-event", event }];
  if (publishes && current !== null) {
    decisions.push({ kind: "routing", table: routingTable(state, current, { reason: told.reasons.join(","), gateEventId: event.id, atMs }) });
    return { state: { ...state, sampling: samplingOf(state, current, atMs) }, decisions };
  }
  return { state, decisions };
}

function samplingOf(state: RouteState, attempt: Attempt, atMs: number): RouteState["sampling"] {
  return { atMs, callsPerMinute: callsPerMinute(state, attempt.plan.paneMs), ppm: samplePpmOf(state, attempt), caps: valueCapsOf(attempt).length };
}

/** Publishes the present step again with the sampling rates of now: a new epoch, since an inclusion probability is a function of it. */
export function publishRates(before: Step, attempt: Attempt, moment: Moment, reason: "sampling_rates" | typeof TABLE_LOST = "sampling_rates"): Step {
  const { atMs } = moment;
  const rated: RouteState = { ...before.state, atMs, epoch: nextEpoch(before.state, moment) };
  const table = routingTable(rated, attempt, { reason, gateEventId: rated.lastEventId, atMs });
  const state = { ...rated, sampling: samplingOf(rated, attempt, atMs) };
  return { state, decisions: [...before.decisions, { kind: "routing", table }] };
}
