import { createContext, Script } from "node:vm";

/** Longest that one check may hold the event loop, ms: thousands of times what a sane one takes. */
const LIMIT_MS = 50;
/** What a budget pays: this much at once, ms, and this share of the time that passes. A process has two, so that nine tenths of the time are always left to others. */
const SAVED_MS = 500;
const SHARE = 0.05;

const run = new Script("work()");

/** Runs a check of one form that is not known to be short; null: it took too long, or was not run. */
export type RunLimited = (check: () => boolean) => boolean | null;

/** Time that checks which are slow may cost all in all. */
export class Budget {
  readonly #nowMs: () => number;
  #savedMs = SAVED_MS;
  #atMs: number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#atMs = nowMs();
  }

  /** @returns what the work returns, and takes its time from the budget; null when that does not hold what the longest could take */
  pay<T>(work: () => T): T | null {
    const startMs = this.#nowMs();
    this.#savedMs = Math.min(SAVED_MS, this.#savedMs + (startMs - this.#atMs) * SHARE);
    this.#atMs = startMs;
    if (this.#savedMs < LIMIT_MS) return null;
    try {
      return work();
    } finally {
      // A millisecond is what a check may take for nothing.
      this.#savedMs -= Math.max(0, this.#nowMs() - startMs - 1);
    }
  }
}

/** Runs work that may never end. V8 can only be stopped from a thread of its own, which costs 0.2 ms per run: for work that is not known to be short. */
export class TimeLimit {
  readonly #context: { work: () => unknown };

  constructor() {
    this.#context = { work: () => undefined };
    createContext(this.#context);
  }

  /**
   * @returns what the work returns; `overran` when it did not end within 50 ms or failed (its stack ran out); `unpaid` when it was not
   * run because the budget is used up, which says nothing about it
   */
  run(work: () => boolean, budget: Budget): boolean | "overran" | "unpaid" {
    this.#context.work = work;
    try {
      return budget.pay(() => run.runInContext(this.#context, { timeout: LIMIT_MS }) === true) ?? "unpaid";
    } catch {
      return "overran";
    } finally {
      this.#context.work = () => undefined;
    }
  }
}
