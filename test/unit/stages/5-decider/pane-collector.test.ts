import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PaneCollector } from "../../../../src/stages/5-decider/pane-collector.ts";
import type { Aggregate } from "../../../../topics/index.ts";

function record(kindOfRecord: "block" | "close", over: Partial<Aggregate> = {}): Aggregate {
  return {
    kindOfRecord,
    group: "calls",
    route: "r",
    rollout: "x",
    attempt: 1,
    step: 0,
    epoch: 1,
    version: "v",
    arm: "candidate",
    exposure: "served",
    slice: "all",
    signal: "error_rate",
    evaluatorVersion: "",
    samplePpm: 1_000_000,
    paneStartMs: 60_000,
    paneMs: 60_000,
    round: 0,
    kind: "binary",
    records: 1,
    sampled: 1,
    scored: 1,
    abstained: 0,
    failed: 0,
    values: [0],
    counts: [1],
    subjectCounts: [],
    subjectSums: [],
    newSubjects: null,
    coverage: 1,
    watermarkMs: 120_000,
    ...over,
  };
}

describe("collecting panes", () => {
  it("hands a pane over with its close, and with all blocks of that route, group and round only", () => {
    const collector = new PaneCollector();
    assert.equal(collector.take(record("block"), 10), null);
    assert.equal(collector.take(record("block", { group: "judge" }), 11), null);
    assert.equal(collector.take(record("block", { route: "s" }), 12), null);
    assert.equal(collector.take(record("block", { round: 1 }), 13), null);
    assert.equal(collector.take(record("block", { arm: "baseline" }), 14), null);
    const closed = collector.take(record("close"), 15);
    assert.deepEqual([closed?.route, closed?.pane.group, closed?.pane.blocks.map(({ arm }) => arm)], ["r", "calls", ["candidate", "baseline"]]);
    assert.equal(collector.oldestOffset(), 11);
  });

  it("hands over an empty pane, so that silence is seen", () => {
    assert.deepEqual(new PaneCollector().take(record("close"), 1)?.pane.blocks, []);
  });

  it("knows the oldest block that still waits, whatever closes in between", () => {
    const collector = new PaneCollector();
    collector.take(record("block", { route: "a" }), 5);
    collector.take(record("block", { route: "b" }), 6);
    collector.take(record("block", { route: "a" }), 7);
    collector.take(record("close", { route: "b" }), 8);
    assert.equal(collector.oldestOffset(), 5);
    collector.take(record("close", { route: "a" }), 9);
    assert.equal(collector.oldestOffset(), null);
  });

  it("gives up a pane whose close never came, long after its successors closed", () => {
    const collector = new PaneCollector();
    collector.take(record("block"), 5);
    for (let i = 1; i <= 31; i++) {
      collector.take(record("close", { paneStartMs: (1 + i) * 60_000 }), 5 + i);
      assert.equal(collector.oldestOffset(), i <= 30 ? 5 : null);
    }
  });

  it("leaves out of a block what its pane says", () => {
    const collector = new PaneCollector();
    collector.take(record("block"), 5);
    const block = collector.take(record("close"), 6)?.pane.blocks[0];
    assert.ok(block !== undefined && !("paneStartMs" in block) && !("route" in block) && "epoch" in block);
  });
});
