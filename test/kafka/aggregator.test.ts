import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { Registry } from "prom-client";
import { connectLog } from "../../src/runtime/log-client.ts";
import type { Appender, LogClient, Outgoing } from "../../src/runtime/port.ts";
import type { Program, RunningProgram } from "../../src/runtime/program.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { program as sampler } from "../../src/stages/2-sampler/main.ts";
import { program as aggregator } from "../../src/stages/4-aggregator/main.ts";
import {
  type Aggregate,
  aggregates,
  type Frame,
  partials,
  type Request,
  requests,
  routing,
  type Sample,
  type Score,
  samples,
  scores,
  type WindowView,
  windows,
} from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";
import { callWith, scoreWith } from "../unit/domain/signals/call-fixture.ts";
import { until } from "../unit/stages/1-gateway/harness.ts";

const log = pino({ level: "silent" });
const deadlineMs = 60_000;
const paneMs = 10_000;

type Connection = Omit<Parameters<typeof connectLog>[0], "clientId" | "log">;

/** A role as its program runs, in this process. */
async function run(program: Program, connection: Connection, env: Record<string, string> = {}) {
  const metrics = new Registry();
  let client: LogClient | null = null;
  const running: RunningProgram = await program.start({
    env,
    log,
    metrics,
    instance: `${program.name}-test`,
    connect: async () => {
      client = await connectLog({ ...connection, clientId: program.name, log, sessionTimeoutMs: 6_000 });
      return client;
    },
    readiness: () => undefined,
  });
  const counted = async (name: string): Promise<number> => {
    const metric = (await metrics.getMetricsAsJSON()).find((each) => each.name === name);
    return (metric?.values ?? []).reduce((sum, { value }) => sum + Number(value), 0);
  };
  return {
    counted,
    async stop() {
      await running.stop();
      await client?.close();
    },
  };
}

/** Gateways that log calls to the topic, one number after another, all of them marking every partition. */
class Gateways {
  readonly #client: LogClient;
  readonly #appender: Appender;
  readonly #seqs = new Map<string, number>();
  readonly sent: Request[] = [];
  #last: Outgoing[] = [];

  constructor(client: LogClient) {
    this.#client = client;
    this.#appender = client.openAppender();
  }

  #numbered(partition: number, value: Request): Outgoing {
    const key = `${value.instance} ${partition}`;
    const seq = (this.#seqs.get(key) ?? 0) + 1;
    this.#seqs.set(key, seq);
    return { topic: requests, partition, key: value.subject, value: { ...value, seq } };
  }

  async calls(calls: readonly Request[]): Promise<void> {
    this.sent.push(...calls);
    this.#last = calls.map((call) => this.#numbered(this.#client.partitionFor(requests, call.subject), call));
    await this.#appender.append(this.#last);
  }

  /** As after a lost acknowledgement. */
  async lastAgain(): Promise<void> {
    await this.#appender.append(this.#last);
  }

