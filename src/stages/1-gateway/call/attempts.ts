import type { IncomingHttpHeaders } from "node:http";
import { fullJitterMs, retryAfterMs } from "../../../domain/judging/retry-delay.ts";
import { headerOf } from "../http/headers.ts";
import type { RetryPolicy } from "../upstream-config.ts";
import { type Exchanged, exchange, type ToUpstream } from "./exchange.ts";
import type { HoldingSink } from "./holding-sink.ts";
import type { Upstream } from "./upstream.ts";
import { noAnswer } from "./usage.ts";

/** How a call to one version went, over all its attempts. What happened last is what the caller gets. */
export interface Attempted extends Exchanged {
  readonly attempts: number;
  /** `errorType` of the first attempt when it failed, also when a later one did not; else empty. */
  readonly firstErrorType: string;
}

type Asking = ToUpstream & { readonly sink: HoldingSink };
interface AskAbout {
  readonly version: string;
  readonly mayRepeat: () => boolean;
  /** When the call began, on the clock of `performance`: all that is done for it shares one total time. */
  readonly startedAt: number;
}

export const once = (exchanged: Exchanged): Attempted => ({ ...exchanged, attempts: 1, firstErrorType: failedAs(exchanged) });

/** The caller's leaving is no failure of the version. */
const failedAs = ({ status, errorType }: Exchanged): string => (status === "error" || status === "timeout" ? errorType : "");

/** Which of the retriable failures this is, or null. */
function failureKind({ failure, httpStatus }: Exchanged): RetryPolicy["on"][number] | null {
  if (failure !== null) return failure.unheard;
  if (httpStatus === 429) return "429";
  return httpStatus >= 500 && httpStatus < 600 ? "5xx" : null;
}

/** Pause before the next attempt, ms; null: the failure is final. */
function pauseMs(policy: RetryPolicy, failed: { exchanged: Exchanged; headers: IncomingHttpHeaders; attempts: number }): number | null {
  const { exchanged, headers, attempts } = failed;
  const kind = failureKind(exchanged);
  if (kind === null || attempts > policy.max || !policy.on.includes(kind)) return null;
  if (headerOf(headers, "x-should-retry") === "false") return null;
  const millis = Number(headerOf(headers, "retry-after-ms") ?? Number.NaN);
  const asked = Number.isFinite(millis) && millis >= 0 ? millis : retryAfterMs(headerOf(headers, "retry-after"), Date.now());
  // Whoever asks for a longer pause is asked by the caller again, not by us: the connection is not kept waiting.
  if (asked !== null) return asked <= policy.maxWaitMs ? asked : null;
  return Math.min(policy.maxWaitMs, fullJitterMs(attempts, Math.random()));
}

/** A call that an upstream has no place for: its version was not asked, and that is a failure of it like any other. */
function overloaded({ config: { name, maxInFlight } }: Upstream): Attempted {
  const message = `${maxInFlight} calls of upstream ${name} are already running on this gateway`;
  const failure = { status: 503, code: "upstream_concurrency_exceeded", message, unheard: null } as const;
  const answer = { ...noAnswer, body: null, isCut: false, latencyMs: 0, ttftMs: null };
  return once({ ...answer, status: "error", errorType: failure.code, httpStatus: failure.status, failure });
}

/**
 * Asks one version, and again after a failure that the upstream's policy and budget allow to be repeated, as long as the caller has seen nothing.
 * Never another version. The answer of the last attempt is left in the sink: release it, or answer in its place.
 *
 * @param about `version` names whose budget pays; `mayRepeat` is asked after each pause whether this version may still serve the call (a brake or a
 *   newer table forbids it)
 */
export async function askVersion(upstream: Upstream, call: Asking, about: AskAbout): Promise<Attempted> {
  if (!upstream.enter()) return overloaded(upstream);
  const { retries, timeouts } = upstream.config;
  const { startedAt } = about;
  const budget = upstream.budgetOf(about.version);
  budget.deposit();
  try {
    let attempts = 1;
    let exchanged = await exchange(upstream, call, startedAt);
    const firstErrorType = failedAs(exchanged);
    while (!call.sink.isShown && exchanged.status !== "cancelled") {
      const waitMs = pauseMs(retries, { exchanged, headers: call.sink.headers, attempts });
      if (waitMs === null || performance.now() - startedAt + waitMs >= timeouts.totalMs || !budget.withdraw()) break;
      await call.leaving.pause(waitMs);
      if (call.leaving.hasLeft || !about.mayRepeat()) break;
      call.sink.discard();
      attempts++;
      exchanged = await exchange(upstream, call, startedAt);
    }
    return { ...exchanged, attempts, firstErrorType };
  } finally {
    upstream.leave();
  }
}
