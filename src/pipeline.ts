import type { Topic } from "../topics/index.ts";
import {
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
} from "../topics/index.ts";

/** One worker and what flows through it. */
export interface Stage {
  readonly stage: string;
  readonly reads: readonly Topic[];
  readonly writes: readonly Topic[];
}

/** The whole system on one screen, in the order in which data flows. A test checks that nothing else flows back. */
export const pipeline: readonly Stage[] = [
  { stage: "gateway", reads: [routing, brakes], writes: [requests, outcomes, fleet] },
  { stage: "sampler", reads: [requests, routing], writes: [samples, partials] },
  { stage: "judge", reads: [samples, catalog], writes: [scores] },
  { stage: "aggregator (fold)", reads: [scores, outcomes], writes: [partials] },
  { stage: "aggregator (window)", reads: [partials, routing], writes: [aggregates, windows] },
  { stage: "decider", reads: [aggregates, commands, rollouts, brakes, fleet], writes: [evidence, gateEvents, rolloutState, routing] },
  { stage: "control", reads: [rollouts, windows, gateEvents, rolloutState, routing, fleet, brakes, catalog], writes: [rollouts, commands, brakes, catalog] },
  { stage: "prober", reads: [rollouts, routing], writes: [commands] },
];
