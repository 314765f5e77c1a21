import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { UpstreamConfig } from "../upstream-config.ts";

/** Headers that belong to one connection (RFC 9110, 7.6.1) and the obsolete ones of their kind. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Replaced by the gateway or meaningless upstream. The encoding is asked for as identity, so that the answer can be read for the log. */
const replaced = new Set(["host", "content-length", "expect", "accept-encoding", "content-encoding"]);
/** The caller's own keys for the upstream: they go on where the configuration passes keys through. */
const keys = new Set(["authorization", "api-key", "x-api-key", "openai-organization", "openai-project"]);
/** Say who the caller is, or prove it, to what stands before this gateway: nothing that a third party should hear. */
const privateNames =
  /cookie|token|secret|password|credential|assertion|jwt|signature|session|^authorization|^x-authorization|key$|-auth$|^x-consumer-|^x-amz-|^x-auth-|^x-ms-|^x-real-ip$|^x-client-ip$|^true-client-ip$|^forwarded$|^x-forwarded|^x-original-|^cf-|^via$|^from$/;
/** Named like a secret, and none. */
const harmless = new Set(["idempotency-key"]);

/** Decided once for each name: a call brings the same few as the one before. */
type Decision = "pass" | "key" | "drop";
const decisions = new WeakMap<UpstreamConfig, Map<string, Decision>>();
/** Names come from callers: whoever sends ever new ones may not fill the memory. */
const MOST_NAMES = 1_000;

function decide(name: string, { forwardHeaders, dropHeaders }: UpstreamConfig): Decision {
  if (hopByHop.has(name) || replaced.has(name) || name.startsWith("x-headgate-") || dropHeaders.includes(name)) return "drop";
  if (forwardHeaders.includes(name)) return "pass";
  if (keys.has(name)) return "key";
  return privateNames.test(name) && !harmless.has(name) ? "drop" : "pass";
}

function decisionOf(name: string, upstream: UpstreamConfig): Decision {
  const known = decisions.get(upstream) ?? new Map<string, Decision>();
  if (known.size === 0) decisions.set(upstream, known);
  const before = known.get(name);
  if (before !== undefined) return before;
  const decision = decide(name, upstream);
  if (known.size < MOST_NAMES) known.set(name, decision);
  return decision;
}

/** Headers that the `Connection` header declares to be hop-by-hop too. */
function connectionOptions(headers: IncomingHttpHeaders): ReadonlySet<string> {
  const listed = headers.connection;
  if (listed === undefined || listed === "keep-alive") return new Set();
  return new Set(listed.split(",").map((option) => option.trim().toLowerCase()));
}

/**
 * Headers of the request that goes upstream: the caller's, without what belongs to the connection, to headgate or to the caller's access to
 * this gateway, and with the upstream's own. The caller's credentials go on only where the configuration says so.
 */
export function upstreamHeaders(
  caller: IncomingHttpHeaders,
  { config: upstream, apiKey }: { readonly config: UpstreamConfig; readonly apiKey: string | null },
): OutgoingHttpHeaders {
  const listed = connectionOptions(caller);
  const headers: OutgoingHttpHeaders = {};
  const passesKeys = apiKey === null && upstream.passThroughKeys;
  for (const name of Object.keys(caller)) {
    const value = caller[name];
    if (value === undefined || listed.has(name)) continue;
    const decision = decisionOf(name, upstream);
    if (decision === "drop" || (decision === "key" && !passesKeys)) continue;
    headers[name] = value;
  }
  headers["content-type"] = "application/json";
  headers["accept-encoding"] = "identity";
  if (apiKey !== null) headers[upstream.apiKeyHeader] = upstream.apiKeyHeader === "authorization" ? `Bearer ${apiKey}` : apiKey;
  for (const [name, value] of Object.entries(upstream.headers)) headers[name.toLowerCase()] = value;
  return headers;
}

/** Of a second call that is made for the same request of a caller: under its key an upstream would refuse it, or give it the other one's answer. */
export function withoutIdempotencyKey(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  delete headers["idempotency-key"];
  return headers;
}

/**
 * Puts a call that goes upstream into its trace: the caller's own, as it came, or the one that its record tells. The gateway makes no spans, so that the
 * caller's stays the parent.
 */
export function addTrace(headers: OutgoingHttpHeaders, call: { readonly traceId: string; readonly requestId: string }): OutgoingHttpHeaders {
  if (String(headers.traceparent ?? "").includes(call.traceId)) return headers;
  headers.traceparent = `00-${call.traceId}-${call.requestId.slice(19, 23)}${call.requestId.slice(24)}-00`;
  delete headers.tracestate;
  return headers;
}

/** Headers of the answer that goes to the caller: the upstream's, without what belongs to its connection or could pass for headgate's. */
export function callerHeaders(upstream: IncomingHttpHeaders, own: Readonly<Record<string, string>>): OutgoingHttpHeaders {
  const listed = connectionOptions(upstream);
  const headers: OutgoingHttpHeaders = {};
  for (const name of Object.keys(upstream)) {
    const value = upstream[name];
    if (value === undefined || hopByHop.has(name) || name.startsWith("x-headgate-") || listed.has(name)) continue;
    headers[name] = value;
  }
  return Object.assign(headers, own);
}

/** One value of a request header, or undefined when it is absent or empty. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined || first === "" ? undefined : first;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The same for a header that holds a text: Node reads headers as Latin-1, and callers write UTF-8. What is not that stays as it is. */
export function textHeaderOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headerOf(headers, name);
  if (value === undefined || /^[\x20-\x7e]*$/.test(value)) return value;
  try {
    return utf8.decode(Buffer.from(value, "latin1"));
  } catch {
    return value;
  }
}
