import cluster, { type Worker } from "node:cluster";
import { setTimeout as pause } from "node:timers/promises";
import { AggregatorRegistry, Gauge, type Registry } from "prom-client";
import { type Metrics, withEnded } from "./ended-metrics.ts";

/** Longest wait for the metrics of a worker, ms: Prometheus itself waits 10 s for all of them. */
const WAIT_MS = 2_000;

/** What the first process and its workers say to each other. */
type Message =
  /** The worker can be asked from now on. */
  | { readonly kind: "headgate:metrics-shared" }
  | { readonly kind: "headgate:metrics-wanted" }
  /** null: they cannot be read. */
  | { readonly kind: "headgate:metrics"; readonly metrics: Metrics | null };

interface Member {
  /** What it said last. */
  last: Metrics;
  /** Resolves with whether it has answered what it was asked; null: it was not asked. A worker that hangs is asked once. */
  asked: PromiseWithResolvers<boolean> | null;
}

/** In the first process: the metrics of all workers as one. */
export class WorkersMetrics {
  readonly #count: number;
  readonly #members = new Map<Worker, Member>();
  /** What those that have ended had counted. */
  #ended: Metrics = [];

  /** @param count how many workers there should be */
  constructor(count: number) {
    this.#count = count;
  }

  /** Reads those of a worker that was started too. Of one that ends it keeps what it has counted, as far as it has said so, and no gauge. */
  serve(worker: Worker): void {
    worker.on("message", (message: Message | null) => {
      if (message?.kind === "headgate:metrics-shared") this.#members.set(worker, { last: [], asked: null });
      const member = this.#members.get(worker);
      if (message?.kind !== "headgate:metrics" || member === undefined) return;
      member.last = message.metrics ?? member.last;
      member.asked?.resolve(message.metrics !== null);
      member.asked = null;
    });
    const end = () => {
      const member = this.#members.get(worker);
      if (member === undefined) return;
      this.#members.delete(worker);
      this.#ended = withEnded(this.#ended, member.last);
      member.asked?.resolve(false);
    };
    worker.once("disconnect", end);
    worker.once("exit", end);
  }

  /**
   * The metrics of all workers together, in Prometheus' text form. Of one that runs and does not answer in time it is what it said last: without it the
   * sums would go back, and forward again when it answers, which Prometheus takes for as many new events. Of those that have ended it is what they had counted when
   * they were last asked.
   *
   * @param waitMs longest wait for an answer, ms
   */
  async read(waitMs: number = WAIT_MS): Promise<string> {
    const answers = await Promise.all([...this.#members].map(([worker, member]) => ask(worker, member, waitMs)));
    const heard = answers.filter((hasAnswered) => hasAnswered).length;
    const together = AggregatorRegistry.aggregate([this.#ended, ...[...this.#members.values()].map(({ last }) => last)]);
    const gauge = (name: string, help: string, value: number) => new Gauge({ name, help, registers: [together] }).set(value);
    gauge("headgate_workers", "Processes that share the work, as configured.", this.#count);
    gauge("headgate_workers_unheard", "Those of them that did not tell their metrics: they hang, have ended, or have not started.", this.#count - heard);
    return await together.metrics();
  }
}

/** @returns whether it has answered in time */
async function ask(worker: Worker, member: Member, waitMs: number): Promise<boolean> {
  if (member.asked === null) {
    member.asked = Promise.withResolvers();
    if (worker.isConnected()) worker.send({ kind: "headgate:metrics-wanted" } satisfies Message, () => undefined);
  }
  const answered = new AbortController(); // or the timer would keep the process for the rest of its time
  const hasAnswered = await Promise.race([member.asked.promise, pause(waitMs, false, { signal: answered.signal })]);
  answered.abort();
  return hasAnswered;
}

/** Lets the first process read the metrics of this worker. Does nothing in a process that is none. */
export function shareMetrics(registry: Registry): void {
  if (!cluster.isWorker) return;
  const tell = (message: Message) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
  process.on("message", (message: Message | null) => {
    if (message?.kind !== "headgate:metrics-wanted") return;
    void registry
      .getMetricsAsJSON()
      .catch(() => null)
      .then((metrics) => tell({ kind: "headgate:metrics", metrics }));
  });
  tell({ kind: "headgate:metrics-shared" });
}
