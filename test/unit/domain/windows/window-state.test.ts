import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { judgedKey, seriesKey } from "../../../../src/domain/signals/series.ts";
import { byEnd, paneKey } from "../../../../src/domain/windows/pane-set.ts";
import type { PaneSettings } from "../../../../src/domain/windows/route-panes.ts";
import type { Aggregate, Entry } from "../../../../topics/index.ts";
import { Driver, entry, frame, play, settings, steps } from "./driver.ts";

type Sums = Map<string, number>;

function add(sums: Sums, key: string, by: number): void {
  if (by !== 0) sums.set(key, (sums.get(key) ?? 0) + by);
}

/** Everything that blocks and entries count: values per series; what is in scope and drawn per series whatever the evaluator. */
function counted(items: readonly (Entry | Aggregate)[]): Sums {
  const sums: Sums = new Map();
  for (const item of items) {
    const pane = paneKey({ startMs: item.paneStartMs, paneMs: item.paneMs });
    const judged = `${pane} ${judgedKey(item)}`;
    add(sums, `${judged} records`, item.records);
    add(sums, `${judged} sampled`, item.sampled);
    add(sums, `${judged} new subjects`, item.newSubjects ?? 0);
    const key = `${pane} ${seriesKey(item)}`;
    for (const name of ["scored", "abstained", "failed"] as const) add(sums, `${key} ${name}`, item[name]);
    for (const [i, value] of item.values.entries()) add(sums, `${key} value ${value}`, item.counts[i] ?? 0);
    for (const [i, value] of item.subjectSums.entries()) add(sums, `${key} subject ${i}`, value);
  }
  return sums;
}

