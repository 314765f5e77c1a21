import { brakes, routing } from "../../../../topics/index.ts";
import type { LogClient } from "../../../runtime/port.ts";
import { steadyNowMs } from "../../../runtime/steady-clock.ts";
import type { LiveRoutes } from "./live-routes.ts";

/**
 * Keeps the live routes at the heads of `routing` and `brakes`. Nothing of either is applied before both are restored, brakes first: a
 * table must not be obeyed for a moment without the brake that stops it.
 *
 * @returns a function that stops following; the routes stay as they are
 */
export async function followTables(client: LogClient, routes: LiveRoutes): Promise<() => Promise<void>> {
  // A restored table held the head of its topic at some time after this, also when it was empty and nothing was fetched yet.
  const openedAtMs = steadyNowMs();
  const tables = client.openTable(routing);
  const stops = client.openTable(brakes);
  const close = async () => {
    await Promise.allSettled([tables.close(), stops.close()]);
  };
  let isRestored = false;
  // A deleted table or brake changes nothing: epochs only grow, and an attempt's brake is never lifted.
  tables.onChange((_, table) => {
    if (isRestored && table !== undefined) routes.applyTable(table);
  });
  stops.onChange((_, brake) => {
    if (isRestored && brake !== undefined) routes.applyBrake(brake);
  });
  try {
    await Promise.all([tables.ready, stops.ready]);
  } catch (error) {
    await close();
    throw error;
  }
  isRestored = true;
  for (const [, brake] of stops.entries()) routes.applyBrake(brake);
  // Fresh is what both were fetched at: a gateway that cannot hear of brakes must not trust its table for longer than one that cannot hear of tables.
  routes.followFreshness(() => Math.max(openedAtMs, Math.min(tables.freshAtMs(), stops.freshAtMs())));
  for (const [, table] of tables.entries()) routes.applyTable(table);
  return close;
}
