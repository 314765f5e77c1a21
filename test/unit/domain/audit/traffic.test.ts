import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { arrivalsOf, meanRate } from "../../../../src/domain/audit/arrivals.ts";
import { Dice } from "../../../../src/domain/audit/dice.ts";
import { emptyPane, sourceOf } from "../../../../src/domain/audit/panes.ts";
import { type AuditCall, measureOf } from "../../../../src/domain/audit/signals.ts";
import { carries, columnsOf, lossRate, recordedValue, scaledColumns } from "../../../../src/domain/audit/traffic.ts";
import { Windows } from "../../../../src/domain/audit/windows.ts";

const HOUR = 3_600_000;
const nothing: AuditCall = {
  atMs: null,
  subject: null,
  error: null,
  schemaValid: null,
  taskPass: null,
  grounded: null,
  latencyMs: null,
  ttftMs: null,
  costUsd: null,
  outputTokens: null,
};
/** A hundred calls: 10 % errors, which take 3 s; others 1.00 to 1.89 s; every second is judged, and a fifth of those failed. */
const calls: AuditCall[] = Array.from({ length: 100 }, (_, i) => ({
  ...nothing,
  error: i % 10 === 0,
  latencyMs: i % 10 === 0 ? 3_000 : 1_000 + 10 * (i % 90),
  taskPass: i % 2 === 0 ? i % 5 !== 0 : null,
  costUsd: 0.001 * (1 + (i % 4)),
}));
const columns = columnsOf(calls);
const measure = (name: string) => measureOf(name) ?? assert.fail(name);

