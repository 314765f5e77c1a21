import type { StateEntry } from "../../../topics/index.ts";
import type { FleetExposure } from "../../domain/rollout/input.ts";
import { callsPerMinute, candidatePpm } from "../../domain/rollout/routing-table.ts";
import { isRunning, type RouteState } from "../../domain/rollout/state.ts";
import type { Table } from "../../runtime/port.ts";

type Exposed = Pick<StateEntry, "candidatePpm" | "callsPerMinute">;

/** The cap of candidate traffic over all routes, and the heads of all routes' states as deciders committed them. */
export interface ExposureCap {
  readonly mostPpm: number;
  readonly states: Table<Exposed>;
}

/** Fields of `rollout-state` that the cap needs. */
export const exposureFields = ["route", "candidatePpm", "callsPerMinute"] as const;

/** What a route adds to the traffic of candidates and of all. */
export function exposureOf(state: RouteState): Exposed {
  const { current } = state;
  if (current === null) return { candidatePpm: 0, callsPerMinute: 0 };
  return { candidatePpm: isRunning(current) ? candidatePpm(current) : 0, callsPerMinute: Math.round(callsPerMinute(state, current.plan.paneMs) ?? 0) };
}

/**
 * Candidate traffic beside a route: of this task's routes as they stand, of all others as last committed. A decider of another
 * partition may go up at the same moment; both then exceed the cap by at most one step, and hold.
 */
export function exposureBeside(route: string, { mostPpm, states }: ExposureCap, own: ReadonlyMap<string, RouteState>): FleetExposure {
  let [candidatePerMinute, calls] = [0, 0];
  const add = (exposed: Exposed) => {
    candidatePerMinute += (exposed.callsPerMinute * exposed.candidatePpm) / 1e6;
    calls += exposed.callsPerMinute;
  };
  for (const [name, state] of own) if (name !== route) add(exposureOf(state));
  for (const [name, entry] of states.entries()) if (name !== route && !own.has(name)) add(entry);
  return { mostPpm, candidatePerMinute, callsPerMinute: calls };
}
