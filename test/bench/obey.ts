import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import kafkajs, { type Consumer, type Producer } from "kafkajs";
import type { Follower } from "../../src/runtime/port.ts";
import { Serde } from "../../src/runtime/serde.ts";
import { type FleetReport, fleet, gateEvents, type RoutingTable, routing } from "../../topics/index.ts";
import { requestsFor } from "./gateway/contender.ts";
import { fixedUpstream } from "./gateway/fixed-upstream.ts";
import { type BenchLog, canary, publish, ROUTE, startHeadgate, startLog } from "./gateway/headgate.ts";
import { Processes, pinBench } from "./gateway/processes.ts";

/**
 * How long a gateway takes to obey: from when the transaction of a gate event begins to be sent, as a decider sends it (the event and the routing
 * table together), to the first request that the new table routes, as the upstream sees it. Under load, and beside the bare round trip of the same
 * cluster in turns with it: the same transaction on a topic of its own, until a plain consumer that reads what is committed has it.
 *
 *   --changes N   changes of routing (500)
 *   --rate R      requests per second (400)
 *
 * `after_ack`: requests that reached the upstream by an older table after the gateway had reported the newer one on `fleet`. Last line: JSON.
 */
const { values: flags } = parseArgs({ options: { changes: { type: "string", default: "500" }, rate: { type: "string", default: "400" } } });
const [changes, rate] = [Number(flags.changes), Number(flags.rate)];
const WARM_UP = 10;
const LATE_MS = 15_000;
/** Right after a commit the coordinator refuses the next transaction for some milliseconds; deciders do not decide twice in that time either. */
const PAUSE_MS = 30;
/** As large as a gate event of a rollout with eight signals. */
const event = Buffer.alloc(4_096, JSON.stringify({ signal: "task_completion", verdict: "safe" }));

/** What the upstream and `fleet` tell of the newest table. */
class Watch {
  newest = 0;
  acknowledged = 0;
  afterAck = 0;
  requests = 0;
  #waiting: { readonly epoch: number; readonly isAck: boolean; readonly resolve: (atMs: number) => void }[] = [];

  request(text: string): void {
    const epoch = Number(/"model":"epoch-(\d+)"/.exec(text)?.[1] ?? 0);
    this.requests++;
    if (epoch < this.acknowledged) this.afterAck++;
    this.newest = Math.max(this.newest, epoch);
    this.#tell();
  }

  report(value: FleetReport): void {
    const epoch = value.routes.find(({ route }) => route === ROUTE)?.epoch ?? 0;
    this.acknowledged = Math.max(this.acknowledged, epoch);
    this.#tell();
  }

  /** When the first request by this table, or its acknowledgement, is seen. @throws when that takes too long */
  async seen(epoch: number, what: "request" | "ack"): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#waiting.push({ epoch, isAck: what === "ack", resolve });
    this.#tell();
    const late = new AbortController();
    const tooLate = sleep(LATE_MS, undefined, { signal: late.signal }).then(() => {
      throw new Error(`table ${epoch}: no ${what} within ${LATE_MS / 1000} s`);
    });
    tooLate.catch(() => undefined);
    const atMs = await Promise.race([promise, tooLate]);
    late.abort();
    return atMs;
  }

  #tell(): void {
    const nowMs = performance.now();
    this.#waiting = this.#waiting.filter(({ epoch, isAck, resolve }) => {
      const isSeen = (isAck ? this.acknowledged : this.newest) >= epoch;
      if (isSeen) resolve(nowMs);
      return !isSeen;
    });
  }
}

/** Everybody on one version or on the other, whose models name the epoch. */
function flipped(epoch: number): RoutingTable {
  const table = canary(epoch, epoch % 2 === 0 ? 10_000 : 0);
  return { ...table, versions: table.versions.map((version) => ({ ...version, model: `epoch-${epoch}` })) };
}

async function commit(producer: Producer, topicMessages: Parameters<Producer["sendBatch"]>[0]["topicMessages"]): Promise<number> {
  const transaction = await producer.transaction();
  const startedMs = performance.now();
  await transaction.sendBatch({ acks: -1, ...(topicMessages === undefined ? {} : { topicMessages }) });
  await transaction.commit();
  return startedMs;
}

/** The bare round trip: a topic of its own, a producer with transactions, and a consumer that reads what is committed. */
class Bare {
  readonly #topic: string;
  readonly #consumer: Consumer;
  #onMessage: (atMs: number) => void = () => undefined;

  private constructor(topic: string, consumer: Consumer) {
    this.#topic = topic;
    this.#consumer = consumer;
  }

