import type { RouteView } from "../../stages/6-control/route-view.ts";
import type { ControlApi } from "../control-api.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { isOver } from "../show/words.ts";

/** At most one look per this many ms, and one at least every `tickMs` (peers.md section 3). */
const leastMs = 200;
const tickMs = 1_000;

export function routePath(route: string): string {
  return `/v1/routes/${encodeURIComponent(route)}`;
}

export function getRoute(api: ControlApi, route: string): Promise<RouteView> {
  return api.get<RouteView>(routePath(route));
}

/**
 * Looks at a route again and again: when control tells of a change, and each second. Ends when the signal aborts; the
 * signal is the deadline too. A failed look ends it with its error; a lost event stream does not (the tick goes on).
 */
export async function* watchRoute(api: ControlApi, route: string, signal: AbortSignal): AsyncGenerator<RouteView> {
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  let news = Promise.withResolvers<void>();
  const events = followEvents(api, route, { signal: both, onEvent: () => news.resolve() });
  try {
    while (!both.aborted) {
      // Before the look: what is told while it is under way, or too soon after it, is a reason for the next one.
      news = Promise.withResolvers<void>();
      yield await getRoute(api, route);
      await pause(leastMs, both);
      await Promise.race([pause(tickMs - leastMs, both), news.promise]);
    }
  } finally {
    ended.abort();
    await events;
  }
}

/**
 * Where a rollout stands as an exit code.
 * @returns undefined while it may still move by itself: the caller's deadline then decides
 */
export function settledCode(view: Pick<RouteView, "phase" | "condition" | "reasons">): ExitCode | undefined {
  if (view.phase === "done") return exitCode.ok;
  if (view.phase === "rolled_back") return exitCode.failed;
  const isWaiting = view.condition === "paused" || view.condition === "frozen" || view.reasons.includes("awaiting_approval");
  return isWaiting ? exitCode.needsPerson : undefined;
}

/** A signal that aborts at a deadline or on Ctrl-C; 0 ms: no deadline. */
export function deadline(timeoutMs: number, interrupted: AbortSignal): AbortSignal {
  return timeoutMs === 0 ? interrupted : AbortSignal.any([interrupted, AbortSignal.timeout(timeoutMs)]);
}

export { isOver };

async function followEvents(api: ControlApi, route: string, about: { readonly signal: AbortSignal; readonly onEvent: () => void }): Promise<void> {
  while (!about.signal.aborted) {
    try {
      for await (const _event of api.events(`/v1/events?route=${encodeURIComponent(route)}`, about.signal)) about.onEvent();
    } catch {
      // The stream broke or control restarts: the tick looks on, and reports when control is gone.
    }
    await pause(tickMs, about.signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
