import { encodeToken } from "../../../domain/outcomes/token.ts";
import type { Assignment } from "../../../domain/routing/assign.ts";
import type { EffectiveTable } from "../../../domain/routing/effective-table.ts";
import { declaredSlices } from "../../../domain/signals/attempt-terms.ts";
import type { SealedTokens } from "../../../runtime/sealed-tokens.ts";
import type { Call } from "./record.ts";

/** Name of the response header that carries it. */
const OUTCOME_TOKEN_HEADER = "x-headgate-outcome-token";

/**
 * The header with which a caller can tell later what became of a call; none without a key. The token holds what the outcome is counted under, and
 * of the caller's slices only those that the route counts apart.
 *
 * @param effective the table that the assignment was made from; null when the configuration alone serves the route
 */
export function outcomeTokenHeader(
  tokens: SealedTokens | null,
  about: { readonly call: Call; readonly assignment: Assignment; readonly effective: EffectiveTable | null },
): Readonly<Record<string, string>> {
  // A pinned call is nobody's evidence, and neither is what becomes of it.
  if (tokens === null || about.call.pin !== null) return {};
  const { requestId, route, subject, slices, startedAtMs } = about.call;
  const { rollout, attempt, step, epoch, arm, version, exposure, paneMs } = about.assignment;
  const table = about.effective?.routeTable.table ?? { slices: [] };
  const named = { requestId, route, subject, slices: declaredSlices(slices, table), startedAtMs };
  return { [OUTCOME_TOKEN_HEADER]: tokens.seal(encodeToken({ ...named, rollout, attempt, step, epoch, arm, version: version.name, exposure, paneMs })) };
}
