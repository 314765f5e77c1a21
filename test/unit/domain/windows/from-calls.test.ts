import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assign } from "../../../../src/domain/routing/assign.ts";
import { rangesOfOne } from "../../../../src/domain/routing/ranges.ts";
import { type CallAbout, callContributions } from "../../../../src/domain/signals/call-contributions.ts";
import { Fold } from "../../../../src/domain/signals/fold.ts";
import { scoreContributions } from "../../../../src/domain/signals/score-contributions.ts";
import { SeriesLimit } from "../../../../src/domain/signals/series-limit.ts";
import type { Aggregate, Entry, Request, RoutingTable, Score, WindowView } from "../../../../topics/index.ts";
import { compiled } from "../routing/table-fixture.ts";
import { callWith, scoreWith } from "../signals/call-fixture.ts";
import { Driver, frame } from "./driver.ts";

const good = { schemaValid: true, empty: false, cut: false, formBroken: false, timedOut: false, unread: false };
const rubrics: RoutingTable["rubrics"] = [{ name: "task@1", digest: "d", signals: [{ name: "task_completion", form: "binary" }] }];
const unknown: CallAbout = { valueCaps: [], isNewSubject: null };

function entriesOf(calls: readonly Request[], scores: readonly Score[] = [], about: CallAbout = unknown): Entry[] {
  const fold = new Fold(new SeriesLimit());
  for (const call of calls) fold.add(call, callContributions(call, { call: good, twin: null }, rubrics, about));
  for (const score of scores) fold.add(score, scoreContributions(score));
  return fold.drain();
}

/** All that the window half writes of entries from two partitions, long after their panes. */
function written(...partitions: readonly (readonly Entry[])[]): { blocks: Aggregate[]; views: WindowView[] } {
  const driver = new Driver(partitions.length);
  for (const [sourcePartition, entries] of partitions.entries())
    driver.take(frame({ sourcePartition, entries: [...entries], watermarkMs: 1_000_000 + 600_000 }));
  driver.flush(61_000);
  return { blocks: driver.blocks, views: [...driver.views.values()] as WindowView[] };
}
const of = <T extends { readonly signal: string }>(items: readonly T[], signal: string) => items.filter((item) => item.signal === signal);

describe("from calls to blocks", () => {
  it("shows calls that were too long to be checked and judged as missing, in their slice", () => {
    const unread = { ...good, schemaValid: null, empty: null, unread: true };
    const failed = [{ signal: "task_completion", form: "binary", status: "failed", value: null, twinValue: null, rationale: "too long" }] as const;
    const fold = new Fold(new SeriesLimit());
    for (const [requestId, slices, checked] of [
      ["r1", ["long"], unread],
      ["r2", ["long"], good],
      ["r3", [], good],
    ] as const) {
      fold.add(callWith({ slices: [...slices] }), callContributions(callWith({ requestId }), { call: checked, twin: null }, rubrics, unknown));
      const score = scoreWith({ requestId, slices: [...slices], ...(checked === unread ? { results: [...failed] } : {}) });
      fold.add(score, scoreContributions(score));
    }
    const { blocks, views } = written(fold.drain());
    const missing = (items: readonly (Aggregate | WindowView)[], signal: string) =>
      items.filter((item) => item.signal === signal && item.slice === "long").map(({ sampled, scored, failed }) => ({ sampled, scored, failed }));
    for (const signal of ["schema_validity", "task_completion"]) {
      assert.deepEqual(missing(blocks, signal), [{ sampled: 2, scored: 1, failed: 1 }], signal);
      assert.deepEqual(missing(views, signal)[0], { sampled: 2, scored: 1, failed: 1 }, signal);
    }
  });

  it("writes the calls of a route without a rollout too, as arm `none`, judged signals included", () => {
    const idle = compiled({ rollout: "", attempt: 0, step: -1, ranges: rangesOfOne("a@1") });
    const { version, ...assigned } = assign({ routeTable: idle, hold: null }, "subject-1");
    const { blocks } = written(
      entriesOf([callWith({ ...assigned, version: version.name }), callWith({ ...assigned, version: version.name, requestId: "r2" })]),
    );
    assert.deepEqual(
      of(blocks, "error_rate").map(({ rollout, attempt, step, epoch, arm, version: name, records, slice }) => [
        rollout,
        attempt,
        step,
        epoch,
        arm,
        name,
        records,
        slice,
      ]),
      [["", 0, -1, 7, "none", "a@1", 2, "all"]],
    );
    assert.deepEqual(
      of(blocks, "task_completion").map(({ records, group, newSubjects }) => [records, group, newSubjects]),
      [[2, "judge", null]],
    );
  });

  it("writes a judged block with what was drawn when nothing of it was scored", () => {
    const { blocks } = written(entriesOf([callWith(), callWith({ requestId: "r2", samplePpm: 0 })]));
    assert.deepEqual(
      of(blocks, "task_completion").map(({ samplePpm, records, sampled, scored, abstained, failed }) => [
        samplePpm,
        records,
        sampled,
        scored,
        abstained,
        failed,
      ]),
      [
        [0, 1, 0, 0, 0, 0],
        [1_000_000, 1, 1, 0, 0, 0],
      ],
    );
  });

  it("keeps sampling classes and epochs apart, with their scores", () => {
    const calls = [callWith(), callWith({ requestId: "r2", epoch: 8, samplePpm: 999_999 })];
    const scores = [scoreWith(), scoreWith({ requestId: "r2", epoch: 8, samplePpm: 999_999 })];
    const { blocks } = written(entriesOf(calls), entriesOf([], scores));
    assert.deepEqual(
      of(blocks, "task_completion").map(({ epoch, samplePpm, evaluatorVersion, sampled, scored }) => [epoch, samplePpm, evaluatorVersion, sampled, scored]),
      [
        [7, 1_000_000, "v1", 1, 1],
        [8, 999_999, "v1", 1, 1],
      ],
    );
  });

  it("writes slices of every signal that can gate, judged ones too, and their windows", () => {
    const { blocks, views } = written(entriesOf([callWith({ slices: ["context=long"] })]), entriesOf([], [scoreWith({ slices: ["context=long"] })]));
    const gating = ["cost_per_request", "error_rate", "latency_p95", "output_tokens", "schema_validity", "task_completion"];
    for (const items of [blocks, views])
      assert.deepEqual(
        items
          .filter(({ slice }) => slice === "context=long")
          .map(({ signal }) => signal)
          .sort(),
        gating,
      );
    assert.deepEqual(
      of(blocks, "task_completion").map(({ slice, sampled, scored }) => [slice, sampled, scored]),
      [
        ["all", 1, 1],
        ["context=long", 1, 1],
      ],
    );
  });

  it("adds up subjects over the partitions that know theirs, and sums by subject of capped quantities", () => {
    const known = entriesOf([callWith()], [], { valueCaps: [{ signal: "latency_p95", cap: 60 }], isNewSubject: true });
    const same = written(known, entriesOf([callWith()])).blocks;
    const [latency] = of(same, "latency_p95");
    assert.deepEqual([latency?.records, latency?.newSubjects, latency?.subjectSums.reduce((sum, n) => sum + n, 0)], [2, 1, 60]);
    assert.equal(of(written(entriesOf([callWith()]), entriesOf([callWith()])).blocks, "latency_p95")[0]?.newSubjects, null);
    assert.equal(of(written(known, known).blocks, "latency_p95")[0]?.newSubjects, 2);
  });
});
