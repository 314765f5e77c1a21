import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import kafkajs from "kafkajs";
import pino from "pino";
import { startCluster } from "../../src/dev/cluster/start-cluster.ts";
import { Children } from "../../src/dev/demo/processes.ts";
import { march, publishedCalls } from "../../src/dev/demo/published.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { LogClient, Outgoing } from "../../src/runtime/port.ts";
import { Serde } from "../../src/runtime/serde.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { aggregates, partials, type Request, requests } from "../../topics/index.ts";

/**
 * Requests per second through requests -> sampler -> partials -> aggregator -> aggregates (two role processes, exactly once),
 * beside a bare kafkajs consumer that decodes the same Avro records and does nothing else. Both read the same log in each
 * round, in turns; both clocks start at the first delivery, so that joining a group is not counted.
 */
const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const perRound = Number(process.env.BENCH_REQUESTS ?? 60_000);
const log = pino({ level: "silent" });

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

interface Target {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly prefix: string;
}

/** A log of real-looking calls, a minute of event time, closed by a mark in every partition. */
async function load(client: LogClient): Promise<void> {
  const calls = publishedCalls(1, { "atlas@1": march }, 500, 0.4);
  const appender = client.openAppender();
  const startMs = Date.now() - 120_000;
  const seqs = new Map<number, number>();
  const record = (i: number, overrides: Partial<Request>, partition: number): Outgoing<typeof requests> => {
    const seq = (seqs.get(partition) ?? 0) + 1;
    seqs.set(partition, seq);
    return {
      topic: requests,
      partition,
      key: `subject-${i % 2000}`,
      value: { ...call(calls[i % calls.length], startMs + (60_000 * i) / perRound, seq), ...overrides },
    };
  };
  const partitions = client.partitionsOf(requests);
  for (let i = 0; i < perRound; i += 500) {
    const batch = Array.from({ length: Math.min(500, perRound - i) }, (_, k) => i + k);
    await appender.append(batch.map((n) => record(n, {}, client.partitionFor(requests, `subject-${n % 2000}`))));
  }
  await appender.append(
    Array.from({ length: partitions }, (_, partition) =>
      record(perRound, { kind: "mark", endedAtMs: startMs + 100_000, markMs: startMs + 100_000 }, partition),
    ),
  );
  await appender.close();
}

function call(recorded: ReturnType<typeof publishedCalls>[number] | undefined, endedAt: number, seq: number): Request {
  const endedAtMs = Math.round(endedAt);
  const body = (content: string | undefined) => ({ choices: [{ message: { role: "assistant", content }, finish_reason: "stop" }] });
  return {
    kind: "call",
    requestId: randomUUID(),
    route: "bench",
    rollout: "",
    attempt: 0,
    step: -1,
    epoch: 0,
    arm: "none",
    version: "atlas@1",
    exposure: "served",
    subject: `subject-${seq % 2000}`,
    traceId: "",
    slices: [],
    endedAtMs,
    paneMs: 10_000,
    samplePpm: 0,
    startedAtMs: endedAtMs - 800,
    instance: "bench",
    seq,
    markMs: endedAtMs,
    turn: 0,
    endpoint: "/v1/chat/completions",
    operation: "chat",
    stream: false,
    status: "ok",
    errorType: "",
    httpStatus: 200,
    finishReason: "stop",
    latencyMs: 400 + ((seq * 7919) % 1600),
    ttftMs: null,
    inputTokens: 40,
    outputTokens: recorded?.output_tokens ?? 1,
    costUsd: 0.01,
    attempts: 1,
    firstErrorType: "",
    shieldedBy: "",
    pinned: false,
    caller: "",
    traceState: "",
    upstream: "bench",
    upstreamModel: "atlas",
    bodies: "full",
    cut: false,
    wholeChecks: null,
    requestBody: JSON.stringify({ model: "bench", messages: [{ role: "user", content: recorded?.prompt }], response_format: { type: "json_object" } }),
    responseBody: JSON.stringify(body(recorded?.output)),
    responseFormat: '{"type":"json_object"}',
    reference: null,
    twin: null,
  };
}

