import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { type Collected, type Collector, collectorFor, isEncoded, UNREADABLE } from "./collect.ts";
import { decoderFor } from "./decoding.ts";
import { isStream } from "./is-stream.ts";
import type { Leaving } from "./leaving.ts";
import type { Upstream } from "./upstream.ts";
import { noAnswer } from "./usage.ts";

/** Where the bytes of a response go: to the caller, or nowhere for a mirrored call. */
export interface Sink {
  /** @param isStream whether a stream of events follows, each of which is waited for */
  head(status: number, headers: IncomingHttpHeaders, isStream: boolean): void;
  /** @returns a promise to wait for when the receiver is slower than the upstream */
  write(chunk: Buffer): Promise<void> | undefined;
  /** The response is complete. */
  end(): void;
  /**
   * No more comes of a response that tells an error. It may end here all the same, if nothing of it has been shown: its status and headers are the news.
   *
   * @returns false when it may not, as where this is absent; then nothing was done
   */
  cutShort?(): boolean;
}

export const nowhere: Sink = { head: () => undefined, write: () => undefined, end: () => undefined, cutShort: () => true };

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
type Failed = { readonly status: "error" | "timeout"; readonly errorType: string; readonly failure: Failure };

export interface Failure {
  readonly status: 502 | 503 | 504;
  readonly code: string;
  readonly message: string;
  /** Why the version was not heard at all; null: it was. `connect`: nothing of the call was sent; `reset`: the upstream may have read all of it. */
  readonly unheard: "connect" | "reset" | null;
}

/** What is sent to an upstream. */
export interface ToUpstream {
  readonly endpoint: Endpoint;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer | string;
  /** The usage of a stream is read and not passed on: the caller did not ask for it. */
  readonly hidesUsage: boolean;
  /** Tells when nobody waits for the answer any more. */
  readonly leaving: Leaving;
}

/** A receiver that took nothing for so long is the reason for what becomes of its call, ms. */
const SLOW_CALLER_MS = 1_000;

type Why = "caller" | "slow_caller" | "total" | "redirect" | null;

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

/** @param wasSent whether the upstream may have read the call */
function failureOf(error: unknown, why: Why, { upstream, wasSent }: { upstream: Upstream; wasSent: boolean }): Failed {
  const code = codeOf(error);
  const limit = limits[code];
  const named = `The upstream '${upstream.config.name}'`;
  if (why === "total") {
    const message = `${named} did not complete the call within ${upstream.config.timeouts.totalMs} ms`;
    return { status: "timeout", errorType: "timeout", failure: { status: 504, code: "upstream_timeout", message, unheard: null } };
  }
  if (why === "redirect") {
    const message = `${named} answered with a redirect, which is not followed: its baseUrl has to be its final address`;
    return { status: "error", errorType: "upstream_redirected", failure: { status: 502, code: "upstream_redirected", message, unheard: null } };
  }
  if (limit !== undefined) {
    const message = `${named} timed out: ${timeouts[code]} ${upstream.config.timeouts[limit]} ms`;
    const failure = { status: 504, code: "upstream_timeout", message, unheard: limit === "connectMs" ? "connect" : null } as const;
    return { status: "timeout", errorType: "timeout", failure };
  }
  const message = `${named} could not be reached or broke the connection (${code})`;
  return { status: "error", errorType: code, failure: { status: 502, code: "upstream_unreachable", message, unheard: wasSent ? "reset" : "connect" } };
}

function statusOf(httpStatus: number, collected: Collected): { status: "ok" | "error"; errorType: string } {
  if (httpStatus < 200 || httpStatus >= 300) return { status: "error", errorType: String(httpStatus) };
  return collected.errorType === "" ? { status: "ok", errorType: "" } : { status: "error", errorType: collected.errorType };
}

/**
 * Makes one call to an upstream and passes its response on, byte for byte, while it is gathered for the log; of a stream whose usage the
 * caller did not ask for (`hidesUsage`), without that. Never throws: whatever happens is the result. `leaving` is the caller's; the
 * total time is bounded here, the rest of the timeouts by the pool.
 *
 * @param startedAt from when times are counted, on the clock of `performance`: the start of the first attempt
 */
export function exchange(upstream: Upstream, call: ToUpstream & { readonly sink: Sink }, startedAt = performance.now()): Promise<Exchanged> {
  return new Promise((resolve) => new Exchange(upstream, call, { startedAt, resolve }).start());
}

