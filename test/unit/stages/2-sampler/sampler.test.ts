import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Registry } from "prom-client";
import { schemaForms } from "../../../../src/domain/checks/schema-check.ts";
import type { Batch, Committed, Incoming } from "../../../../src/runtime/port.ts";
import { checkCompilers } from "../../../../src/stages/2-sampler/check-compilers.ts";
import { SamplerMetrics } from "../../../../src/stages/2-sampler/metrics.ts";
import { sampler } from "../../../../src/stages/2-sampler/sampler.ts";
import { type SamplerTable, TABLE_WAIT_MS } from "../../../../src/stages/2-sampler/table-gate.ts";
import type { Frame, Request, Sample } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { callWith } from "../../domain/signals/call-fixture.ts";

const rubric = { name: "task@1", digest: "digest-1", signals: [{ name: "task_completion", form: "binary" as const }] };
const startMs = 1_010_000;

/** A sampler task on four partitions of routes, with a table and a clock that the test moves. */
class Bench {
  readonly tables = new Map<string, SamplerTable>([["support-answer", tableWith({ rubrics: [rubric] })]]);
  readonly registry = new Registry();
  nowMs = startMs;
  wakes = 0;
  #offset = 0;
  readonly #waiting = new Set<() => void>();
  readonly #role = sampler({
    partitionFor: (_, key) => (key === "support-answer" ? 2 : 0),
    tableOf: (route) => this.tables.get(route),
    forms: schemaForms(checkCompilers(() => {})),
    metrics: new SamplerMetrics(this.registry),
    waiting: this.#waiting,
  });
  readonly #context = { partition: 1, wake: () => this.wakes++, partitionsOf: () => 4, now: () => this.nowMs };
  #task = this.#role.createTask(this.#context);

  constructor() {
    void this.#task.start(new Map());
  }

  successor(committed: Committed): void {
    this.#task = this.#role.createTask(this.#context);
    void this.#task.start(new Map([["requests", committed]]));
  }

  take(changes: Partial<Request>, offset = this.#offset): void {
    this.#offset = offset + 1;
    const value = callWith({ endedAtMs: 1_000_000, markMs: 1_000_000, ...changes });
    const record: Incoming = { topic: "requests", partition: 1, offset, key: value.subject, appendedAtMs: 1_000_500, value, headers: {} };
    this.#task.take(record);
  }

  flush(afterMs = 250): Batch | null {
    this.nowMs += afterMs;
    return this.#task.flush(this.nowMs);
  }

  tableArrives(table: SamplerTable): void {
    this.tables.set("support-answer", table);
    for (const wake of this.#waiting) wake();
  }

  async count(name: string): Promise<number> {
    const metric = (await this.registry.getMetricsAsJSON()).find((each) => each.name === `headgate_sampler_${name}_total`);
    return (metric?.values ?? []).reduce((sum, { value }) => sum + Number(value), 0);
  }
}

const framesIn = (batch: Batch | null) =>
  (batch?.outputs ?? []).filter(({ topic }) => topic.name === "partials").map(({ partition, value }) => ({ partition, frame: value as Frame }));
const samplesIn = (batch: Batch | null) => (batch?.outputs ?? []).filter(({ topic }) => topic.name === "samples").map(({ value }) => value as Sample);
const recordsIn = (batch: Batch | null, signal = "error_rate") =>
  framesIn(batch)
    .flatMap(({ frame }) => frame.entries.filter((e) => e.signal === signal))
    .reduce((sum, { records }) => sum + records, 0);

