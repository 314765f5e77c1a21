import cluster, { type Worker } from "node:cluster";
import { RateLimit } from "./rate-limit.ts";

/** Asks the first process for one call of a rate that all workers share. */
interface Ask {
  readonly kind: "headgate:take";
  readonly id: number;
  readonly name: string;
  readonly perMinute: number;
}
interface Answer {
  readonly kind: "headgate:taken";
  readonly id: number;
  readonly waitS: number;
}

/** What counts calls against a rate; `take` as that of `RateLimit`, at once or a moment later. */
export interface Rate {
  take(): number | Promise<number>;
}

/** How long the first process may take for an answer, ms. Calls keep their places while they wait, and others find none. */
const PATIENCE_MS = 2_000;

interface Waiting {
  readonly resolve: (waitS: number) => void;
  readonly timer: NodeJS.Timeout;
}

const waiting = new Map<number, Waiting>();
let nextId = 0;
/** It has not answered in time, and nothing since: it is not asked again until what it was asked comes back. */
let isHung = false;

/**
 * A rate that holds for all processes that share a port together: in a worker the first process counts, one message there and back for each call; in a
 * process of its own it is counted here. While the first process does not answer, because it hangs or has ended, each worker counts by itself: all together
 * may then let through as many times more as there are workers.
 *
 * @param name the same in all workers; each name has one count
 * @param perMinute calls, above 0
 */
export function sharedRate(name: string, perMinute: number): Rate {
  const own = new RateLimit(perMinute);
  if (!cluster.isWorker) return own;
  listen();
  return { take: () => (process.connected && !isHung ? ask({ name, perMinute }, own) : own.take()) };
}

function ask(about: Pick<Ask, "name" | "perMinute">, own: RateLimit): Promise<number> {
  const id = nextId++;
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      isHung = true;
      waiting.delete(id);
      resolve(own.take());
    }, PATIENCE_MS);
    waiting.set(id, { resolve, timer });
    // A channel that closes meanwhile answers by `disconnect`.
    process.send?.({ kind: "headgate:take", id, ...about } satisfies Ask, undefined, undefined, () => undefined);
  });
}

function answer(id: number, waitS: number): void {
  const asked = waiting.get(id);
  if (asked === undefined) return;
  clearTimeout(asked.timer);
  waiting.delete(id);
  asked.resolve(waitS);
}

let isListening = false;
function listen(): void {
  if (isListening) return;
  isListening = true;
  process.on("message", (message: Partial<Answer> | null) => {
    if (message?.kind !== "headgate:taken" || message.id === undefined) return;
    isHung = false;
    answer(message.id, message.waitS ?? 0);
  });
  // A call that was asked about when the channel closed is not kept waiting for ever.
  process.on("disconnect", () => {
    for (const id of [...waiting.keys()]) answer(id, 0);
  });
}

/** In the first process: the counts of all workers. They outlive a worker that dies. */
export class SharedRates {
  readonly #rates = new Map<string, RateLimit>();

  /** Answers what this worker asks. */
  serve(worker: Worker): void {
    worker.on("message", (message: Partial<Ask> | null) => {
      if (message?.kind !== "headgate:take" || message.id === undefined) return;
      const answer: Answer = { kind: "headgate:taken", id: message.id, waitS: this.#of(message.name ?? "", message.perMinute ?? 1).take() };
      // It may be gone by now: then nobody waits for the answer.
      if (worker.isConnected()) worker.send(answer, () => undefined);
    });
  }

  #of(name: string, perMinute: number): RateLimit {
    const key = `${perMinute} ${name}`;
    const known = this.#rates.get(key) ?? new RateLimit(perMinute);
    this.#rates.set(key, known);
    return known;
  }
}
