import { Agent, request } from "undici";
import type { Arrivals } from "./arrivals.ts";
import type { Random } from "./random.ts";

/** One prompt as a caller sends it. */
export interface Prompt {
  readonly text: string;
  readonly context?: string;
}

export interface TrafficOptions {
  /** Base URLs of the gateways, ending in /v1; calls go round robin. */
  readonly gateways: readonly string[];
  readonly route: string;
  readonly prompts: readonly Prompt[];
  readonly arrivals: Arrivals;
  readonly random: Random;
  /** How many different users call. */
  readonly users: number;
  /** Share of calls that ask for a stream. */
  readonly streamShare: number;
  /** Share of the arrivals' rate that calls are really sent at, in (0, 1]; asked before each call. */
  readonly pace: () => number;
}

/** Callers of one route: they send prompts with the given arrivals until stopped, whatever comes back. */
export class Traffic {
  sent = 0;
  answered = 0;
  failed = 0;
  readonly #options: TrafficOptions;
  readonly #agent = new Agent({ connections: 64, keepAliveTimeout: 30_000 });
  readonly #open = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #dueMs = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  start(): void {
    this.#dueMs = performance.now();
    this.#next();
  }

  /** Stops calling and waits for the answers that are still due. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await Promise.allSettled(this.#open);
    await this.#agent.destroy();
  }

  #next(): void {
    // A timer that fires late is caught up at once: the mean rate holds on a busy machine.
    while (this.#dueMs <= performance.now()) {
      const call = this.#call().finally(() => this.#open.delete(call));
      this.#open.add(call);
      this.#dueMs += this.#options.arrivals.next().value / this.#options.pace();
    }
    this.#timer = setTimeout(() => this.#next(), Math.max(1, this.#dueMs - performance.now()));
  }

  async #call(): Promise<void> {
    const { gateways, route, prompts, random, users, streamShare } = this.#options;
    const prompt = random.pick(prompts);
    const messages = [...(prompt.context === undefined ? [] : [{ role: "system", content: prompt.context }]), { role: "user", content: prompt.text }];
    const stream = random.chance(streamShare);
    const gateway = gateways[this.sent++ % gateways.length];
    try {
      const response = await request(`${gateway}/chat/completions`, {
        dispatcher: this.#agent,
        method: "POST",
        headers: { "content-type": "application/json", "x-headgate-subject": `${route}-user-${random.below(users)}` },
        body: JSON.stringify({ model: route, messages, ...(stream ? { stream, stream_options: { include_usage: true } } : {}) }),
      });
      await response.body.dump();
      if (response.statusCode === 200) this.answered++;
      else this.failed++;
    } catch {
      // A refused or cut connection is what the caller sees of a killed gateway: counted, and the next call goes on.
      this.failed++;
    }
  }
}
