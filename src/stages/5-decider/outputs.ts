import { type EvidenceEntry, evidence, gateEvents, rolloutState, routing, type StateEntry } from "../../../topics/index.ts";
import { INPUT_LAYOUT, type ReducerInput } from "../../domain/rollout/input.ts";
import { waitingSaid } from "../../domain/rollout/queue.ts";
import { conditionOf, type RouteState } from "../../domain/rollout/state.ts";
import type { Decision, Step } from "../../domain/rollout/step.ts";
import { watchSaid } from "../../domain/rollout/watch-said.ts";
import type { Outgoing } from "../../runtime/port.ts";
import { cloudEventHeaders } from "./cloud-event.ts";
import { exposureOf } from "./fleet-exposure.ts";

/** Records of one consumed input: the journal entry and what was decided, in this order. */
export function recordsOf(step: Step, input: ReducerInput, partition: number): Outgoing[] {
  const { state, decisions } = step;
  const entry: EvidenceEntry = {
    route: state.route,
    seq: state.seq,
    atMs: input.atMs,
    kind: input.kind,
    input: JSON.stringify(input),
    layout: INPUT_LAYOUT,
    gateEventIds: decisions.flatMap((decision) => (decision.kind === "gate-event" ? [decision.event.id] : [])),
    epoch: state.epoch,
  };
  const key = state.route;
  return [{ topic: evidence, partition, key, value: entry }, ...decisions.map((decision) => decided(decision, key, partition))] as Outgoing[];
}

function decided(decision: Decision, key: string, partition: number): Outgoing {
  if (decision.kind === "routing") return { topic: routing, partition, key, value: decision.table } as Outgoing;
  return { topic: gateEvents, partition, key, value: decision.event, headers: cloudEventHeaders(decision.event) } as Outgoing;
}

/** The state of a route with its public head. */
export function stateRecord(state: RouteState, partition: number): Outgoing {
  const { current } = state;
  const value: StateEntry = {
    route: state.route,
    seq: state.seq,
    atMs: state.atMs,
    rollout: current?.plan.rollout ?? "",
    attempt: current?.attempt ?? 0,
    phase: current?.phase ?? "pending",
    condition: current === null ? "progressing" : conditionOf(current),
    step: current?.step ?? -1,
    epoch: state.epoch,
    reasons: [...(current?.reasons ?? [])],
    message: current?.message ?? "",
    waiting: waitingSaid(state.waiting),
    ...exposureOf(state),
    watch: watchSaid(state),
    layout: state.layout,
    state: JSON.stringify(state),
  };
  return { topic: rolloutState, partition, key: state.route, value } as Outgoing;
}
