import { type BrakeBook, isBraked } from "./brake-book.ts";
import type { RouteTable } from "./route-table.ts";

/** Why a gateway keeps everybody on the baseline although the table says otherwise. */
export type Hold = "braked" | "stale" | "superseded";

/** A table together with what a gateway may do with it now. */
export interface EffectiveTable {
  readonly routeTable: RouteTable;
  /** null: the table is obeyed as it is. Otherwise everybody is served by the baseline and nothing is mirrored. */
  readonly hold: Hold | null;
}

/**
 * Whether the gateway has been without a successful fetch of its tables for too long to trust them.
 *
 * @param staleAfterMs 0: never stale
 * @param freshAtMs last successful fetch, epoch ms; 0 when there was none
 */
export function isStale(staleAfterMs: number, freshAtMs: number, nowMs: number): boolean {
  return staleAfterMs > 0 && nowMs - freshAtMs > staleAfterMs;
}

/**
 * What holds now for a route, from the newest table and brakes that this gateway has received. It can only lower exposure.
 *
 * @param about `superseded`: a newer table that asks for less was received and could not be obeyed
 */
export function effectiveTable(
  routeTable: RouteTable,
  about: { readonly brakes: BrakeBook; readonly freshAtMs: number; readonly nowMs: number; readonly superseded: boolean },
): EffectiveTable {
  if (isBraked(about.brakes, routeTable.table)) return { routeTable, hold: "braked" };
  if (about.superseded) return { routeTable, hold: "superseded" };
  if (isStale(routeTable.table.staleAfterMs, about.freshAtMs, about.nowMs)) return { routeTable, hold: "stale" };
  return { routeTable, hold: null };
}
