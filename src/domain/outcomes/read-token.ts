import type { Opened } from "../../runtime/sealed-tokens.ts";
import { decodeToken, type TokenCall } from "./token.ts";

/** How long after the start of its call an outcome is taken, ms: as long as `outcomes` keeps its records. */
export const OUTCOME_LIFETIME_MS = 7 * 24 * 60 * 60 * 1000;

const refusals = {
  malformed: "is not an outcome token; send the value of the header x-headgate-outcome-token as it was received",
  broken: "was cut, changed or forged; send the value of the header x-headgate-outcome-token as it was received",
  unknown_key: "was sealed under a key that is not known here; HEADGATE_TOKEN_KEY must hold the same keys on all gateways and aggregators",
  unknown_layout: "was sealed by another version of headgate; run the same version on all gateways and aggregators",
  expired: "has expired: outcomes are taken for 7 days after the start of their call",
} as const;

export type TokenRefusal = keyof typeof refusals;
export type TokenRead = { readonly kind: "valid"; readonly call: TokenCall } | { readonly kind: "refused"; readonly why: TokenRefusal };

/** What is wrong with a token, and what to do, to be put behind the name of the field. */
export const tokenProblem = (why: TokenRefusal): string => refusals[why];

/**
 * Reads the call out of an opened token.
 *
 * @param nowMs time at which the outcome was told, epoch ms
 */
export function readToken(opened: Opened, nowMs: number): TokenRead {
  if (opened.kind === "refused") return opened;
  const call = decodeToken(opened.bytes);
  if (call === null) return { kind: "refused", why: "unknown_layout" };
  return nowMs - call.startedAtMs > OUTCOME_LIFETIME_MS ? { kind: "refused", why: "expired" } : { kind: "valid", call };
}
