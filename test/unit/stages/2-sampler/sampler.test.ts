import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Registry } from "prom-client";
import { checkCompilers } from "../../../../src/checks/check-compilers.ts";
import { schemaForms } from "../../../../src/domain/checks/schema-check.ts";
import { GOLDEN_SLICE } from "../../../../src/domain/drift/golden.ts";
import type { Batch, Committed, Incoming } from "../../../../src/runtime/port.ts";
import { SamplerMetrics } from "../../../../src/stages/2-sampler/metrics.ts";
import { sampler } from "../../../../src/stages/2-sampler/sampler.ts";
import { type SamplerTable, TABLE_WAIT_MS } from "../../../../src/stages/2-sampler/table-gate.ts";
import type { Frame, Request, Sample } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { bodyWith, callWith, twinWith } from "../../domain/signals/call-fixture.ts";

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

  /** @returns where it wants to start instead of the committed offset */
  successor(committed: Committed): number | undefined {
    this.#task = this.#role.createTask(this.#context);
    const wanted = this.#task.start(new Map([["requests", committed]]));
    return wanted === undefined || wanted instanceof Promise ? undefined : wanted.requests;
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

  it("counts nothing of golden prompts and of calls whose version was pinned, and draws none of them", () => {
    const bench = new Bench();
    bench.take({ seq: 1, pinned: true });
    bench.take({ seq: 2, slices: [GOLDEN_SLICE] });
    const batch = bench.flush();
    assert.deepEqual([recordsIn(batch), samplesIn(batch).length], [0, 0]);
    bench.take({ seq: 3 });
    assert.equal(recordsIn(bench.flush()), 1);
  });

  it("counts a call that was cut by the gateway's checks of the whole answer, and what nobody could read as missing in its slice", async () => {
    const bench = new Bench();
    bench.tableArrives(
      tableWith({ rubrics: [rubric], slices: ["long"], schemaCheck: { source: "json", pattern: null, jsonSchema: null, fence: "forbidden" } }),
    );
    const found = { schemaValid: true, empty: false, formBroken: false, timedOut: false };
    const cut = { cut: true, slices: ["long"], requestBody: '{"mess', responseBody: '{"choices":[{"mess' };
    for (const [seq, answer] of [found, { ...found, schemaValid: false }, null].entries()) {
      bench.take({ ...cut, seq: seq + 1, requestId: `r${seq}`, wholeChecks: { answer, twin: null } });
    }
    const batch = bench.flush();
    const inSlice = framesIn(batch).flatMap(({ frame }) => frame.entries.filter(({ slice }) => slice === "long"));
    const counted = (signal: string) => {
      const { records, sampled, scored, failed, values, counts } = inSlice.find((entry) => entry.signal === signal) ?? {};
      return { records, sampled, scored, failed, values, counts };
    };
    assert.deepEqual(counted("schema_validity"), { records: 3, sampled: 3, scored: 2, failed: 1, values: [0, 1], counts: [1, 1] });
    // The judge will say that it failed: until then, and if it does not, they are drawn and not scored.
    assert.deepEqual(counted("task_completion"), { records: 3, sampled: 3, scored: 0, failed: 0, values: [], counts: [] });
    assert.deepEqual(
      samplesIn(batch).map((sample) => [sample.cut, sample.slices, sample.requestBody, sample.responseBody]),
      Array.from({ length: 3 }, () => [true, ["long"], null, null]),
    );
    assert.equal(await bench.count("cut_calls"), 3);
  });

  it("counts an answer whose check ran out of time as missing, whole or cut, of a caller's call and in a pair: it is not known to be valid", async () => {
    const bench = new Bench();
    const check = { source: "pattern", pattern: "^(a+)+$", jsonSchema: null, fence: "forbidden" } as const;
    bench.tableArrives(tableWith({ slices: ["long"], schemaCheck: check }));
    const endless = bodyWith(`${"a".repeat(40)}!`);
    const told = { schemaValid: null, empty: false, formBroken: false, timedOut: true };
    bench.take({ seq: 1, slices: ["long"], responseBody: endless });
    bench.take({ seq: 2, slices: ["long"], cut: true, responseBody: '{"choices":[{"mess', wholeChecks: { answer: told, twin: null } });
    bench.take({ seq: 3, slices: ["long"], exposure: "shadow", responseBody: bodyWith("aaa"), twin: twinWith({ responseBody: endless }) });
    const entries = framesIn(bench.flush()).flatMap(({ frame }) =>
      frame.entries.filter(({ slice, signal }) => slice === "long" && signal === "schema_validity"),
    );
    const missing = (kind: string, exposure: string) =>
      entries
        .filter((entry) => entry.kind === kind && entry.exposure === exposure)
        .map(({ records, sampled, scored, failed }) => [records, sampled, scored, failed]);
    assert.deepEqual([missing("binary", "served"), missing("paired", "shadow")], [[[2, 2, 0, 2]], [[1, 1, 0, 1]]]);
    // A machine that stands still for 50 ms makes the short one another.
    assert.ok((await bench.count("timed_out_checks")) >= 3);
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

  it("counts errors and latency of embeddings like all others, checks nothing in them and never shows them to judges", () => {
    const bench = new Bench();
    bench.take({ seq: 1, operation: "embeddings", endpoint: "/v1/embeddings", responseBody: null });
    const batch = bench.flush();
    assert.deepEqual([recordsIn(batch), recordsIn(batch, "latency_p95")], [1, 1]);
    for (const signal of ["schema_validity", "empty_output", "cut_output", "task_completion"]) assert.equal(recordsIn(batch, signal), 0, signal);
    assert.equal(samplesIn(batch).length, 0);
  });

  it("counts apart only slices that the attempt declares, and hands only those on to the judges", () => {
    const bench = new Bench();
    bench.tables.set("support-answer", tableWith({ rubrics: [rubric], slices: ["context=long"], valueCaps: [{ signal: "latency_p95", cap: 40 }] }));
    bench.take({ seq: 1, slices: ["user=17", "context=long"] });
    bench.take({ seq: 2, slices: ["context=long"], attempt: 2, samplePpm: 0 });
    const batch = bench.flush();
    const entries = framesIn(batch).flatMap(({ frame }) => frame.entries);
    assert.deepEqual(new Set(entries.map(({ attempt, slice }) => `${attempt} ${slice}`)), new Set(["1 all", "1 context=long", "2 all"]));
    assert.deepEqual(
      samplesIn(batch).map(({ slices }) => slices),
      [["context=long"]],
    );
    const sums = entries
      .filter((e) => e.signal === "latency_p95" && e.slice === "all")
      .map(({ attempt, subjectSums }) => [attempt, Math.max(0, ...subjectSums)]);
    assert.deepEqual(sums, [
      [1, 40],
      [2, 0],
    ]);
  });

  describe("subjects at first sight", () => {
    const started = (bench: Bench, changes: Partial<SamplerTable> = {}) =>
      bench.tables.set("support-answer", tableWith({ rubrics: [], epoch: 107, attemptStartedAtMs: 100, ...changes }));
    const newIn = (batch: Batch | null) =>
      framesIn(batch)
        .flatMap(({ frame }) => frame.entries)
        .filter((e) => e.signal === "latency_p95")
        .map(({ newSubjects }) => newSubjects);

    it("are read again by a successor, which counts and commits nothing of what is committed", () => {
      const bench = new Bench();
      started(bench);
      for (const [i, subject] of ["a", "b", "a"].entries()) bench.take({ seq: i + 1, epoch: 107, subject });
      const first = bench.flush();
      assert.deepEqual(newIn(first), [2]);
      const metadata = first?.offsets?.requests?.metadata ?? "";
      assert.equal(bench.successor({ offset: 3, metadata }), 0);
      for (const [i, subject] of ["a", "b", "a"].entries()) {
        bench.take({ seq: i + 1, epoch: 107, subject }, i);
        assert.equal(bench.flush(60_000), null);
      }
      for (const [i, subject] of ["b", "c"].entries()) bench.take({ seq: 4 + i, epoch: 107, subject }, 3 + i);
      const second = bench.flush();
      assert.deepEqual([newIn(second), recordsIn(second)], [[1], 2]);
    });

    it("are not known when what was read before cannot be read again, or is not known", async () => {
      for (const metadata of ["keep", "", "i1|x|"]) {
        const bench = new Bench();
        started(bench);
        bench.take({ seq: 1, epoch: 107 });
        const first = bench.flush();
        const text = metadata === "keep" ? (first?.offsets?.requests?.metadata ?? "") : metadata;
        bench.successor({ offset: 1, metadata: text });
        bench.take({ seq: 2, epoch: 107, subject: "b" }, 1);
        assert.deepEqual(newIn(bench.flush()), [null]);
        assert.equal(await bench.count("subjects"), 2);
      }
    });

    it("are not known to the first owner of a partition that retention has cut", () => {
      const bench = new Bench();
      started(bench);
      bench.take({ seq: 1, epoch: 107 }, 7);
      assert.deepEqual(newIn(bench.flush()), [null]);
    });

    it("are known of an attempt that starts while the task runs", () => {
      const bench = new Bench();
      bench.successor({ offset: 1, metadata: "" });
      const startsAtMs = startMs + 3_600_001;
      bench.take({ seq: 1, epoch: 7 }, 1);
      assert.deepEqual(newIn(bench.flush()), [null]);
      started(bench, { attempt: 2, epoch: startsAtMs + 1, attemptStartedAtMs: startsAtMs });
      bench.take({ seq: 2, epoch: startsAtMs + 1, attempt: 2 });
      assert.deepEqual(newIn(bench.flush()), [1]);
    });
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
