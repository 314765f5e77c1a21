import type { IncomingHttpHeaders } from "node:http";
import type { JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { type SliceRule, slicesByRules } from "../../../domain/routing/slice-rules.ts";
import type { GatewayConfig } from "../config.ts";
import { headerOf, textHeaderOf } from "../http/headers.ts";
import { namedConversation } from "./conversations.ts";
import type { KeyedHash } from "./keyed-hash.ts";
import { hexOf } from "./request-id.ts";

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

type NamedIn = { readonly headers: IncomingHttpHeaders; readonly request: JsonObject };
type Named = { readonly text: string } | { readonly hashed: string };
/** Finds the subject, hashed already, of the call whose stored response a request goes on with. */
export type KnownSubject = (request: JsonObject) => string | undefined;

/** Who is kept on one arm, as the caller named them; the request itself when they named nobody. Never logged as it is. */
function namedSubject(order: GatewayConfig["subject"], { headers, request }: NamedIn, known: KnownSubject): Named | undefined {
  for (const source of order) {
    if (source === "previous_response") {
      const hashed = known(request);
      if (hashed !== undefined) return { hashed };
      continue;
    }
    const found =
      source === "header" ? textHeaderOf(headers, "x-headgate-subject") : source === "conversation" ? namedConversation(request) : text(request[source]);
    if (found !== undefined) return { text: found };
  }
  return undefined;
}

/**
 * The subject of a call as everything after this sees it: HMAC-SHA256 under the gateways' common key, its first 128 bits as 32 hex digits.
 *
 * @param known for the source `previous_response`
 * @returns with whether anything named it: a request that nobody named is its own subject
 */
export function subjectOf(
  order: GatewayConfig["subject"],
  hash: KeyedHash,
  call: { readonly headers: IncomingHttpHeaders; readonly request: JsonObject; readonly requestId: string },
  known: KnownSubject = () => undefined,
): { readonly subject: string; readonly isNamed: boolean } {
  const named = namedSubject(order, call, known);
  if (named === undefined) return { subject: hash.once(call.requestId), isNamed: false };
  return { subject: "hashed" in named ? named.hashed : hash.of(named.text), isNamed: true };
}

/** Slices of one call, and letters of a name: more are cut off, since every record carries them. */
const MOST_SLICES = 16;
const MOST_LETTERS = 100;

/**
 * Named subsets of traffic that a call is in: by the gateway's rules, then those that the caller names in `x-headgate-slices`, separated by commas; each
 * once, the first 16.
 */
export function slicesOf(
  rules: readonly SliceRule[],
  call: { readonly route: string; readonly request: JsonObject; readonly headers: IncomingHttpHeaders },
): string[] {
  const { route, request, headers } = call;
  const header = textHeaderOf(headers, "x-headgate-slices");
  if (rules.length === 0 && header === undefined) return [];
  const named = (header ?? "").split(",").map((name) => name.trim());
  const byRules = rules.length === 0 ? [] : slicesByRules(rules, { route, request, header: (name) => textHeaderOf(headers, name) });
  return [...new Set([...byRules, ...named.filter((name) => name !== "" && name.length <= MOST_LETTERS)])].slice(0, MOST_SLICES);
}

const traceparent = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[^,]*)?$/;
const zeros = /^0+$/;

/** The trace of a W3C traceparent; undefined when there is none, or none that is valid: several in one header, version `ff`, ids of zeros. */
function givenTrace(headers: IncomingHttpHeaders): string | undefined {
  const header = headerOf(headers, "traceparent");
  if (header === undefined) return undefined;
  const [, version, trace = "0", parent = "0", more] = traceparent.exec(header) ?? [];
  // Only a later version than 00 may have more behind its flags.
  const isWrong = version === "ff" || (version === "00" && more !== undefined) || zeros.test(trace) || zeros.test(parent);
  return isWrong ? undefined : trace;
}

/** Trace of a call: the one of its W3C traceparent, else one of its own, made from the request id. */
export function traceIdOf(headers: IncomingHttpHeaders, requestId: string): string {
  return givenTrace(headers) ?? hexOf(requestId);
}

/** Longest tracestate that is kept: what W3C's recommendation asks every participant to pass on. */
const LONGEST_TRACE_STATE = 512;

/** The tracestate of a call; empty when there is none, it is too long to be kept, or it came without a traceparent that can be read. */
export function traceStateOf(headers: IncomingHttpHeaders): string {
  const given = headers.tracestate;
  const all = Array.isArray(given) ? given.join(",") : (given ?? "");
  return all.length <= LONGEST_TRACE_STATE && all !== "" && givenTrace(headers) !== undefined ? all : "";
}
