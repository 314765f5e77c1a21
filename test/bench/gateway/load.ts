import { Connection, type Reply } from "./connection.ts";

/** What the load generator is asked to do; requests as they go over the wire, used in turn. */
export interface LoadOrder {
  readonly port: number;
  readonly requests: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  /** Requests per second at fixed times, whatever the answers do; 0: each connection sends its next request when it has its answer. */
  readonly rate: number;
}

/** What it measured; times in ms. */
export interface LoadResult {
  readonly rps: number;
  readonly p50: number;
  readonly p99: number;
  /** Median time to the first byte of the body. */
  readonly firstP50: number;
  readonly answered: number;
  /** Answers other than 2xx, and connections that broke. */
  readonly failed: number;
}

const quantile = (sorted: Float64Array, q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;

class Tally {
  readonly #total: number[] = [];
  readonly #first: number[] = [];
  failed = 0;

  add(reply: Reply | null, dueAt: number): void {
    if (reply === null || reply.status < 200 || reply.status > 299) {
      this.failed++;
      return;
    }
    this.#total.push(reply.doneAt - dueAt);
    this.#first.push(reply.firstAt - dueAt);
  }

  result(seconds: number): LoadResult {
    const total = Float64Array.from(this.#total).sort();
    const first = Float64Array.from(this.#first).sort();
    return {
      rps: total.length / seconds,
      p50: quantile(total, 0.5),
      p99: quantile(total, 0.99),
      firstP50: quantile(first, 0.5),
      answered: total.length,
      failed: this.failed,
    };
  }
}

/** As fast as the connections answer. */
async function closedLoop(order: LoadOrder, requests: readonly Buffer[]): Promise<LoadResult> {
  const tally = new Tally();
  const startedAt = performance.now();
  const endsAt = startedAt + order.seconds * 1000;
  let sent = 0;
  const connections = Array.from({ length: order.connections }, () => new Connection(order.port));
  await Promise.all(
    connections.map(
      (connection) =>
        new Promise<void>((resolve) => {
          const next = () => {
            const request = requests[sent++ % requests.length];
            if (request === undefined || performance.now() >= endsAt) return resolve();
            connection.send(request, (reply) => {
              tally.add(reply, reply?.sentAt ?? 0);
              // A connection that is refused at once must not turn into a busy loop.
              if (reply === null) setTimeout(next, 10);
              else next();
            });
          };
          next();
        }),
    ),
  );
  for (const connection of connections) connection.close();
  return tally.result((performance.now() - startedAt) / 1000);
}

/** At fixed times. What finds no free connection is sent late, and its wait counts: nothing is left out because an answer was slow. */
async function paced(order: LoadOrder, requests: readonly Buffer[]): Promise<LoadResult> {
  const tally = new Tally();
  const free = Array.from({ length: order.connections }, () => new Connection(order.port));
  const all = [...free];
  const due: number[] = [];
  const count = Math.max(1, Math.round(order.rate * order.seconds));
  const startedAt = performance.now();
  const finished = Promise.withResolvers<void>();
  let [planned, sent, answered] = [0, 0, 0];
  const flush = () => {
    while (due.length > 0) {
      const connection = free.pop();
      const request = requests[sent % requests.length];
      if (connection === undefined || request === undefined) return;
      const dueAt = due.shift() ?? 0;
      sent++;
      connection.send(request, (reply) => {
        tally.add(reply, dueAt);
        free.push(connection);
        if (++answered === count) finished.resolve();
        flush();
      });
    }
  };
  const plan = () => {
    // A request is due when it is sent, unless connections are what it waits for: the timer's own lateness is not the proxy's.
    const now = performance.now();
    while (planned < count && startedAt + (planned * 1000) / order.rate <= now) {
      planned++;
      due.push(now);
    }
    flush();
    if (planned < count) setTimeout(plan, Math.max(0, startedAt + (planned * 1000) / order.rate - performance.now()));
  };
  plan();
  const late = setTimeout(() => finished.resolve(), order.seconds * 1000 + 10_000);
  await finished.promise;
  clearTimeout(late);
  for (const connection of all) connection.close();
  return tally.result((performance.now() - startedAt) / 1000);
}

process.on("message", (order: LoadOrder) => {
  const requests = order.requests.map((text) => Buffer.from(text));
  void (order.rate > 0 ? paced : closedLoop)(order, requests).then((result) => process.send?.(result));
});
// Orders are all that this process lives for.
process.channel?.ref();
process.on("disconnect", () => process.exit(0));
