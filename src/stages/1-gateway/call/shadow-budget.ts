import { RateLimit } from "../../../runtime/process/rate-limit.ts";

/** What mirrored calls may use; null: no limit. */
export interface ShadowLimits {
  /** Mirrored calls in a minute, as many at once. */
  readonly maxPerMinute: number | null;
  /** Cost of mirrored calls in the last hour, USD. */
  readonly maxUsdPerHour: number | null;
}

const MINUTE_MS = 60_000;
const MINUTES = 60;

/**
 * What mirrored calls have used of their budget: calls a minute, and cost in the last hour, kept by minute. A cost is known when its call is over,
 * so that those which run when the budget is used up still come on top of it, as many as may run at the same time.
 */
export class ShadowBudget {
  readonly #limits: ShadowLimits;
  readonly #nowMs: () => number;
  readonly #rate: RateLimit | null;
  readonly #usd: { minute: number; usd: number }[] = [];

  /** @param nowMs a clock that never goes back, ms */
  constructor(limits: ShadowLimits, nowMs: () => number) {
    this.#limits = limits;
    this.#rate = limits.maxPerMinute === null ? null : new RateLimit(limits.maxPerMinute, nowMs);
    this.#nowMs = nowMs;
  }

  /** Counts one more call, if there is room for it. @returns whether there is */
  take(): boolean {
    const { maxUsdPerHour } = this.#limits;
    if (maxUsdPerHour !== null && this.#spentUsd(this.#nowMs()) >= maxUsdPerHour) return false;
    return this.#rate === null || this.#rate.take() === 0;
  }

  /** A call is over. @param usd what it cost; null when nobody knows: it counts for nothing */
  spent(usd: number | null): void {
    if (usd === null || usd <= 0 || this.#limits.maxUsdPerHour === null) return;
    const minute = Math.floor(this.#nowMs() / MINUTE_MS);
    const last = this.#usd.at(-1);
    if (last?.minute === minute) last.usd += usd;
    else this.#usd.push({ minute, usd });
  }

  #spentUsd(nowMs: number): number {
    const first = Math.floor(nowMs / MINUTE_MS) - MINUTES;
    while ((this.#usd[0]?.minute ?? Number.POSITIVE_INFINITY) <= first) this.#usd.shift();
    return this.#usd.reduce((sum, { usd }) => sum + usd, 0);
  }
}