  async mark(markMs: number): Promise<void> {
    const partitions = Array.from({ length: this.#client.partitionsOf(requests) }, (_, i) => i);
    const marks = ["gateway-1", "gateway-2"].flatMap((instance) =>
      partitions.map((partition) => this.#numbered(partition, callWith({ kind: "mark", instance, markMs, endedAtMs: markMs, subject: "", requestId: "" }))),
    );
    await this.#appender.append(marks);
  }

  close(): Promise<void> {
    return this.#appender.close();
  }
}

async function prefixed(t: TestContext) {
  const { brokers, registryUrl } = await testCluster();
  const connection = { brokers: brokers.split(","), registryUrl, prefix: testPrefix() };
  await applyTopics({ ...connection, partitions: "small", log });
  const client = await connectLog({ ...connection, clientId: "test", log });
  const gateways = new Gateways(client);
  const seen = { frames: [] as Frame[], samples: [] as Sample[], blocks: [] as Aggregate[], views: new Map<string, WindowView>() };
  const follower = client.follow([partials, samples, aggregates, windows], {
    from: "beginning",
    onRecord: ({ topic, key, value }) => {
      if (topic === partials.name) seen.frames.push(value as Frame);
      else if (topic === samples.name) seen.samples.push(value as Sample);
      else if (topic === aggregates.name) seen.blocks.push(value as Aggregate);
      else if (value === null) seen.views.delete(key ?? "");
      else seen.views.set(key ?? "", value as WindowView);
    },
  });
  t.after(async () => {
    await gateways.close();
    await follower.close();
    await client.close();
    await deletePrefix(connection);
  });
  return { connection, client, gateways, seen };
}

const rubric = { name: "task@1", digest: "digest-1", signals: [{ name: "task_completion", form: "binary" as const }] };
const yesOrNo = { source: "pattern", pattern: "\\[(Yes|No)\\]", jsonSchema: null, fence: "forbidden" };

async function publishTable(client: LogClient): Promise<void> {
  const table = tableWith({
    epoch: 7,
    paneMs,
    callsGraceMs: 500,
    judgeGraceMs: 600_000,
    schemaCheck: yesOrNo,
    rubrics: [rubric],
    slices: ["context=long"],
    attemptStartedAtMs: 6,
  });
  const appender = client.openAppender();
  await appender.append([{ topic: routing, partition: client.partitionFor(routing, table.route), key: table.route, value: table }]);
  await appender.close();
}

async function appendScores(client: LogClient, all: readonly Score[]): Promise<void> {
  const appender = client.openAppender();
  await appender.append(all.map((value) => ({ topic: scores, partition: client.partitionFor(scores, value.subject), key: value.subject, value })));
  await appender.close();
}

/** Calls of both arms in one pane; every fifth of the candidate does not answer as asked. */
const callsIn = (paneStartMs: number, n: number, subjects = 37): Request[] =>
  Array.from({ length: n }, (_, i) => {
    const arm = i % 2 === 0 ? "candidate" : "baseline";
    const endedAtMs = paneStartMs + Math.floor((i * (paneMs - 1)) / n);
    const bad = arm === "candidate" && i % 10 === 0;
    return callWith({
      requestId: `${paneStartMs}-${i}`,
      arm,
      version: arm === "candidate" ? "b@2" : "a@1",
      subject: `subject-${i % subjects}`,
      slices: [`user=${i}`, ...(i % 4 < 2 ? ["context=long"] : [])],
      instance: `gateway-${1 + (i % 2)}`,
      endedAtMs,
      startedAtMs: endedAtMs - 100,
      markMs: paneStartMs,
      samplePpm: arm === "candidate" ? 1_000_000 : 300_000,
      ...(bad ? { responseBody: "no JSON at all" } : {}),
    });
  });

const blocksOf = (blocks: readonly Aggregate[], signal: string, version: string) =>
  blocks.filter((b) => b.kindOfRecord === "block" && b.signal === signal && b.version === version && b.slice === "all");
const sum = (blocks: readonly Aggregate[], field: "records" | "sampled" | "scored") => blocks.reduce((total, block) => total + block[field], 0);
const losses = (blocks: readonly Aggregate[]) => blocks.reduce((total, { values, counts }) => total + (counts[values.indexOf(1)] ?? 0), 0);

describe("sampler and aggregator on a real Kafka", () => {
  it("count every call and score exactly once per version and pane, through restarts and repeats", async (t) => {
    const { connection, client, gateways, seen } = await prefixed(t);
    await publishTable(client);
    const firstMs = Math.floor((Date.now() - 600_000) / paneMs) * paneMs;
    const env = { HEADGATE_AGGREGATOR_FLUSH_MS: "200", HEADGATE_WINDOW_REFRESH_MS: "500" };

    let sampling = await run(sampler, connection);
    let aggregating = await run(aggregator, connection, env);
    await gateways.calls(callsIn(firstMs, 200));
    await gateways.lastAgain();
    await gateways.calls(callsIn(firstMs + paneMs, 150));
    await gateways.mark(firstMs + paneMs + 5_000);
    const closesOf = (group: string) => seen.blocks.filter((b) => b.kindOfRecord === "close" && b.group === group && b.round === 0);
    await until("the first pane is closed", () => closesOf("calls").length >= 1, deadlineMs);
    await until("all calls are folded", () => seen.samples.length >= 100 + 75, deadlineMs);
    assert.equal(await sampling.counted("headgate_sampler_repeats_total"), 200);
    assert.equal(await sampling.counted("headgate_sampler_lost_total"), 0);

    // Both stop in the middle of the second pane; what was sent last is delivered again to their successors.
    await Promise.all([sampling.stop(), aggregating.stop()]);
    await gateways.lastAgain();
    await gateways.calls(callsIn(firstMs + 2 * paneMs, 100, 41));
    sampling = await run(sampler, connection);
    aggregating = await run(aggregator, connection, env);
    t.after(() => Promise.all([sampling.stop(), aggregating.stop()]));

    const expected = gateways.sent;
    await gateways.mark(firstMs + 3 * paneMs + 600);
    await until("three panes are closed", () => closesOf("calls").length >= 3, deadlineMs);
    const drawn = [...seen.samples];
    await appendScores(
      client,
      drawn.map((sample, i) => scoreOf(sample, i)),
    );
    await appendScores(
      client,
      drawn.slice(0, 50).map((sample, i) => scoreOf(sample, i)),
    );
    await until("judged panes are closed", () => closesOf("judge").length >= 3, deadlineMs);

    assert.equal(await sampling.counted("headgate_sampler_repeats_total"), 150);
    assert.equal(await aggregating.counted("headgate_aggregator_repeats_total"), 50);
    assert.deepEqual(
      closesOf("calls").map(({ paneStartMs }) => (paneStartMs - firstMs) / paneMs),
      [0, 1, 2],
    );
    assert.equal(new Set(drawn.map(({ requestId }) => requestId)).size, drawn.length, "a call was drawn twice");
    for (const version of ["a@1", "b@2"]) {
      const calls = expected.filter((call) => call.version === version);
      for (const signal of ["error_rate", "schema_validity", "latency_p95", "output_tokens", "cost_per_request"]) {
        const blocks = blocksOf(seen.blocks, signal, version);
        assert.equal(sum(blocks, "scored"), calls.length, `${signal} of ${version}`);
        for (const block of blocks) {
          const inPane = calls.filter(({ endedAtMs }) => endedAtMs >= block.paneStartMs && endedAtMs < block.paneStartMs + paneMs);
          assert.equal(block.scored, inPane.length, `${signal} of ${version} in pane ${(block.paneStartMs - firstMs) / paneMs}`);
        }
      }
      assert.equal(losses(blocksOf(seen.blocks, "schema_validity", version)), calls.filter(({ responseBody }) => responseBody === "no JSON at all").length);
      const judged = blocksOf(seen.blocks, "task_completion", version);
      const ofVersion = drawn.filter((sample) => sample.version === version).length;
      assert.deepEqual([sum(judged, "records"), sum(judged, "sampled"), sum(judged, "scored")], [calls.length, ofVersion, ofVersion]);
    }
    const subjects = blocksOf(seen.blocks, "latency_p95", "a@1").concat(blocksOf(seen.blocks, "latency_p95", "b@2"));
    assert.equal(
      subjects.reduce((total, { newSubjects }) => total + (newSubjects ?? Number.NaN), 0),
      41,
      "subjects at first sight, across the restart",
    );
    const sliced = seen.blocks.filter((b) => b.slice === "context=long" && b.signal === "task_completion");
    assert.deepEqual([sum(sliced, "records"), sum(sliced, "sampled")], [226, drawn.filter(({ slices }) => slices.includes("context=long")).length]);
    assert.deepEqual(new Set(seen.blocks.map(({ slice }) => slice)), new Set(["", "all", "context=long"]));
    const tableView = () => [...seen.views.values()].find((v) => v.signal === "error_rate" && v.version === "b@2" && v.slice === "all");
    await until("the rolling window shows all calls", () => tableView()?.records === 225, deadlineMs);
    assert.equal(tableView()?.mean, 1);
  });

  it("a call waits for the table of its epoch, and is then judged by it", async (t) => {
    const { connection, client, gateways, seen } = await prefixed(t);
    const sampling = await run(sampler, connection);
    t.after(() => sampling.stop());
    const endedAtMs = Date.now() - 1_000;
    await gateways.calls([callWith({ endedAtMs, markMs: endedAtMs - 1_000, responseBody: '{"choices":[{"message":{"content":"neither"}}]}' })]);
    await publishTable(client);
    const entries = () => seen.frames.flatMap((frame) => frame.entries);
    await until("the call is folded", () => entries().length > 0, deadlineMs);
    assert.deepEqual(
      entries()
        .filter(({ signal }) => signal === "schema_validity")
        .map(({ values, counts }) => [values, counts]),
      [[[1], [1]]],
    );
    assert.equal(await sampling.counted("headgate_sampler_table_timeouts_total"), 0);
    await until("the sample", () => seen.samples.length === 1, deadlineMs);
    assert.deepEqual(seen.samples[0]?.rubrics, ["digest-1"]);
  });
});

/** Passes two of three. */
function scoreOf(sample: Sample, i: number): Score {
  const { rubrics: _, requestBody: __, responseBody: ___, reference: ____, twin: _____, ...attribution } = sample;
  const results = [
    { signal: "task_completion", form: "binary" as const, status: "scored" as const, value: Number(i % 3 !== 0), twinValue: null, rationale: "" },
  ];
  return scoreWith({ ...attribution, results });
}
