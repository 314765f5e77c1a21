import { createContext, Script } from "node:vm";

/** Longest that one check may hold the event loop, ms: thousands of times what a sane one takes. */
const LIMIT_MS = 50;
/** Time that checks which run out of it may cost all in all: this much at once, ms, and this share of the time that passes. */
const SAVED_MS = 1_000;
const SHARE = 0.1;

const run = new Script("work()");

/**
 * Runs work that may never end. V8 can only be stopped from a thread of its own, which costs 0.2 ms per run: for work that is not
 * known to be short. What overruns is paid from a budget, so that even a pattern per call leaves nine tenths of the time to others.
 */
export class TimeLimit {
  readonly #context: { work: () => unknown };
  readonly #nowMs: () => number;
  #savedMs = SAVED_MS;
  #atMs: number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#context = { work: () => undefined };
    createContext(this.#context);
    this.#nowMs = nowMs;
    this.#atMs = nowMs();
  }

  /** @returns what the work returns; null when it did not end within 50 ms, failed (its stack ran out), or the budget is used up */
  run(work: () => boolean): boolean | null {
    const startMs = this.#nowMs();
    this.#savedMs = Math.min(SAVED_MS, this.#savedMs + (startMs - this.#atMs) * SHARE);
    this.#atMs = startMs;
    if (this.#savedMs < LIMIT_MS) return null;
    this.#context.work = work;
    try {
      return run.runInContext(this.#context, { timeout: LIMIT_MS }) === true;
    } catch {
      return null;
    } finally {
      this.#context.work = () => undefined;
      // A millisecond is what a check may take for nothing.
      this.#savedMs -= Math.max(0, this.#nowMs() - startMs - 1);
    }
  }
}
