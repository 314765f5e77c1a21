import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { builtInStories, type Story } from "../../src/dev/demo/stories.ts";
import { partitionOf } from "../../src/runtime/partitioner.ts";
import type { Incoming } from "../../src/runtime/port.ts";
import type { Aggregate, EvidenceEntry, GateEvent, Request, RoutingTable, Sample, Score } from "../../topics/index.ts";
import { aggregates, evidence, gateEvents, requests, routing, samples, scores } from "../../topics/index.ts";
import { type System, startSystem } from "../fixtures/system.ts";
import { until } from "../fixtures/until.ts";

const workers = ["sampler", "judge", "aggregator", "decider"] as const;
const injector = new URL("../fixtures/die-in-transaction.ts", import.meta.url).pathname;

/** Everything that the test reads back from the topics, read committed. */
class Readings {
  readonly calls: Request[] = [];
  /** Records of calls, re-delivered ones included. */
  callRecords = 0;
  readonly samples: Sample[] = [];
  readonly scores: Score[] = [];
  readonly blocks: Aggregate[] = [];
  readonly closes: Aggregate[] = [];
  readonly events: GateEvent[] = [];
  readonly evidence: EvidenceEntry[] = [];
  readonly epochs: RoutingTable[] = [];
  readonly #ids = new Set<string>();

  take({ topic, value }: Incoming): void {
    if (value === null) return;
    if (topic === requests.name) this.#call(value as Request);
    else if (topic === samples.name) this.samples.push(value as Sample);
    else if (topic === scores.name) this.scores.push(value as Score);
    else if (topic === gateEvents.name) this.events.push(value as GateEvent);
    else if (topic === evidence.name) this.evidence.push(value as EvidenceEntry);
    else if (topic === routing.name) this.epochs.push(value as RoutingTable);
    else if ((value as Aggregate).kindOfRecord === "block") this.blocks.push(value as Aggregate);
    else this.closes.push(value as Aggregate);
  }

  #call(call: Request): void {
    if (call.kind !== "call") return;
    this.callRecords++;
    if (this.#ids.has(call.requestId)) return;
    this.#ids.add(call.requestId);
    this.calls.push(call);
  }

  closedUpTo(route: string, group: string): number {
    return Math.max(0, ...this.closes.filter((close) => close.route === route && close.group === group).map((close) => close.paneStartMs + close.paneMs));
  }
}

type Series = Pick<Request, "route" | "rollout" | "attempt" | "step" | "epoch" | "version" | "arm" | "exposure" | "paneMs">;
const keyOf = (series: Series, paneStartMs: number) =>
  [series.route, series.rollout, series.attempt, series.step, series.epoch, series.version, series.arm, series.exposure, paneStartMs].join("|");
const paneOf = (call: { readonly endedAtMs: number; readonly paneMs: number }) => Math.floor(call.endedAtMs / call.paneMs) * call.paneMs;

/** How many records each (series, pane) has, by sets of ids. */
function countIds<T extends Series & { readonly endedAtMs: number }>(records: readonly T[], idOf: (record: T) => string): Map<string, number> {
  const sets = new Map<string, Set<string>>();
  for (const record of records) {
    const key = keyOf(record, paneOf(record));
    sets.set(key, (sets.get(key) ?? new Set()).add(idOf(record)));
  }
  return new Map([...sets].map(([key, ids]) => [key, ids.size]));
}

/** The same, as the blocks counted it. */
function countBlocks(blocks: readonly Aggregate[], signal: string, kinds: readonly string[], pick: (block: Aggregate) => number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const block of blocks.filter((candidate) => candidate.signal === signal && candidate.slice === "all" && kinds.includes(candidate.kind))) {
    const key = keyOf(block, block.paneStartMs);
    const sum = (counts.get(key) ?? 0) + pick(block);
    if (sum > 0) counts.set(key, sum);
  }
  return counts;
}

const sorted = (counts: Map<string, number>) => [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
const unique = (values: readonly string[]) => new Set(values).size === values.length;

/** Two rollouts that stay in shadow, so that nothing ends the test early, on routes of both partitions, so that no worker is idle. */
function stories(): Story[] {
  const [first, second] = builtInStories(5, true);
  assert.ok(first && second);
  const names = Array.from({ length: 50 }, (_, i) => `${second.route}-${i}`);
  const elsewhere = names.find((name) => partitionOf(name, 2) !== partitionOf(first.route, 2)) ?? assert.fail("no such route");
  return [first, { ...second, route: elsewhere }].map((story) => ({
    ...story,
    callsPerSecond: 20,
    spec: { ...story.spec, route: story.route, shadow: { share: 50, minDwell: "5m" } },
  }));
}

async function applySpecs(system: System, all: readonly Story[]): Promise<void> {
  for (const { spec } of all) {
    const response = await fetch(`${system.control}/v1/rollouts`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ spec, actor: "test" }),
    });
    assert.ok(response.ok, `${response.status} ${await response.text()}`);
  }
}

