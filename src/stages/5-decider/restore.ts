import { type RoutingTable, rolloutState, routing, type StateEntry } from "../../../topics/index.ts";
import { type RouteState, STATE_LAYOUT } from "../../domain/rollout/state.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { LogClient } from "../../runtime/port.ts";

/** What the changelog says of a partition's routes. */
export interface Restored {
  readonly states: Map<string, RouteState>;
  /** Highest epoch that was ever published per route. */
  readonly epochs: Map<string, number>;
}

/**
 * Reads the state of a partition's routes up to everything that was committed before now. Called by a task after it has
 * fenced its predecessor, so that nothing can be added any more: a state that is older than its journal would decide twice.
 *
 * @throws {KnownError} LAYOUT_UNKNOWN: a newer version of headgate has written the state
 */
export async function restore(log: LogClient, partition: number): Promise<Restored> {
  const states = new Map<string, RouteState>();
  const epochs = new Map<string, number>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const follower = log.follow([rolloutState, routing], {
    from: "beginning",
    onError: failed.reject,
    onRecord: (record) => {
      if (record.partition !== partition || record.key === null) return;
      if (record.topic === routing.name) {
        const epoch = (record.value as RoutingTable | null)?.epoch ?? 0;
        epochs.set(record.key, Math.max(epochs.get(record.key) ?? 0, epoch));
      } else if (record.value === null) states.delete(record.key);
      else states.set(record.key, stateOf(record.value as StateEntry));
    },
  });
  try {
    await Promise.race([follower.caughtUp, failed.promise]);
  } finally {
    await follower.close();
  }
  return { states, epochs };
}

function stateOf(entry: StateEntry): RouteState {
  if (entry.layout === STATE_LAYOUT) return JSON.parse(entry.state) as RouteState;
  throw new KnownError("LAYOUT_UNKNOWN", `the state of route ${entry.route} has layout ${entry.layout}, and this version knows ${STATE_LAYOUT}`, {
    fix: "run the version of headgate that wrote it, or a newer one",
  });
}
