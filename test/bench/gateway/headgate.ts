import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pino from "pino";
import { randomPrefix, startCluster } from "../../../src/dev/cluster/start-cluster.ts";
import { freePort } from "../../../src/dev/demo/processes.ts";
import { rangesFor } from "../../../src/domain/routing/ranges.ts";
import { connectLog } from "../../../src/runtime/log-client.ts";
import type { LogClient } from "../../../src/runtime/port.ts";
import { applyTopics, deletePrefix } from "../../../src/runtime/topic-admin.ts";
import { type RoutingTable, routing } from "../../../topics/index.ts";
import type { Contender } from "./contender.ts";
import { hasEnded, type Processes, tailOf } from "./processes.ts";

export const ROUTE = "bench";

/** A real Kafka and registry with headgate's topics under a prefix of their own, and a client of the bench. */
export interface BenchLog {
  readonly client: LogClient;
  readonly env: Readonly<Record<string, string>>;
  readonly connection: { readonly brokers: readonly string[]; readonly registryUrl: string; readonly prefix: string };
  close(): Promise<void>;
}

export async function startLog(): Promise<BenchLog> {
  const log = pino({ level: "silent" });
  const cluster = await startCluster();
  const connection = { brokers: cluster.brokers, registryUrl: cluster.registryUrl, prefix: randomPrefix() };
  for (let tried = 1; ; tried++) {
    try {
      await applyTopics({ ...connection, partitions: "small", log });
      break;
    } catch (error) {
      // A registry that was just started on a busy machine may take longer than a client waits.
      if (tried === 5) throw error;
    }
  }
  const client = await connectLog({ ...connection, clientId: "bench", log });
  return {
    client,
    connection,
    env: { KAFKA_BROKERS: cluster.brokers.join(","), SCHEMA_REGISTRY_URL: cluster.registryUrl, HEADGATE_PREFIX: connection.prefix },
    async close() {
      await client.close();
      await deletePrefix({ ...connection, log });
      await cluster.stop();
    },
  };
}

/** A canary of 10 % on the bench's route; its candidate sets a parameter, so that its calls are serialised anew. */
export function canary(epoch: number, candidateBuckets = 1_000): RoutingTable {
  return {
    route: ROUTE,
    epoch,
    rollout: "bench-new",
    attempt: 1,
    step: 2,
    phase: "canary",
    baseline: "old@1",
    candidate: "new@2",
    versions: [
      { name: "old@1", upstream: "local", model: "bench-model-old", parameters: "{}", systemTemplate: null },
      { name: "new@2", upstream: "local", model: "bench-model-new", parameters: '{"temperature":0}', systemTemplate: null },
    ],
    salt: "bench",
    ranges: rangesFor({ baseline: "old@1", candidate: "new@2", candidateBuckets, holdbackBuckets: 100 }),
    shadowPpm: 0,
    samplePpm: { baseline: 100_000, candidate: 1_000_000, holdback: 50_000, shadow: 0 },
    paneMs: 60_000,
    windowMs: 900_000,
    callsGraceMs: 5_000,
    judgeGraceMs: 120_000,
    staleAfterMs: 60_000,
    schemaCheck: { source: "response_format", pattern: null, jsonSchema: null, fence: "forbidden" },
    rubrics: [],
    outcomes: [],
    slices: [],
    valueCaps: [],
    attemptStartedAtMs: 0,
    reason: "advanced",
    gateEventId: "bench",
    atMs: Date.now(),
  };
}

export async function publish(client: LogClient, table: RoutingTable): Promise<void> {
  const appender = client.openAppender();
  await appender.append([{ topic: routing, partition: client.partitionFor(routing, ROUTE), key: ROUTE, value: table }]);
  await appender.close();
}

/** Value of a metric without labels, or the sum over its labels. */
async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))].reduce((sum, [, value]) => sum + Number(value), 0);
}

/** headgate's gateway as its users run it, obeying a canary that was published on Kafka; `isLogging`: with a record of every call. */
export async function startHeadgate(
  name: string,
  about: {
    readonly processes: Processes;
    readonly upstreamPort: number;
    readonly directory: string;
    readonly log: BenchLog;
    readonly isLogging: boolean;
    readonly flags?: readonly string[];
  },
): Promise<Contender> {
  const { processes, upstreamPort, directory, log, isLogging } = about;
  const port = await freePort();
  const file = join(directory, `${name}.yaml`);
  const upstream = `upstreams: { local: { baseUrl: "http://127.0.0.1:${upstreamPort}/v1" } }`;
  writeFileSync(
    file,
    `${upstream}\nroutes: { ${ROUTE}: { baseline: { version: old@1, upstream: local, model: bench-model-old } } }\n${isLogging ? "" : "log: off\n"}`,
  );
  const env = {
    ...log.env,
    HEADGATE_GATEWAY_CONFIG: file,
    HEADGATE_GATEWAY_DATA: join(directory, `${name}-data`),
    HEADGATE_GATEWAY_PORT: String(port),
    HEADGATE_SUBJECT_KEY: "the subject key of the bench",
    HEADGATE_TOKEN_KEY: "key-of-the-bench-for-outcome-tokens",
    LOG_LEVEL: "warn",
  };
  const started = processes.node(name, "src/cli/main.ts", { on: "proxy", env, args: ["gateway"], flags: about.flags ?? [] });
  const isObeying = () =>
    metric(port, "headgate_gateway_epoch").then(
      (epoch) => epoch > 0,
      () => false,
    );
  for (const end = Date.now() + 60_000; !(await isObeying()); await sleep(200)) {
    if (hasEnded(started) || Date.now() > end) throw new Error(`${name} did not come up:\n${tailOf(started)}`);
  }
  return {
    name,
    port,
    path: "/v1/chat/completions",
    model: ROUTE,
    headers: {},
    started,
    async settle() {
      while ((await metric(port, "headgate_gateway_queued_records")) > 0) await sleep(100);
    },
    async remark() {
      const [lost, calls] = [await metric(port, "headgate_gateway_dropped_records_total"), await metric(port, "headgate_gateway_calls_total")];
      return lost === 0 ? "" : `${name} dropped the records of ${lost} of ${calls} calls: its log could not keep up`;
    },
  };
}