/** Appends again, as a gateway does after a lost acknowledgement, some records that are already in the log. */
async function redeliver(system: System, readings: Readings): Promise<number> {
  const some = readings.calls.filter((_, i) => i % 7 === 0).slice(-40);
  const appender = system.client.openAppender();
  await appender.append(some.map((value) => ({ topic: requests, partition: system.client.partitionFor(requests, value.subject), key: value.subject, value })));
  await appender.close();
  return some.length;
}

describe("two of each worker", () => {
  it("count each logged request and each score exactly once, although one of each is killed inside a transaction and records are delivered again", async (t) => {
    const all = stories();
    const system = await startSystem(t, all, 2);
    const readings = new Readings();
    const follower = system.client.follow([requests, samples, scores, aggregates, gateEvents, evidence, routing], {
      from: "beginning",
      onRecord: (record) => readings.take(record),
    });
    t.after(() => follower.close());

    const doomed = workers.map((role) => {
      const report = join(system.directory, `${role}-died.json`);
      const child = system.role(role, `${role}-doomed`, { DIE_AT_COMMIT: "6", DIE_REPORT: report }, injector);
      child.stopped = true; // it dies by design
      return { role, report, child };
    });
    for (const role of workers) system.role(role, `${role}-steady`);
    const traffic = all.map((story, i) => system.traffic(story, 100 + i));
    t.after(() => Promise.all(traffic.map((callers) => callers.stop())));
    for (const callers of traffic) callers.start();
    await applySpecs(system, all);

    for (const { role, report, child } of doomed) {
      await until(`the doomed ${role} dies in its transaction`, () => existsSync(report) && child.process.signalCode === "SIGKILL", 90_000);
      assert.ok(JSON.parse(readFileSync(report, "utf8")).records > 0, "the transaction had outputs when the process died");
      system.role(role, `${role}-replacement`);
    }
    const atKills = readings.calls.length;
    const redelivered = await redeliver(system, readings);
    // Callers slow down where records are late: how long that takes is the machine's.
    await until("traffic goes on after the kills, and enough is drawn", () => readings.calls.length > atKills + 400 && readings.samples.length > 110, 120_000);
    for (const callers of traffic) await callers.stop();

    const answered = traffic.reduce((sum, callers) => sum + callers.answered, 0);
    const served = () => readings.calls.filter((call) => call.exposure === "served" && call.status === "ok").length;
    await until("every answered call is logged", () => served() >= answered, 30_000);
    for (const { route } of all) {
      const last = Math.max(...readings.calls.filter((call) => call.route === route).map((call) => paneOf(call) + call.paneMs));
      for (const group of ["calls", "judge"]) {
        await until(`the last pane of ${route} is closed for ${group}`, () => readings.closedUpTo(route, group) >= last, 120_000);
      }
    }
    assert.deepEqual(system.crashed, []);
    check(readings, redelivered);
  });
});

function check(readings: Readings, redelivered: number): void {
  assert.ok(redelivered > 0 && readings.callRecords >= readings.calls.length + redelivered, "re-delivered records are in the log twice");
  const counted = countBlocks(readings.blocks, "latency_p95", ["log"], (block) => block.records);
  assert.deepEqual(
    sorted(counted),
    sorted(countIds(readings.calls, (call) => call.requestId)),
    "each logged call is counted once, a re-delivered one not again",
  );

  assert.ok(readings.samples.length > 100, `only ${readings.samples.length} samples`);
  assert.ok(unique(readings.samples.map((sample) => sample.requestId)), "a call is drawn once");
  assert.ok(unique(readings.scores.map((score) => score.scoreId)), "a score is published once");
  assert.deepEqual(
    new Set(readings.scores.map((score) => score.requestId)),
    new Set(readings.samples.map((sample) => sample.requestId)),
    "each sample has its score",
  );
  const judged = countBlocks(readings.blocks, "task_completion", ["binary", "paired"], (block) => block.scored + block.abstained + block.failed);
  assert.deepEqual(sorted(judged), sorted(countIds(readings.scores, (score) => score.scoreId)), "each score is counted once");

  assert.ok(unique(readings.events.map((event) => event.id)), "each decision is published once");
  for (const route of new Set(readings.evidence.map((entry) => entry.route))) {
    const seqs = readings.evidence.filter((entry) => entry.route === route).map((entry) => entry.seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, i) => i + 1),
      "the journal has no gap and no repeat",
    );
    const epochs = readings.epochs.filter((table) => table.route === route).map((table) => table.epoch);
    assert.ok(epochs.length > 0 && epochs.every((epoch, i) => i === 0 || epoch > (epochs[i - 1] ?? 0)), `epochs grow: ${epochs}`);
  }
}