describe("recorded calls as traffic", () => {
  it("are laid out by column; what fewer than 30 calls carry is left out", () => {
    assert.deepEqual(
      [carries(columns, "error"), carries(columns, "latency"), carries(columns, "ttft"), carries(columns, "schema")],
      [true, true, false, false],
    );
    assert.equal(lossRate(columns, "task"), 0.2);
    assert.equal(carries(columnsOf([...calls, ...Array.from({ length: 29 }, () => ({ ...nothing, ttftMs: 5 }))]), "ttft"), false);
    assert.equal(recordedValue(columns, measure("error_rate")), 0.1);
    assert.equal(recordedValue(columns, measure("task_completion")), 0.8);
    assert.equal(recordedValue(columns, measure("latency_p99")), 3_000);
    assert.ok(Math.abs(recordedValue(columns, measure("cost_per_request")) - 0.0025) < 1e-12);
  });

  it("are drawn with replacement in their own shares: one by one and as counts (within 5 standard deviations, fixed seed)", () => {
    const source = sourceOf(columns, [calls.map((_, i) => i)], null);
    const pane = emptyPane(columns);
    for (const n of [1_500, 60_000]) {
      source.draw(pane, 0, n, new Dice(2));
      const near = (count: number, p: number) => assert.ok(Math.abs(count - n * p) < 5 * Math.sqrt(n * p * (1 - p)) + 1e-9, `${n}: ${count} for ${n * p}`);
      near(pane.bad[0] ?? 0, 0.1);
      near(pane.known[1] ?? 0, 0.5);
      near(pane.bad[1] ?? 0, 0.1);
      assert.equal(pane.counted[0], n);
      assert.equal(
        [...(pane.classes[0] ?? [])].reduce((sum, count) => sum + count, 0),
        n,
      );
      assert.ok(Math.abs((pane.sums[1] ?? 0) / n / 2_500 - 1) < 0.05);
    }
    // Drawn one by one, what belongs to one call stays together: each failed call is one of the slow ones.
    source.draw(pane, 0, 1_000, new Dice(3));
    const classes = pane.classes[0] ?? new Int32Array();
    const slowest = classes.findLastIndex((count) => count > 0);
    assert.equal(classes[slowest], pane.bad[0]);
    source.draw(pane, 0, 0, new Dice(3));
    assert.deepEqual([pane.n, pane.bad[0], pane.counted[0]], [0, 0, 0]);
  });

  it("are made worse by so much as is asked for", () => {
    const harmed = sourceOf(columns, [calls.map((_, i) => i)], [0, 0.0625]);
    const pane = emptyPane(columns);
    harmed.draw(pane, 0, 200_000, new Dice(4));
    const rate = (pane.bad[1] ?? 0) / (pane.known[1] ?? 1);
    assert.ok(Math.abs(rate - 0.25) < 0.01, `${rate}: 5 points more than 20 %`);
    const slower = scaledColumns(columns, "latency", 1.15);
    assert.ok(Math.abs(recordedValue(slower, measure("latency_p50")) / recordedValue(columns, measure("latency_p50")) - 1.15) < 1e-9);
    assert.equal(slower.quantities[0]?.classes, columns.quantities[0]?.classes);
    assert.equal(recordedValue(slower, measure("cost_per_request")), recordedValue(columns, measure("cost_per_request")));
  });

  it("are seen through rolling windows as through their sums", () => {
    const needs = [3, 5].map((minutes) => ({ minutes, measures: [measure("latency_p95"), measure("error_rate"), measure("cost_per_request")] }));
    const windows = new Windows(columns, needs);
    const source = sourceOf(columns, [calls.map((_, i) => i)], null);
    const dice = new Dice(6);
    const seen: { n: number; bad: number; sum: number }[] = [];
    for (let minute = 1; minute <= 12; minute++) {
      const panes = { candidate: emptyPane(columns), baseline: emptyPane(columns) };
      source.draw(panes.candidate, 0, 40, dice);
      source.draw(panes.baseline, 0, 400, dice);
      windows.push(panes);
      seen.push({ n: 40, bad: panes.candidate.bad[0] ?? 0, sum: panes.candidate.sums[1] ?? 0 });
      for (const minutes of [1, 3, 5]) {
        const last = seen.slice(-minutes);
        const of = (key: "n" | "bad" | "sum") => last.reduce((sum, each) => sum + each[key], 0);
        assert.equal(windows.calls("candidate", measure("error_rate"), minutes), of("n"));
        assert.ok(Math.abs(windows.value("candidate", measure("error_rate"), minutes) - of("bad") / of("n")) < 1e-12);
        assert.ok(Math.abs(windows.value("candidate", measure("cost_per_request"), minutes) - of("sum") / of("n") / 1e6) < 1e-12);
      }
    }
    // Nine in ten calls take up to 1.89 s and one in ten 3 s: P80 is among the first, P95 among the last, within a bucket of 1.9 %.
    const p95 = windows.value("baseline", measure("latency_p95"), 5);
    const p50 = windows.value("baseline", measure("latency_p95"), 3);
    assert.ok(Math.abs(p95 / 3_000 - 1) < 0.02 && Math.abs(p50 / 3_000 - 1) < 0.02, `${p95} ${p50}`);
    assert.throws(() => windows.value("baseline", measure("latency_p95"), 7), /no window of 7 minutes/);
    windows.reset();
    assert.equal(windows.calls("baseline", measure("error_rate"), 5), 0);
    assert.ok(Number.isNaN(windows.value("baseline", measure("error_rate"), 5)));
  });

  it("come steadily when they carry no times, or one time for a whole batch; else in the recorded pattern, scaled to a given rate", () => {
    const steady = arrivalsOf([null, null, null], null, 2);
    assert.deepEqual([steady.kind, meanRate(steady), steady.cells], ["steady", 120, [[0, 1, 2]]]);
    assert.equal(
      arrivalsOf(
        Array.from({ length: 500 }, () => 7 * HOUR),
        5,
        2,
      ).kind,
      "steady",
    );

    const stretch = arrivalsOf(
      Array.from({ length: 90 }, (_, i) => (i < 60 ? i * 5_000 : 300_000 + (i - 60) * 20_000)),
      null,
      2,
    );
    assert.deepEqual([stretch.kind, stretch.slots.map(({ callsPerMinute }) => callsPerMinute)], ["stretch", [12, 3]]);

    // Two days: 60 calls an hour by day (8 to 20), 30 by night.
    const times = Array.from({ length: 48 }, (_, hour) => {
      const n = hour % 24 >= 8 && hour % 24 < 20 ? 240 : 120;
      return Array.from({ length: n }, (_unused, i) => hour * HOUR + (i * HOUR) / n);
    }).flat();
    const day = arrivalsOf(times, null, 2);
    assert.equal(day.kind, "day");
    assert.ok(Math.abs((day.slots[12]?.callsPerMinute ?? 0) - 4) < 0.1);
    assert.ok(Math.abs((day.slots[3]?.callsPerMinute ?? 0) - 2) < 0.1);
    assert.deepEqual([day.cells.length, day.slots[12]?.cell], [24, 12], "each hour of the day has 200 rows or more");
    assert.ok(Math.abs(meanRate(arrivalsOf(times, 10, 2)) - 600) < 1e-6);
    assert.equal(
      arrivalsOf(
        times.filter((_, i) => i % 4 === 0),
        null,
        2,
      ).cells.length,
      4,
      "with fewer rows, six hours together",
    );
  });
});
