import { afterAnswer, afterOutage, type Breaker, breakerState, closedBreaker } from "../../domain/judging/breaker.ts";
import type { JudgeMetrics } from "./metrics.ts";

interface Waiter {
  readonly admit: () => void;
}

export interface GateParts {
  readonly concurrency: number;
  readonly now: () => number;
  readonly metrics: Pick<JudgeMetrics, "inFlight" | "waiting" | "breaker">;
  /** Told once when the endpoint is given up on, and once when it is back. */
  readonly onChange: (state: "open" | "closed") => void;
}

/**
 * The one door of this process to the judge's endpoint: bounds the calls under way, first come first served; keeps all of
 * them back while the endpoint asks for a pause, or while its circuit breaker is open, and lets one probe through when that is half open.
 */
export class EndpointGate {
  readonly #parts: GateParts;
  readonly #waiters = new Set<Waiter>();
  #inFlight = 0;
  #pausedUntilMs = 0;
  #breaker: Breaker = closedBreaker;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /** The breaker keeps calls back, or would but for its probe. */
  get isDown(): boolean {
    return this.#breaker.openUntilMs > 0;
  }

  /** Resolves when a call may start; every entry is followed by one `leave`. Rejects with the signal's reason when that aborts first. */
  enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => {
      this.#waiters.delete(waiter);
      this.#show();
      reject(signal.reason);
    };
    const waiter: Waiter = {
      admit: () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      },
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#waiters.add(waiter);
    this.#pump();
    return promise;
  }

  /**
   * The end of a call. `busy` keeps everybody back for as long as the endpoint asks; `unknown` (an aborted call) says
   * nothing about the endpoint.
   */
  leave(result: "answer" | "busy" | "outage" | "unknown", pauseMs = 0): void {
    const { now, onChange } = this.#parts;
    const wasDown = this.isDown;
    this.#inFlight--;
    if (result === "outage") this.#breaker = afterOutage(this.#breaker, now());
    else if (result !== "unknown") this.#breaker = afterAnswer();
    if (pauseMs > 0) this.#pausedUntilMs = Math.max(this.#pausedUntilMs, now() + pauseMs);
    if (wasDown !== this.isDown) onChange(this.isDown ? "open" : "closed");
    this.#pump();
  }

  #pump(): void {
    const now = this.#parts.now();
    const state = breakerState(this.#breaker, now);
    const limit = state === "half_open" ? 1 : this.#parts.concurrency;
    const blockedUntil = Math.max(state === "open" ? this.#breaker.openUntilMs : 0, this.#pausedUntilMs);
    for (const waiter of this.#waiters) {
      if (blockedUntil > now || this.#inFlight >= limit) break;
      this.#waiters.delete(waiter);
      this.#inFlight++;
      waiter.admit();
    }
    this.#show();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = this.#waiters.size > 0 && blockedUntil > now ? setTimeout(() => this.#pump(), blockedUntil - now) : null;
  }

  #show(): void {
    const { metrics, now } = this.#parts;
    metrics.inFlight.set(this.#inFlight);
    metrics.waiting.set(this.#waiters.size);
    metrics.breaker.set({ closed: 0, half_open: 1, open: 2 }[breakerState(this.#breaker, now())]);
  }
}
