import { requests } from "./1-requests.ts";
import { samples } from "./2-samples.ts";
import { scores } from "./3-scores.ts";
import { partials } from "./4-partials.ts";
import { aggregates } from "./5-aggregates.ts";
import { windows } from "./6-windows.ts";
import { gateEvents } from "./7-gate-events.ts";
import { routing } from "./8-routing.ts";
import { brakes } from "./brakes.ts";
import { catalog } from "./catalog.ts";
import { commands } from "./commands.ts";
import type { Topic } from "./define.ts";
import { evidence } from "./evidence.ts";
import { fleet } from "./fleet.ts";
import { outcomes } from "./outcomes.ts";
import { rolloutState } from "./rollout-state.ts";
import { rollouts } from "./rollouts.ts";

export type { Request } from "./1-requests.ts";
export type { Sample } from "./2-samples.ts";
export type { Score } from "./3-scores.ts";
export type { Entry, Frame } from "./4-partials.ts";
export type { Aggregate } from "./5-aggregates.ts";
export type { WindowView } from "./6-windows.ts";
export type { AttemptRow, Condition, GateEvent, Phase, SignalEvidence, Verdict } from "./7-gate-events.ts";
export type { RoutingTable, SchemaCheck, ServedVersion } from "./8-routing.ts";
export type { Brake } from "./brakes.ts";
export type { CatalogEntry } from "./catalog.ts";
export type { Command } from "./commands.ts";
export type { Topic, ValueOf } from "./define.ts";
export type { EvidenceEntry } from "./evidence.ts";
export type { FleetReport } from "./fleet.ts";
export type { Outcome } from "./outcomes.ts";
export type { RolloutSpec, SignalSpec } from "./rollout-spec.ts";
export type { StateEntry } from "./rollout-state.ts";
export type { DeclaredRollout } from "./rollouts.ts";
export {
  aggregates,
  brakes,
  catalog,
  commands,
  evidence,
  fleet,
  gateEvents,
  outcomes,
  partials,
  requests,
  rolloutState,
  rollouts,
  routing,
  samples,
  scores,
  windows,
};

/** Every topic, in the order in which data flows; the side channels last. */
export const allTopics: readonly Topic[] = [
  requests,
  samples,
  scores,
  outcomes,
  partials,
  aggregates,
  windows,
  gateEvents,
  routing,
  rollouts,
  commands,
  brakes,
  evidence,
  rolloutState,
  fleet,
  catalog,
];

/** Topics whose records can be dead-lettered have a `<topic>.dlq` beside them: everything that a role consumes in tasks. */
export const deadLettered: readonly Topic[] = [requests, samples, scores, outcomes, partials, aggregates, rollouts, commands];