const sorted = (sums: Sums) => [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
const roundZero = (closes: readonly Aggregate[], route: string, group: string) => closes.filter((c) => c.round === 0 && c.route === route && c.group === group);
const paneOf = ({ paneStartMs, paneMs }: Aggregate) => ({ startMs: paneStartMs, paneMs });

const entriesOf = ({ log }: Driver) => log.flatMap(({ entries }) => entries);

describe("the window half", () => {
  it("writes each statistic exactly once, whenever its owner dies", () => {
    fc.assert(
      fc.property(steps(2, ["a", "b", "c"], [60_000]), (all) => {
        const driver = new Driver(2);
        play(driver, all, 2);
        assert.deepEqual(sorted(counted(driver.blocks)), sorted(counted(entriesOf(driver))));
      }),
      { numRuns: 400 },
    );
  });

  it("writes each statistic exactly once when routes differ in panes and graces, also in the middle of a route", () => {
    const graces: Record<string, Partial<PaneSettings>> = {
      a: { callsGraceMs: 1_000, paneMs: 10_000, maturityMs: 300_000 },
      b: { callsGraceMs: 60_000, judgeGraceMs: 600_000, maturityMs: 10_000 },
      c: {},
    };
    fc.assert(
      fc.property(steps(3, ["a", "b", "c"], [10_000, 60_000]), (all) => {
        const driver = new Driver(3, (route) => ({ ...settings, ...graces[route] }));
        play(driver, all, 3);
        assert.deepEqual(sorted(counted(driver.blocks)), sorted(counted(entriesOf(driver))));
      }),
      { numRuns: 300 },
    );
  });

  it("closes the panes of a route and group once and in order", () => {
    fc.assert(
      fc.property(steps(2, ["a", "b"], [60_000]), (all) => {
        const driver = new Driver(2);
        play(driver, all, 2);
        for (const route of ["a", "b"]) {
          for (const group of ["calls", "judge", "outcome"]) {
            const panes = roundZero(driver.closes, route, group).map(paneOf);
            for (const [i, pane] of panes.entries()) assert.ok(i === 0 || byEnd(panes[i - 1] ?? pane, pane) < 0, "a pane was closed twice or out of order");
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it("ends the blocks of every pane and round with one close", () => {
    fc.assert(
      fc.property(steps(2, ["a", "b"], [60_000]), (all) => {
        const driver = new Driver(2);
        play(driver, all, 2);
        const open = new Set<string>();
        const closed = new Set<string>();
        for (const record of driver.written) {
          const key = JSON.stringify([record.route, record.group, record.paneStartMs, record.paneMs, record.round]);
          assert.ok(!closed.has(key), "a round of a pane was written twice");
          if (record.kindOfRecord === "block") open.add(key);
          else {
            open.delete(key);
            closed.add(key);
          }
        }
        assert.deepEqual([...open], []);
      }),
      { numRuns: 300 },
    );
  });

  it("writes each statistic exactly once when more routes are behind than the metadata can hold", () => {
    const routes = Array.from({ length: 400 }, (_, i) => `route-${i}`);
    const driver = new Driver(1, () => ({ ...settings, callsGraceMs: 1_000 }));
    const judged = (pane: number) => routes.map((route) => entry({ route, signal: "task", paneStartMs: pane * 60_000, scored: 0, values: [], counts: [] }));
    for (let pane = 1; pane < 6; pane++) {
      driver.take(frame({ entries: judged(pane), watermarkMs: (pane + 1) * 60_000 + 10_000 }));
      driver.flush();
      driver.crash();
    }
    driver.take(frame({ watermarkMs: 100 * 60_000 }));
    driver.flush(61_000);
    assert.ok(driver.forced > 0, "the metadata never overflowed: this test shows nothing");
    assert.deepEqual(sorted(counted(driver.blocks)), sorted(counted(entriesOf(driver))));
  });

  it("closes nothing before every source has spoken", () => {
    const driver = new Driver(2);
    driver.take(frame({ entries: [entry({})], watermarkMs: 10_000_000 }));
    driver.flush();
    assert.equal(driver.written.length, 0);
    driver.take(frame({ sourcePartition: 1, watermarkMs: 64_999 }));
    driver.flush();
    assert.equal(driver.written.length, 0);
    driver.take(frame({ sourcePartition: 1, watermarkMs: 65_000 }));
    driver.flush();
    assert.deepEqual(
      driver.closes.map(({ group, paneStartMs, round }) => [group, paneStartMs, round]),
      [
        ["calls", 0, 0],
        ["judge", 0, 0],
      ],
    );
  });

  it("does not take a watermark from scores", () => {
    const driver = new Driver(1);
    driver.take(frame({ entries: [entry({})] }), frame({ source: "scores", watermarkMs: 10_000_000 }));
    driver.flush();
    assert.equal(driver.written.length, 0);
  });

  const drawn = entry({ signal: "task", scored: 0, values: [], counts: [], records: 5, sampled: 2 });
  const score = (given: Partial<Entry> = {}) => entry({ signal: "task", evaluatorVersion: "v1", records: 0, sampled: 0, ...given });

  it("closes a judged pane as soon as all that was drawn is back, and joins both", () => {
    const driver = new Driver(1);
    driver.take(frame({ entries: [drawn], watermarkMs: 66_000 }), frame({ source: "scores", entries: [score()] }));
    driver.flush();
    assert.equal(driver.blocks.length, 0);
    driver.take(frame({ source: "scores", entries: [score({ scored: 0, failed: 1, values: [], counts: [] })] }));
    driver.flush();
    assert.deepEqual(
      driver.blocks.map(({ evaluatorVersion, records, sampled, scored, failed, coverage }) => ({
        evaluatorVersion,
        records,
        sampled,
        scored,
        failed,
        coverage,
      })),
      [{ evaluatorVersion: "v1", records: 5, sampled: 2, scored: 1, failed: 1, coverage: 1 }],
    );
  });

  it("closes a judged pane after its grace, whatever is missing; what comes later is a round of its own", () => {
    const driver = new Driver(1);
    driver.take(frame({ entries: [drawn], watermarkMs: 179_999 }));
    driver.flush();
    assert.equal(driver.blocks.length, 0);
    driver.take(frame({ watermarkMs: 180_000 }));
    driver.flush();
    assert.deepEqual(
      driver.blocks.map((b) => [b.evaluatorVersion, b.round, b.sampled, b.scored, b.coverage]),
      [["", 0, 2, 0, 0]],
    );
    driver.take(frame({ source: "scores", entries: [score()] }));
    driver.flush();
    driver.crash();
    driver.flush();
    driver.flush(60_000);
    assert.deepEqual(
      driver.blocks.map((b) => [b.evaluatorVersion, b.round, b.sampled, b.scored]),
      [
        ["", 0, 2, 0],
        ["v1", 1, 0, 1],
      ],
    );
    assert.equal(driver.closes.at(-1)?.round, 1);
  });

  const outcome = (given: Partial<Entry> = {}) => entry({ signal: "task", evaluatorVersion: "outcome", records: 0, sampled: 0, ...given });
  const expected = outcome({ records: 2, sampled: 2, scored: 0, values: [], counts: [] });
  const told = (driver: Driver) => driver.blocks.map((b) => [b.group, b.paneStartMs, b.round, b.sampled, b.scored, b.coverage]);

  it("closes a pane of outcomes when they had the time of their maturity, not before, and counts what is missing", () => {
    const driver = new Driver(1, () => ({ ...settings, maturityMs: 300_000 }));
    driver.take(frame({ entries: [expected], watermarkMs: 364_999 }), frame({ source: "outcomes", entries: [outcome()] }));
    driver.flush();
    driver.crash();
    driver.flush();
    assert.deepEqual(told(driver), []);
    driver.take(frame({ watermarkMs: 365_000 }));
    driver.flush();
    assert.deepEqual(told(driver), [["outcome", 0, 0, 2, 1, 0.5]]);
    driver.take(frame({ source: "outcomes", entries: [outcome()] }));
    driver.flush();
    driver.crash();
    driver.flush();
    driver.flush(15 * 60_000);
    assert.deepEqual(told(driver).slice(1), [["outcome", 0, 1, 0, 1, 1]]);
  });

  it("collects outcomes without a maturity for 15 minutes, so that both arms are in a pane, and never waits with other groups for them", () => {
    const driver = new Driver(1);
    driver.take(frame({ entries: [entry({})], watermarkMs: 66_000 }), frame({ source: "outcomes", entries: [outcome()] }));
    driver.flush();
    driver.crash();
    driver.take(frame({ source: "outcomes", entries: [outcome(), outcome({ paneStartMs: 60_000 })], watermarkMs: null }), frame({ watermarkMs: 126_000 }));
    driver.flush();
    assert.deepEqual(
      driver.closes.filter(({ group }) => group === "outcome"),
      [],
    );
    assert.ok(driver.closes.some(({ group, paneStartMs }) => group === "judge" && paneStartMs === 60_000));
    driver.flush(15 * 60_000);
    assert.deepEqual(
      told(driver).filter(([group]) => group === "outcome"),
      [
        ["outcome", 0, 0, 0, 2, 1],
        ["outcome", 60_000, 0, 0, 1, 1],
      ],
    );
  });

  it("makes silence visible for 15 minutes, also across a change of owner", () => {
    const driver = new Driver(1);
    driver.take(frame({ entries: [entry({})], watermarkMs: 66_000 }));
    driver.flush();
    for (let minute = 2; minute < 40; minute++) {
      driver.take(frame({ watermarkMs: minute * 60_000 + 6_000 }));
      driver.flush();
      if (minute % 3 === 0) driver.crash();
    }
    const starts = roundZero(driver.closes, "support", "calls").map(({ paneStartMs }) => paneStartMs / 60_000);
    assert.deepEqual(
      starts,
      Array.from({ length: 15 }, (_, i) => i),
    );
  });

  it("shows the rolling window of a series, and deletes it when the window has passed", () => {
    const driver = new Driver(1);
    const latencies = entry({
      signal: "latency_p95",
      kind: "log",
      records: 3,
      sampled: 3,
      scored: 3,
      values: [241, 99_999],
      counts: [2, 1],
      digestMeans: [100, 104],
      digestCounts: [1, 1],
    });
    driver.take(frame({ entries: [entry({ values: [0, 1], counts: [3, 1], scored: 4, records: 4, sampled: 4 }), latencies], watermarkMs: 66_000 }));
    driver.flush(5_000);
    const views = [...driver.views.values()] as { signal: string; mean: number; p50: number; records: number; standardError: number }[];
    const errors = views.find(({ signal }) => signal === "error_rate");
    assert.equal(errors?.mean, 0.75);
    assert.ok(Math.abs((errors?.standardError ?? 0) - 0.25) < 1e-12);
    const latency = views.find(({ signal }) => signal === "latency_p95");
    assert.equal(latency?.records, 3);
    assert.ok(Math.abs((latency?.mean ?? 0) - 100) < 2, "a call that never answered has no latency to average");
    assert.equal(latency?.p50, 102);
    driver.crash();
    driver.take(frame({ watermarkMs: 960_000 }));
    driver.flush(5_000);
    assert.equal(driver.views.size, 0);
  });

  it("lets a route go when it has nothing left, and the committed offset follows", () => {
    const driver = new Driver(1);
    driver.take(frame({ entries: [entry({})], watermarkMs: 66_000 }));
    driver.flush();
    for (let minute = 2; minute < 40; minute++) {
      driver.take(frame({ watermarkMs: minute * 60_000 }));
      driver.flush(60_000);
    }
    assert.equal(driver.committed.offset, driver.log.length);
    assert.match(driver.committed.metadata, /^w1\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|$/);
  });
});
