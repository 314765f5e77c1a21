import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { type Collected, type Collector, collectorFor, isReadableStream } from "./collect.ts";
import type { Upstream } from "./upstream.ts";
import { noAnswer } from "./usage.ts";

/** Where the bytes of a response go: to the caller, or nowhere for a mirrored call. */
export interface Sink {
  head(status: number, headers: IncomingHttpHeaders): void;
  /** @returns a promise to wait for when the receiver is slower than the upstream */
  write(chunk: Buffer): Promise<void> | undefined;
  /** The response is complete. */
  end(): void;
}

export const nowhere: Sink = { head: () => undefined, write: () => undefined, end: () => undefined };

/** How a call to an upstream went. */
export interface Exchanged extends Collected {
  readonly status: "ok" | "error" | "timeout" | "cancelled";
  /** Status of the upstream's response; 502 or 504 when there was none, 499 when the caller left before. */
  readonly httpStatus: number;
  readonly latencyMs: number;
  readonly ttftMs: number | null;
  /** Set when the call failed without a response that could be passed on. */
  readonly failure: Failure | null;
}
export interface Failure {
  readonly status: 502 | 504;
  readonly code: string;
  readonly message: string;
  /** No connection could be made, or it broke before an answer began: the version was not heard at all. */
  readonly isUnreachable: boolean;
}

/** What is sent to an upstream. */
export interface ToUpstream {
  readonly endpoint: Endpoint;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer | string;
  /** The usage of a stream is read and not passed on: the caller did not ask for it. */
  readonly hidesUsage: boolean;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

type Why = "caller" | "total" | null;

const timeouts: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "no connection within",
  UND_ERR_HEADERS_TIMEOUT: "no response within",
  UND_ERR_BODY_TIMEOUT: "no further data within",
};
const limits: Readonly<Record<string, "connectMs" | "headersMs" | "idleMs">> = {
  UND_ERR_CONNECT_TIMEOUT: "connectMs",
  UND_ERR_HEADERS_TIMEOUT: "headersMs",
  UND_ERR_BODY_TIMEOUT: "idleMs",
};

/** First error code in a chain of causes; attempts on several addresses come as an AggregateError. */
function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at instanceof AggregateError ? at.errors[0] : at.cause) {
    if ("code" in at && typeof at.code === "string") return at.code;
  }
  return "unknown";
}

function failureOf(error: unknown, why: Why, upstream: Upstream): { status: "error" | "timeout"; errorType: string; failure: Failure } {
  const code = codeOf(error);
  const limit = limits[code];
  const named = `The upstream '${upstream.config.name}'`;
  if (why === "total") {
    const message = `${named} did not complete the call within ${upstream.config.timeouts.totalMs} ms`;
    return { status: "timeout", errorType: "timeout", failure: { status: 504, code: "upstream_timeout", message, isUnreachable: false } };
  }
  if (limit !== undefined) {
    const message = `${named} timed out: ${timeouts[code]} ${upstream.config.timeouts[limit]} ms`;
    const failure = { status: 504, code: "upstream_timeout", message, isUnreachable: limit === "connectMs" } as const;
    return { status: "timeout", errorType: "timeout", failure };
  }
  const message = `${named} could not be reached or broke the connection (${code})`;
  return { status: "error", errorType: code, failure: { status: 502, code: "upstream_unreachable", message, isUnreachable: true } };
}

function statusOf(httpStatus: number, collected: Collected): { status: "ok" | "error"; errorType: string } {
  if (httpStatus < 200 || httpStatus >= 300) return { status: "error", errorType: String(httpStatus) };
  return collected.errorType === "" ? { status: "ok", errorType: "" } : { status: "error", errorType: collected.errorType };
}

/** Gathers a body and passes on what is for the caller, as fast as the sink takes it. @param onContent called for each chunk since the first content */
async function passOn(body: AsyncIterable<Buffer>, to: { readonly collector: Collector; readonly sink: Sink }, onContent: () => void): Promise<void> {
  const { collector, sink } = to;
  for await (const chunk of body) {
    if (collector.push(chunk)) onContent();
    const shown = collector.shown(chunk);
    if (shown.length === 0) continue;
    const slow = sink.write(shown);
    if (slow !== undefined) await slow;
  }
  const rest = collector.end();
  if (rest !== null) await sink.write(rest);
}

/**
 * Makes one call to an upstream and passes its response on, byte for byte, while it is gathered for the log; of a stream whose usage the
 * caller did not ask for (`hidesUsage`), without that. Never throws: whatever happens is the result. `signal` is the caller's leaving; the
 * total time is bounded here, the rest of the timeouts by the pool.
 *
 * @param startedAt from when times are counted, on the clock of `performance`: the start of the first attempt
 */
export async function exchange(upstream: Upstream, call: ToUpstream & { readonly sink: Sink }, startedAt = performance.now()): Promise<Exchanged> {
  const abort = new AbortController();
  let why: Why = null;
  const stop = (reason: "caller" | "total") => {
    why ??= reason;
    abort.abort();
  };
  const onLeft = () => stop("caller");
  const leftMs = upstream.config.timeouts.totalMs - (performance.now() - startedAt);
  const timer = setTimeout(() => stop("total"), Math.max(0, leftMs));
  call.signal.addEventListener("abort", onLeft, { once: true });
  if (call.signal.aborted) onLeft();
  let httpStatus = 0;
  let ttftMs: number | null = null;
  let collector: Collector | null = null;
  const elapsedMs = () => performance.now() - startedAt;
  try {
    const response = await upstream.send({ endpoint: call.endpoint, headers: call.headers, body: call.body, signal: abort.signal });
    httpStatus = response.statusCode;
    const contentType = String(response.headers["content-type"] ?? "");
    const head = { status: httpStatus, contentType, contentEncoding: String(response.headers["content-encoding"] ?? "") };
    collector = collectorFor(call.endpoint, head, call.hidesUsage);
    // Of a stream that is not shown as a whole the length is not known.
    if (call.hidesUsage && isReadableStream(head)) delete response.headers["content-length"];
    call.sink.head(httpStatus, response.headers);
    await passOn(response.body as AsyncIterable<Buffer>, { collector, sink: call.sink }, () => {
      ttftMs ??= elapsedMs();
    });
    const latencyMs = elapsedMs();
    call.sink.end();
    const collected = collector.finish();
    return { ...collected, ...statusOf(httpStatus, collected), httpStatus, latencyMs, ttftMs, failure: null };
  } catch (error) {
    const latencyMs = elapsedMs();
    const collected = collector?.finish() ?? { ...noAnswer, body: null, isCut: false, errorType: "" };
    if (why === "caller") return { ...collected, status: "cancelled", errorType: "cancelled", httpStatus: httpStatus || 499, latencyMs, ttftMs, failure: null };
    const failed = failureOf(error, why, upstream);
    return { ...collected, ...failed, httpStatus: httpStatus || failed.failure.status, latencyMs, ttftMs };
  } finally {
    clearTimeout(timer);
    call.signal.removeEventListener("abort", onLeft);
  }
}