  static async start(kafka: kafkajs.Kafka, prefix: string): Promise<Bare> {
    const topic = `${prefix}bench-bare`;
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true });
    await admin.disconnect();
    const consumer = kafka.consumer({ groupId: `${prefix}bench-bare`, readUncommitted: false });
    const bare = new Bare(topic, consumer);
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ eachMessage: async () => bare.#onMessage(performance.now()) });
    return bare;
  }

  async roundTrip(producer: Producer): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#onMessage = resolve;
    const startedMs = await commit(producer, [{ topic: this.#topic, messages: [{ value: event, partition: 0 }] }]);
    return (await promise) - startedMs;
  }

  stop(): Promise<void> {
    return this.#consumer.disconnect();
  }
}

const quantile = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return Number((sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN).toFixed(2));
};

async function measure(log: BenchLog, watch: Watch): Promise<{ obeyed: number[]; bare: number[] }> {
  const { prefix, brokers, registryUrl } = log.connection;
  const kafka = new kafkajs.Kafka({ brokers: [...brokers], clientId: "obey", logLevel: kafkajs.logLevel.NOTHING });
  const serde = await Serde.connect(registryUrl, prefix);
  await serde.prepare([routing]);
  const retry = { initialRetryTime: 20, maxRetryTime: 1000, retries: 20 };
  const producer = kafka.producer({ transactionalId: `${prefix}bench-obey`, maxInFlightRequests: 1, idempotent: true, retry });
  await producer.connect();
  const bare = await Bare.start(kafka, prefix);
  const found: { obeyed: number[]; bare: number[] } = { obeyed: [], bare: [] };
  const partition = log.client.partitionFor(routing, ROUTE);
  const change = async (epoch: number): Promise<number> => {
    const table = serde.encode(routing, flipped(epoch));
    const startedMs = await commit(producer, [
      { topic: `${prefix}${gateEvents.name}`, messages: [{ key: ROUTE, value: event, partition }] },
      { topic: `${prefix}${routing.name}`, messages: [{ key: ROUTE, value: table, partition }] },
    ]);
    const tookMs = (await watch.seen(epoch, "request")) - startedMs;
    await watch.seen(epoch, "ack");
    return tookMs;
  };
  for (let i = 0; i < changes + WARM_UP; i++) {
    const obeyedMs = await change(i + 2);
    await sleep(PAUSE_MS * (0.5 + Math.random()));
    const bareMs = await bare.roundTrip(producer);
    await sleep(PAUSE_MS * (0.5 + Math.random()));
    if (i < WARM_UP) continue;
    found.obeyed.push(obeyedMs);
    found.bare.push(bareMs);
    if (found.obeyed.length % 100 === 0)
      process.stderr.write(`${found.obeyed.length} changes: p50 ${quantile(found.obeyed, 0.5)} ms, bare ${quantile(found.bare, 0.5)} ms\n`);
  }
  await producer.disconnect();
  await bare.stop();
  return found;
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-obey-"));
  const pinned = pinBench();
  const processes = new Processes(directory);
  const log = await startLog();
  await publish(log.client, flipped(1));
  const watch = new Watch();
  const upstream = fixedUpstream((request) => watch.request(request));
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const reports: Follower = log.client.follow([fleet], {
    from: "beginning",
    onRecord: ({ value }) => value !== null && watch.report(value as FleetReport),
  });
  const upstreamPort = (upstream.address() as AddressInfo).port;
  const gateway = await startHeadgate("headgate", { processes, upstreamPort, directory, log, isLogging: true });
  const load = processes.node("load", "test/bench/gateway/load.ts");
  load.process.send({ port: gateway.port, requests: requestsFor(gateway, false), connections: 64, seconds: 3_600, rate });
  await watch.seen(1, "request");

  const { obeyed, bare } = await measure(log, watch);
  const { requests, afterAck } = watch;
  await processes.stop(load);
  await reports.close();
  await processes.stopAll();
  upstream.close();
  await log.close();
  rmSync(directory, { recursive: true, force: true });
  console.log(`${changes} changes under ${rate} requests/s (${requests} requests), node ${process.version}; ${pinned}`);
  const result = {
    n: obeyed.length,
    p50_ms: quantile(obeyed, 0.5),
    p99_ms: quantile(obeyed, 0.99),
    max_ms: quantile(obeyed, 1),
    bare_p50_ms: quantile(bare, 0.5),
    bare_p99_ms: quantile(bare, 0.99),
    after_ack: afterAck,
  };
  console.log(JSON.stringify(result));
}

await main();
process.exit(0);
