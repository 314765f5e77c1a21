import type { Request, RoutingTable } from "../../../topics/index.ts";

type Terms = Pick<RoutingTable, "rollout" | "attempt" | "slices" | "valueCaps">;

/**
 * What a route's table settles for the attempt of a call: the slices that are counted apart and the caps of quantities, both fixed for the attempt, so that a
 * newer table of it says the same. Nothing when the table at hand is of another attempt, or the call of none that it knows.
 */
export function termsOf(call: Pick<Request, "rollout" | "attempt">, table: Terms | undefined): Pick<Terms, "slices" | "valueCaps"> {
  const isSame = table !== undefined && table.rollout === call.rollout && table.attempt === call.attempt;
  return isSame ? table : { slices: [], valueCaps: [] };
}

/** The slices of a call that are counted apart, each once: only declared ones, so that a caller who puts ids into names cannot multiply series. */
export function declaredSlices(given: readonly string[], { slices }: Pick<Terms, "slices">): string[] {
  return given.length === 0 ? [] : [...new Set(slices)].filter((name) => name !== "all" && given.includes(name));
}
