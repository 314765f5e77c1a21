import type { Request, RoutingTable } from "../../../topics/index.ts";

/** Longest time that records wait for the table of their epoch, ms. */
export const TABLE_WAIT_MS = 5_000;

export const samplerTableFields = [
  "route",
  "epoch",
  "rollout",
  "attempt",
  "attemptStartedAtMs",
  "schemaCheck",
  "rubrics",
  "outcomes",
  "slices",
  "valueCaps",
] as const satisfies readonly (keyof RoutingTable)[];

/** What of a route's table the sampler needs. */
export type SamplerTable = Pick<RoutingTable, (typeof samplerTableFields)[number]>;

/**
 * Decides whether a call can be checked now. A gateway may have obeyed a table that this process has not received yet, so a call waits until the
 * table is at least as new as the call, for a bounded time; an epoch that did not arrive in time is not waited for again.
 */
export class TableGate {
  readonly #tableOf: (route: string) => SamplerTable | undefined;
  readonly #onTimeout: (route: string) => void;
  readonly #givenUp = new Map<string, number>();
  #waitingSinceMs: number | null = null;

  constructor(tableOf: (route: string) => SamplerTable | undefined, onTimeout: (route: string) => void) {
    this.#tableOf = tableOf;
    this.#onTimeout = onTimeout;
  }

  /** The table to check a call by; `wait` while a newer one should arrive. */
  tableFor({ route, epoch, kind }: Pick<Request, "route" | "epoch" | "kind">, nowMs: number): SamplerTable | undefined | "wait" {
    const table = this.#tableOf(route);
    const newest = Math.max(table?.epoch ?? 0, this.#givenUp.get(route) ?? 0);
    if (kind !== "call" || newest >= epoch) {
      this.#waitingSinceMs = null;
      return table;
    }
    this.#waitingSinceMs ??= nowMs;
    if (nowMs - this.#waitingSinceMs < TABLE_WAIT_MS) return "wait";
    this.#waitingSinceMs = null;
    this.#givenUp.set(route, epoch);
    this.#onTimeout(route);
    return table;
  }
}