describe("the sampler's task", () => {
  it("sends entries to the partition of their route, and the watermark to every partition", () => {
    const bench = new Bench();
    bench.take({ seq: 1 });
    const batch = bench.flush();
    assert.deepEqual(
      framesIn(batch).map(({ partition, frame }) => [partition, frame.watermarkMs, frame.entries.length > 0]),
      [
        [0, 1_000_000, false],
        [1, 1_000_000, false],
        [2, 1_000_000, true],
        [3, 1_000_000, false],
      ],
    );
    const [first] = framesIn(batch);
    assert.deepEqual([first?.frame.source, first?.frame.sourcePartition, first?.frame.fromOffset, first?.frame.toOffset], ["requests", 1, 0, 1]);
  });

  it("tells a watermark alone once a second at most, and writes nothing when nothing happened", () => {
    const bench = new Bench();
    bench.take({ kind: "mark", seq: 1, markMs: 1_000_100 });
    assert.equal(framesIn(bench.flush()).length, 4);
    assert.equal(bench.flush(), null);
    bench.take({ kind: "mark", seq: 2, markMs: 1_000_200 });
    assert.equal(bench.flush(250), null);
    assert.deepEqual(
      framesIn(bench.flush(750)).map(({ frame }) => frame.watermarkMs),
      [1_000_200, 1_000_200, 1_000_200, 1_000_200],
    );
  });

  it("drops repeats, also those of a predecessor, and counts what is missing", async () => {
    const bench = new Bench();
    for (const seq of [1, 2, 2, 5]) bench.take({ seq });
    const batch = bench.flush();
    assert.equal(recordsIn(batch), 3);
    bench.successor({ offset: 4, metadata: batch?.offsets?.requests?.metadata ?? "" });
    for (const seq of [4, 5, 6]) bench.take({ seq });
    assert.equal(recordsIn(bench.flush()), 1);
    assert.deepEqual([await bench.count("repeats"), await bench.count("lost")], [3, 2]);
  });

  it("draws answered calls for the judges by their rate, and nothing without a rubric", () => {
    const bench = new Bench();
    bench.take({ seq: 1, requestId: "drawn", samplePpm: 1_000_000 });
    bench.take({ seq: 2, requestId: "not drawn", samplePpm: 0 });
    bench.take({ seq: 3, requestId: "failed", samplePpm: 1_000_000, status: "error" });
    const batch = bench.flush();
    assert.deepEqual(
      samplesIn(batch).map(({ requestId, rubrics, endedAtMs }) => [requestId, rubrics, endedAtMs]),
      [["drawn", ["digest-1"], 1_000_000]],
    );
    assert.equal(recordsIn(batch, "task_completion"), 2);
    bench.tables.clear();
    bench.take({ seq: 4, epoch: 0 });
    assert.equal(samplesIn(bench.flush()).length, 0);
  });

  it("holds a call until the table of its epoch is there, and commits nothing beyond it", () => {
    const bench = new Bench();
    bench.take({ seq: 1 });
    bench.take({ seq: 2, epoch: 8, responseBody: "no JSON" });
    bench.take({ seq: 3 });
    const first = bench.flush();
    assert.equal(recordsIn(first), 1);
    assert.equal(first?.offsets?.requests?.offset, 1);
    bench.tableArrives(tableWith({ epoch: 8, schemaCheck: { source: "json", pattern: null, jsonSchema: null, fence: "allowed" } }));
    assert.equal(bench.wakes, 1);
    const second = bench.flush();
    assert.equal(recordsIn(second), 2);
    assert.equal(recordsIn(second, "schema_validity"), 2);
    assert.equal(second?.offsets?.requests?.offset, undefined);
  });

  it("goes on with the table at hand when the new one does not come, and does not wait for that epoch again", async () => {
    const bench = new Bench();
    bench.take({ seq: 1, epoch: 9 });
    assert.equal(recordsIn(bench.flush()), 0);
    assert.equal(recordsIn(bench.flush(TABLE_WAIT_MS)), 1);
    bench.take({ seq: 2, epoch: 9 });
    assert.equal(recordsIn(bench.flush()), 1);
    assert.equal(await bench.count("table_timeouts"), 1);
  });

  it("clamps times of a wrong clock to the append time, and counts them", async () => {
    const bench = new Bench();
    bench.take({ seq: 1, endedAtMs: 9_000_000, markMs: 9_000_000 });
    const frames = framesIn(bench.flush());
    assert.deepEqual(new Set(frames.flatMap(({ frame }) => frame.entries.map(({ paneStartMs }) => paneStartMs))), new Set([1_000_000]));
    assert.equal(frames[0]?.frame.watermarkMs, 1_000_500);
    assert.equal(await bench.count("clock_skew"), 1);
  });

  it("never fails on a body, whatever is in it", () => {
    const bench = new Bench();
    const bodies = ["", "{", "null", '{"choices":[{}]}', '{"choices":"x"}', null];
    for (const [i, responseBody] of bodies.entries()) bench.take({ seq: i + 1, responseBody, responseFormat: '{"type":"json_object"}' });
    const batch = bench.flush();
    assert.equal(recordsIn(batch), 6);
    assert.equal(recordsIn(batch, "empty_output"), 5);
  });
});