/** Runs sampler and aggregator until every call is in a block; requests per second from the first frame on. */
async function headgateRps(target: Target, client: LogClient): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-bench-"));
  const failed = Promise.withResolvers<never>();
  const children = new Children(directory, (child, how) => failed.reject(new Error(`${child.name} ended: ${how}\n${children.tail(child.name)}`)));
  const env = { KAFKA_BROKERS: target.brokers.join(","), SCHEMA_REGISTRY_URL: target.registryUrl, HEADGATE_PREFIX: target.prefix, LOG_LEVEL: "warn" };
  const done = Promise.withResolvers<number>();
  let first: { readonly atMs: number; readonly records: number } | undefined;
  let counted = 0;
  const follower = client.follow([partials, aggregates], {
    from: "beginning",
    onError: done.reject,
    onRecord: ({ topic, value, appendedAtMs }) => {
      const block = value as { kindOfRecord?: string; signal?: string; slice?: string; records?: number; fromOffset?: number; toOffset?: number };
      if (topic === partials.name) first ??= { atMs: appendedAtMs, records: (block.toOffset ?? 0) - (block.fromOffset ?? 0) };
      if (topic !== aggregates.name || block.kindOfRecord !== "block" || block.signal !== "latency_p95" || block.slice !== "all") return;
      counted += block.records ?? 0;
      if (counted >= perRound && first) done.resolve((perRound - first.records) / ((appendedAtMs - first.atMs) / 1000));
    },
  });
  children.start("sampler", "src/cli/main.ts", ["sampler"], env);
  children.start("aggregator", "src/cli/main.ts", ["aggregator"], env);
  const rps = await Promise.race([done.promise, failed.promise]);
  await follower.close();
  await children.stopAll();
  rmSync(directory, { recursive: true, force: true });
  if (counted !== perRound) throw new Error(`the blocks count ${counted} calls of ${perRound}: do not time them`);
  return rps;
}

/** Reads and decodes all records with a plain consumer; requests per second from the first delivery on. */
async function bareRps(target: Target): Promise<number> {
  const serde = await Serde.connect(target.registryUrl, target.prefix);
  const kafka = new kafkajs.Kafka({ brokers: [...target.brokers], clientId: "bare", logLevel: kafkajs.logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: `${target.prefix}bare-${randomUUID()}` });
  await consumer.connect();
  await consumer.subscribe({ topic: `${target.prefix}${requests.name}`, fromBeginning: true });
  const done = Promise.withResolvers<number>();
  let startedAt: number | undefined;
  let calls = 0;
  await consumer.run({
    partitionsConsumedConcurrently: 2,
    eachBatch: async ({ batch }) => {
      startedAt ??= performance.now();
      for (const { value } of batch.messages) {
        if (value && ((await serde.decode(requests, value)) as Request).kind === "call") calls++;
      }
      if (calls >= perRound) done.resolve(perRound / ((performance.now() - startedAt) / 1000));
    },
  });
  const rps = await done.promise;
  await consumer.disconnect();
  return rps;
}

const cluster = await startCluster();
const results: { readonly headgate: number; readonly bare: number }[] = [];
for (let round = 0; round < rounds; round++) {
  const target: Target = { brokers: cluster.brokers, registryUrl: cluster.registryUrl, prefix: `hgtest-bench-${randomUUID().slice(0, 8)}.` };
  await applyTopics({ ...target, partitions: "small", log });
  const client = await connectLog({ ...target, clientId: "bench", log });
  await load(client);
  // Who goes first alternates, so that a warm page cache favours nobody.
  const turns = round % 2 === 0 ? (["bare", "headgate"] as const) : (["headgate", "bare"] as const);
  const rps = { headgate: 0, bare: 0 };
  for (const side of turns) rps[side] = side === "bare" ? await bareRps(target) : await headgateRps(target, client);
  results.push(rps);
  console.log(`round ${round + 1}: headgate ${rps.headgate.toFixed(0)} requests/s, bare consumer ${rps.bare.toFixed(0)} requests/s`);
  await client.close();
  await deletePrefix({ ...target, log });
}
await cluster.stop();

const headgate = median(results.map((result) => result.headgate));
const bare = median(results.map((result) => result.bare));
const ratios = results.map((result) => result.headgate / result.bare).sort((a, b) => a - b);
console.log(
  `\n| | requests/s (median of ${rounds}) |\n|---|---|\n| requests -> aggregates, exactly once | ${headgate.toFixed(0)} |\n| bare kafkajs consumer | ${bare.toFixed(0)} |`,
);
console.log(`ratio per round: min ${ratios[0]?.toFixed(3)}, median ${median(ratios).toFixed(3)}, max ${ratios.at(-1)?.toFixed(3)}\n`);
console.log(JSON.stringify({ headgate_rps: Math.round(headgate), bare_consumer_rps: Math.round(bare), ratio: Number(median(ratios).toFixed(4)) }));
