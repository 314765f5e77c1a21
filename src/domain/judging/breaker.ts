/**
 * Circuit breaker of one endpoint, as plain numbers. Closed: calls go through. After several outages in a row it opens:
 * none does, for a time that doubles with each opening. Then it is half open: one probe decides.
 *
 * ```
 *            5 outages in a row              time is up
 *   closed ───────────────────▶ open ───────────────────▶ half open
 *     ▲                          ▲  probe failed, time ×2      │
 *     │                          └─────────────────────────────┤
 *     └───────────────────────────────── probe succeeded ──────┘
 * ```
 *
 * @see Nygard 2007, Release It!, chapter 5
 */
export interface Breaker {
  /** Outages in a row. */
  readonly outages: number;
  /** Epoch ms until which no call goes through; 0: closed. */
  readonly openUntilMs: number;
  /** Openings since the last success. */
  readonly openings: number;
}

export const closedBreaker: Breaker = { outages: 0, openUntilMs: 0, openings: 0 };

const outagesToOpen = 5;
const firstOpenMs = 1_000;
const longestOpenMs = 30_000;

export function breakerState(breaker: Breaker, nowMs: number): "closed" | "open" | "half_open" {
  if (breaker.openUntilMs === 0) return "closed";
  return nowMs < breaker.openUntilMs ? "open" : "half_open";
}

/** A call that the endpoint answered, be it with a refusal of the item: the endpoint works. */
export function afterAnswer(): Breaker {
  return closedBreaker;
}

/** A call that the endpoint did not answer. While open, calls that were still under way change nothing. */
export function afterOutage(breaker: Breaker, nowMs: number): Breaker {
  const state = breakerState(breaker, nowMs);
  if (state === "open") return breaker;
  const outages = breaker.outages + 1;
  if (state === "closed" && outages < outagesToOpen) return { ...breaker, outages };
  const openForMs = Math.min(longestOpenMs, firstOpenMs * 2 ** Math.min(breaker.openings, 10));
  return { outages, openUntilMs: nowMs + openForMs, openings: breaker.openings + 1 };
}
