import { timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { type Assignment, assign } from "../../../domain/routing/assign.ts";
import type { EffectiveTable } from "../../../domain/routing/effective-table.ts";
import { headerOf } from "../http/headers.ts";
import { type Caller, sha256 } from "./callers.ts";

/** The version that a request asks for by `x-headgate-pin`; null: none. */
export type Pin = { readonly kind: "none" } | { readonly kind: "pinned"; readonly version: string } | { readonly kind: "forbidden" };

/**
 * Reads a pin. It is granted to a caller whose key may pin, or to whoever knows the secret (`x-headgate-pin-secret`).
 *
 * @param secretHash SHA-256 of the secret, 64 hex digits; null: there is none
 */
export function pinOf(headers: IncomingHttpHeaders, caller: Caller, secretHash: string | null): Pin {
  const version = headerOf(headers, "x-headgate-pin");
  if (version === undefined) return { kind: "none" };
  const secret = headerOf(headers, "x-headgate-pin-secret");
  const knowsSecret = secretHash !== null && secret !== undefined && timingSafeEqual(Buffer.from(secretHash, "hex"), sha256(secret));
  return caller.mayPin || knowsSecret ? { kind: "pinned", version } : { kind: "forbidden" };
}

/**
 * The assignment of a pinned call: the version itself, on nobody's arm and never sampled. A hold (brake, staleness) keeps its promise here too: only the
 * baseline can be pinned then.
 *
 * @returns null when the route has no such version now
 */
export function assignPinned(effective: EffectiveTable, subject: string, version: string): Assignment | null {
  const { versions, baseline } = effective.routeTable;
  const found = effective.hold === null || version === baseline.name ? versions.get(version) : undefined;
  return found === undefined ? null : { ...assign(effective, subject), version: found, arm: "none", samplePpm: 0 };
}
