import {
  type Brake,
  brakes,
  type CatalogEntry,
  catalog,
  type DeclaredRollout,
  type FleetReport,
  fleet,
  type GateEvent,
  gateEvents,
  type RoutingTable,
  rolloutState,
  rollouts,
  routing,
  type StateEntry,
  type WindowView,
  windows,
} from "../../../topics/index.ts";
import type { LogClient, Table } from "../../runtime/port.ts";
import { GateEventMemory } from "./gate-event-memory.ts";

/** A change that subscribers are told of. */
export type Change =
  | { readonly kind: "gate-event"; readonly route: string; readonly value: GateEvent }
  | { readonly kind: "routing"; readonly route: string; readonly value: RoutingTable }
  | { readonly kind: "rollout-state"; readonly route: string; readonly value: Omit<StateEntry, "state"> }
  | { readonly kind: "brake"; readonly route: string; readonly value: Brake };

/** What control knows: the compacted topics as tables, and the newest gate events of each route. */
export interface Views {
  readonly rollouts: Table<DeclaredRollout>;
  readonly states: Table<StateEntry>;
  readonly windows: Table<WindowView>;
  readonly routing: Table<RoutingTable>;
  readonly fleet: Table<FleetReport>;
  readonly brakes: Table<Brake>;
  readonly catalog: Table<CatalogEntry>;
  readonly gateEvents: GateEventMemory;
  /** True once everything that was in the topics at start has been read. */
  isReady(): boolean;
  /** Called for each change after the start; a listener must not throw. */
  onChange(listener: (change: Change) => void): void;
  /**
   * Waits until a condition on the views holds, looking again after each change of a view.
   * @param timeoutMs how long at most, in ms
   * @returns whether it came to hold
   */
  until(holds: () => boolean, timeoutMs: number): Promise<boolean>;
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** Opens every view of control on one connection. */
export function openViews(log: LogClient, onError: (error: Error) => void): Views {
  const changes = new Set<(change: Change) => void>();
  const waiting = new Set<() => void>();
  let isReady = false;

  const look = () => {
    for (const check of waiting) check();
  };
  const tell = (change: Change) => {
    if (isReady) for (const listener of changes) listener(change);
  };

  const tables = {
    rollouts: log.openTable(rollouts),
    states: log.openTable(rolloutState),
    windows: log.openTable(windows),
    routing: log.openTable(routing),
    fleet: log.openTable(fleet),
    brakes: log.openTable(brakes),
    catalog: log.openTable(catalog),
  };
  tables.routing.onChange((route, value) => value !== undefined && tell({ kind: "routing", route, value }));
  tables.brakes.onChange((route, value) => value !== undefined && tell({ kind: "brake", route, value }));
  tables.states.onChange((route, value) => value !== undefined && tell({ kind: "rollout-state", route, value: headOf(value) }));
  for (const table of Object.values(tables) as Table<unknown>[]) table.onChange(look);

  const memory = new GateEventMemory();
  const follower = log.follow([gateEvents], {
    from: "beginning",
    onRecord: ({ value }) => {
      const event = value as GateEvent | null;
      if (event === null || !memory.remember(event)) return;
      tell({ kind: "gate-event", route: event.route, value: event });
      look();
    },
    onError,
  });

  const ready = Promise.all([...Object.values(tables).map((table) => table.ready), follower.caughtUp]).then(() => {
    isReady = true;
  });

  return {
    ...tables,
    gateEvents: memory,
    ready,
    isReady: () => isReady,
    onChange: (listener) => void changes.add(listener),
    until: (holds, timeoutMs) => untilHolds(waiting, holds, timeoutMs),
    close: async () => {
      await Promise.all([follower.close(), ...Object.values(tables).map((table) => table.close())]);
    },
  };
}

/** The public part of a state entry: `state` is the reducer's own and may be 128 kB. */
export function headOf(entry: StateEntry): Omit<StateEntry, "state"> {
  const { state: _private, ...head } = entry;
  return head;
}

function untilHolds(waiting: Set<() => void>, holds: () => boolean, timeoutMs: number): Promise<boolean> {
  if (holds()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (held: boolean) => {
      clearTimeout(timer);
      waiting.delete(check);
      resolve(held);
    };
    const check = () => {
      if (holds()) end(true);
    };
    const timer = setTimeout(() => end(false), timeoutMs);
    waiting.add(check);
  });
}
