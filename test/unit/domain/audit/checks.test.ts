import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ChecksPlan, checksWatcher, type Watcher } from "../../../../src/domain/audit/checks.ts";
import { kayentaWatcher } from "../../../../src/domain/audit/kayenta.ts";
import { readyMade } from "../../../../src/domain/audit/ready-made.ts";
import { type Condition, parseRule } from "../../../../src/domain/audit/rule.ts";
import { guardedSignals, type Measure, measureOf } from "../../../../src/domain/audit/signals.ts";
import type { View } from "../../../../src/domain/audit/windows.ts";

/** Values of the candidate per minute (from 1) for one look; the baseline is always 100. Calls: 60 a minute unless said. */
const series = (candidate: (minute: number, measure: Measure) => number, calls: (minute: number) => number = () => 60) => ({ candidate, calls });

function stopsAt(watcher: Watcher, { candidate, calls }: ReturnType<typeof series>, minutes = 600): number | null {
  watcher.reset();
  for (let minute = 1; minute <= minutes; minute++) {
    const view: View = {
      value: (arm, measure) => (arm === "baseline" ? 100 + (minute % 7) : candidate(minute, measure)),
      calls: () => calls(minute),
    };
    if (watcher.look(minute, view)) return minute;
  }
  return null;
}

function condition(text: string): Condition {
  const parsed = parseRule(text);
  return parsed.kind === "rule" ? parsed.rule : assert.fail(parsed.problem.message);
}

const slow = condition("latency_p95 > 200ms");
const plan: ChecksPlan = { conditions: [slow], windowMinutes: 1, everyMinutes: 1, leastCalls: 1, failures: 1, counted: "row" };

describe("rules on hand-made series", () => {
  it("a fixed threshold stops at the first look beyond it, once the window is full and has enough calls", () => {
    const isSlowFrom = (from: number) => series((minute) => (minute >= from ? 250 : 150));
    assert.equal(stopsAt(checksWatcher(plan), isSlowFrom(40)), 40);
    assert.equal(stopsAt(checksWatcher({ ...plan, windowMinutes: 15 }), isSlowFrom(3)), 15);
    assert.equal(
      stopsAt(
        checksWatcher({ ...plan, leastCalls: 50 }),
        series(
          () => 250,
          (minute) => (minute < 30 ? 49 : 50),
        ),
      ),
      30,
    );
    assert.equal(
      stopsAt(
        checksWatcher(plan),
        series(() => 200),
      ),
      null,
    );
  });

  it("n in a row begins anew with every look that passes, and not with one that has too few calls", () => {
    const three = checksWatcher({ ...plan, failures: 3 });
    assert.equal(
      stopsAt(
        three,
        series((minute) => ([5, 6, 8, 9, 10].includes(minute) ? 250 : 150)),
      ),
      10,
    );
    assert.equal(
      stopsAt(
        three,
        series((minute) => (minute % 3 === 0 ? 150 : 250)),
      ),
      null,
    );
    const patient = checksWatcher({ ...plan, failures: 3, leastCalls: 10 });
    assert.equal(
      stopsAt(
        patient,
        series(
          () => 250,
          (minute) => (minute === 2 ? 0 : 60),
        ),
      ),
      4,
    );
  });

  it("Flagger-style counts failed rounds in all, a round once however many metrics failed", () => {
    const conditions = [slow, condition("error_rate > 2%")];
    const flagger = checksWatcher({ ...plan, conditions, failures: 5, counted: "any" });
    const bad = (minute: number, { kind }: Measure) => (minute % 10 === 0 ? 250 : kind === "rate" ? 0 : 150);
    assert.equal(stopsAt(flagger, series(bad)), 50);
    assert.equal(
      stopsAt(
        flagger,
        series((minute, measure) => (minute > 40 ? 150 : bad(minute, measure)) * (measure.kind === "rate" && minute > 40 ? 0 : 1)),
      ),
      null,
    );
  });

  it("Argo-style looks each 5 minutes and counts the failed measurements of each metric by itself", () => {
    const conditions = [slow, condition("error_rate > 2%")];
    const argo = checksWatcher({ ...plan, conditions, windowMinutes: 5, everyMinutes: 5, failures: 4, counted: "each" });
    assert.equal(
      stopsAt(
        argo,
        series((_, { kind }) => (kind === "rate" ? 0 : 250)),
      ),
      20,
    );
    // The two metrics fail in turn: four failures of one are there at the eighth look.
    const inTurn = series((minute, { kind }) => ((kind === "rate") === (minute % 10 === 0) ? 250 : 0));
    assert.equal(stopsAt(argo, inTurn), 35);
    assert.equal(
      stopsAt(
        argo,
        series((minute) => (minute % 5 === 0 ? 0 : 250)),
      ),
      null,
    );
  });

  it("Kayenta-style looks each hour at that hour's minutes, in the direction of harm, and stops when they are clearly worse", () => {
    const latency = measureOf("latency_p95") ?? assert.fail();
    const validity = measureOf("schema_validity") ?? assert.fail();
    const worse = series((minute) => 100 + (minute % 7) + (minute > 120 ? 30 : 0));
    assert.equal(stopsAt(kayentaWatcher([latency]), worse), 180);
    assert.equal(stopsAt(kayentaWatcher([validity]), worse), null, "more of what is good is no harm");
    assert.equal(
      stopsAt(
        kayentaWatcher([validity]),
        series((minute) => 70 + (minute % 7)),
      ),
      60,
    );
    assert.equal(
      stopsAt(
        kayentaWatcher([latency]),
        series((minute) => 100 + ((minute + 3) % 7)),
      ),
      null,
    );
    assert.equal(
      stopsAt(
        kayentaWatcher([latency]),
        series((minute) => (minute % 2 === 0 ? Number.NaN : 500)),
      ),
      null,
      "30 points are not 50",
    );
  });

  it("the ready-made rules draw the line at headgate's limits, in the direction of harm; Flagger's from the recorded value", () => {
    const signals = guardedSignals((field) => field === "schema" || field === "latency");
    const rules = readyMade(signals, ({ measure }) => (measure.kind === "rate" ? 0.99 : 1_000));
    assert.deepEqual(
      rules.map(({ name }) => name),
      ["fixed threshold, 15 min", "3 breaches in a row", "Flagger-style", "Argo-style", "Kayenta-style"],
    );
    const at = (schema: number, latency: number): View => ({
      value: (arm, { kind }) => (arm === "baseline" ? (kind === "rate" ? 0.99 : 1_000) : kind === "rate" ? schema : latency),
      calls: () => 100,
    });
    const [fixed, row, flagger] = rules.map(({ watcher }) => watcher);
    assert.equal(fixed?.look(15, at(0.981, 1_099)), false);
    assert.equal(fixed?.look(16, at(0.979, 1_000)), true);
    assert.equal(fixed?.look(17, at(1, 1_101)), true);
    assert.deepEqual([row?.look(15, at(0.9, 1_000)), row?.look(16, at(0.9, 1_000)), row?.look(17, at(0.9, 1_000))], [false, false, true]);
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((minute) => flagger?.look(minute, at(0.97, 1_000))),
      [false, false, false, false, true],
    );
  });
});