/**
 * One exchange, driven by what the pool's connection reads. There is no stream in between: for a response of a few chunks, which most are, streams and
 * their iterators cost more than all the rest of a call.
 */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #upstream: Upstream;
  readonly #call: ToUpstream & { readonly sink: Sink };
  readonly #startedAt: number;
  readonly #resolve: (exchanged: Exchanged) => void;
  #timer: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | null = null;
  /** null: the response is not encoded. */
  #decoder: ReturnType<typeof decoderFor> | null = null;
  #collector: Collector | null = null;
  #isEmpty = true;
  #httpStatus = 0;
  #isStream = false;
  #ttftMs: number | null = null;
  /** What the sink has not taken yet. */
  #slow: Promise<void> | null = null;
  /** For how long the upstream was not read because the receiver took nothing, ms; and since when it is not. */
  #pausedMs = 0;
  #pausedAt: number | null = null;
  #endedMs: number | null = null;
  /** What of the answer is kept and counted as such. */
  #kept = 0;
  #isSettled = false;

  constructor(upstream: Upstream, call: ToUpstream & { readonly sink: Sink }, about: { startedAt: number; resolve: (exchanged: Exchanged) => void }) {
    this.#upstream = upstream;
    this.#call = call;
    this.#startedAt = about.startedAt;
    this.#resolve = about.resolve;
  }

  start(): void {
    const { leaving } = this.#call;
    if (leaving.hasLeft) {
      this.#stop("caller");
      return;
    }
    leaving.listen(() => this.#stop("caller"));
    this.#armTotal();
    try {
      this.#upstream.send(this.#call, this);
    } catch (error) {
      this.#fail(error, null);
    }
  }

  /** The total time is the upstream's: what the receiver takes of it is added, up to as much again. */
  #armTotal(): void {
    const { totalMs } = this.#upstream.config.timeouts;
    this.#timer = setTimeout(
      () => {
        if (this.#elapsedMs() >= totalMs - 1) this.#stop("total");
        else if (performance.now() - this.#startedAt >= 2 * totalMs) this.#stop("slow_caller");
        else this.#armTotal();
      },
      Math.max(1, totalMs - this.#elapsedMs()),
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection for longer than anybody waited for it.
    if (this.#isSettled) controller.abort(new Error("nobody waits for this call any more"));
  }

  onResponseStart(controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    if (this.#isSettled || statusCode < 200) return;
    if (isEncoded(headers["content-encoding"])) {
      this.#decoder = decoderFor(this.#decoded, controller);
      this.#decoder.onResponseStart(controller, statusCode, headers);
    } else this.#begin(statusCode, headers);
  }

  #begin(statusCode: number, headers: IncomingHttpHeaders): void {
    if (this.#isSettled) return;
    const { endpoint, hidesUsage, sink } = this.#call;
    this.#httpStatus = statusCode;
    // Its address would send the caller, and its key, past the gateway.
    if (statusCode < 400 && statusCode >= 300) {
      this.#stop("redirect");
      return;
    }
    const streams = isStream(this.#call, statusCode, String(headers["content-type"] ?? ""));
    const contentEncoding = String(headers["content-encoding"] ?? "");
    this.#collector = collectorFor(endpoint, { status: statusCode, contentEncoding, isStream: streams }, hidesUsage);
    this.#isStream = streams && !isEncoded(contentEncoding);
    // Of a stream that is not shown as a whole the length is not known.
    if (hidesUsage && this.#isStream) delete headers["content-length"];
    sink.head(statusCode, headers, streams);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#isEmpty = false;
    if (this.#decoder === null) this.#take(controller, chunk);
    else this.#decoder.onResponseData(controller, chunk);
  }

  #take(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const collector = this.#collector;
    if (this.#isSettled || collector === null) return;
    if (collector.push(chunk)) this.#ttftMs ??= this.#elapsedMs();
    const grown = collector.kept - this.#kept;
    if (grown > 0 && this.#upstream.memory.take(grown)) this.#kept += grown;
    else if (grown > 0) collector.stopKeeping();
    const shown = collector.shown(chunk);
    if (shown.length === 0) return;
    const slow = this.#call.sink.write(shown);
    if (slow === undefined) return;
    // The upstream is read no faster than the receiver takes it.
    controller.pause();
    this.#pausedAt = performance.now();
    this.#slow = slow.then(() => {
      this.#slow = null;
      this.#pausedMs += this.#currentPauseMs();
      this.#pausedAt = null;
      controller.resume();
    });
    // Where nobody waits for it, it must not be an unhandled one.
    this.#slow.catch((error: unknown) => this.#fail(error, null));
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    // No body is none in any encoding; decoders find fault with it.
    if (this.#decoder === null || this.#isEmpty) this.#end();
    else this.#decoder.onResponseEnd(controller, trailers);
  }

  #end(): void {
    if (this.#isSettled) return;
    this.#endedMs = this.#elapsedMs();
    const rest = this.#collector?.end() ?? null;
    const slow = rest === null ? undefined : this.#call.sink.write(rest);
    if (slow === undefined && this.#slow === null) {
      this.#complete();
      return;
    }
    void Promise.all([slow, this.#slow])
      .then(() => this.#complete())
      .catch((error: unknown) => this.#fail(error, null));
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#decoder === null) this.#fail(error, null);
    else this.#decoder.onResponseError(controller, error);
  }

  /** The same for what a decoder makes of the response. */
  get #decoded() {
    return {
      onRequestStart: (controller: Dispatcher.DispatchController) => this.onRequestStart(controller),
      onResponseStart: (_: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders) => this.#begin(statusCode, headers),
      onResponseData: (controller: Dispatcher.DispatchController, chunk: Buffer) => this.#take(controller, chunk),
      onResponseEnd: () => this.#end(),
      onResponseError: (_: Dispatcher.DispatchController, error: Error) => this.#fail(error, null),
    };
  }

  /** How long the call took so far, without the time for which its receiver took nothing. */
  #elapsedMs(): number {
    return performance.now() - this.#startedAt - this.#pausedMs - this.#currentPauseMs();
  }

  #currentPauseMs(): number {
    return this.#pausedAt === null ? 0 : performance.now() - this.#pausedAt;
  }

  #complete(): void {
    if (this.#isSettled) return;
    const latencyMs = this.#endedMs ?? this.#elapsedMs();
    this.#call.sink.end();
    const collected = this.#collected();
    this.#settle({ ...collected, ...statusOf(this.#httpStatus, collected), httpStatus: this.#httpStatus, latencyMs, ttftMs: this.#ttftMs, failure: null });
  }

  #stop(why: Exclude<Why, null>): void {
    this.#fail(null, why);
    this.#controller?.abort(new Error("nobody waits for this call any more"));
  }

  #fail(error: unknown, why: Why): void {
    if (this.#isSettled) return;
    const about = { latencyMs: this.#endedMs ?? this.#elapsedMs(), ttftMs: this.#ttftMs };
    const collected = this.#collected();
    // An upstream that was not read for so long may break off: that says nothing of it.
    if (why === "caller" || why === "slow_caller" || this.#currentPauseMs() > SLOW_CALLER_MS) {
      // Callers close a stream when they have read its last event, which can be before the upstream has ended it: they have the whole answer.
      if (why === "caller" && this.#isStream && this.#httpStatus < 300 && collected.errorType === "") {
        this.#settle({ ...collected, ...about, status: "ok", httpStatus: this.#httpStatus, failure: null });
        return;
      }
      this.#settle({ ...collected, ...about, status: "cancelled", errorType: "cancelled", httpStatus: this.#httpStatus || 499, failure: null });
      return;
    }
    if (this.#httpStatus >= 400 && this.#call.sink.cutShort?.() === true) {
      this.#settle({ ...collected, ...about, ...statusOf(this.#httpStatus, collected), httpStatus: this.#httpStatus, failure: null });
      return;
    }
    const failed = failureOf(error, why, { upstream: this.#upstream, wasSent: this.#controller !== null });
    this.#settle({ ...collected, ...about, ...failed, httpStatus: this.#httpStatus || failed.failure.status });
  }

  /** Total: a call whose answer cannot be read has ended all the same. */
  #collected(): Collected {
    try {
      return this.#collector?.finish() ?? { ...noAnswer, body: null, isCut: false, errorType: "" };
    } catch {
      return { ...noAnswer, body: null, isCut: true, errorType: UNREADABLE };
    }
  }

  #settle(exchanged: Exchanged): void {
    this.#isSettled = true;
    this.#upstream.memory.give(this.#kept);
    clearTimeout(this.#timer);
    this.#call.leaving.listen(null);
    this.#resolve(exchanged);
  }
}
