import { type Dispatcher, Pool } from "undici";
import type { UpstreamConfig } from "../config.ts";
import type { ToUpstream } from "./exchange.ts";
import { RetryBudget } from "./retry-budget.ts";

/** Versions with a budget of their own; names come from routing tables, so that more are seen only in years. */
const MOST_BUDGETS = 1_000;

/** A configured upstream with its pool of kept-alive connections. One slow upstream never takes connections from another. */
export class Upstream {
  readonly config: UpstreamConfig;
  readonly #pool: Pool;
  readonly #budgets = new Map<string, RetryBudget>();

  constructor(config: UpstreamConfig) {
    this.config = config;
    this.#pool = new Pool(config.baseUrl.origin, {
      connections: config.connections,
      connect: { timeout: config.timeouts.connectMs },
      headersTimeout: config.timeouts.headersMs,
      bodyTimeout: config.timeouts.idleMs,
      pipelining: 1,
      // One call per connection: a stream that stalls must not hold others back.
      allowH2: false,
    });
  }

  /** What one version may spend on retries: one that fails must not use up another's. */
  budgetOf(version: string): RetryBudget {
    let budget = this.#budgets.get(version);
    if (budget === undefined) {
      if (this.#budgets.size >= MOST_BUDGETS) this.#budgets.clear();
      budget = new RetryBudget(this.config.retries);
      this.#budgets.set(version, budget);
    }
    return budget;
  }

  /** Sends a call to its endpoint below the base address. */
  send(call: Omit<ToUpstream, "hidesUsage">): Promise<Dispatcher.ResponseData> {
    const { pathname, search } = this.config.baseUrl;
    const path = `${pathname.replace(/\/+$/, "")}${call.endpoint.path}${search}`;
    return this.#pool.request({ path, method: "POST", headers: call.headers as Record<string, string | string[]>, body: call.body, signal: call.signal });
  }

  /** Breaks what is still running. */
  close(): Promise<void> {
    return this.#pool.destroy();
  }
}
