import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { armRows, onlySignals, pairedRows } from "../../../../src/domain/backtest/arm-rows.ts";
import { dice } from "../../../../src/domain/backtest/dice.ts";
import { drawMirrored, drawServed, sharesOf } from "../../../../src/domain/backtest/draw-pane.ts";
import type { RecordedCall } from "../../../../src/domain/backtest/recorded-call.ts";
import { kindsOf } from "../../../../src/domain/backtest/values-of.ts";
import type { Block } from "../../../../src/domain/rollout/input.ts";
import { callContributions } from "../../../../src/domain/signals/call-contributions.ts";
import { Fold } from "../../../../src/domain/signals/fold.ts";
import { scoreContributions } from "../../../../src/domain/signals/score-contributions.ts";
import { SeriesLimit } from "../../../../src/domain/signals/series-limit.ts";
import { joinJudged } from "../../../../src/domain/windows/judge-join.ts";
import { addEntry, emptyTally, statisticsOf } from "../../../../src/domain/windows/tally.ts";
import type { Entry, Request, Score } from "../../../../topics/index.ts";
import { tableWith } from "../routing/table-fixture.ts";
import { callWith, scoreWith, twinWith } from "../signals/call-fixture.ts";
import { recorded } from "./recorded-fixture.ts";

const rubrics = [
  {
    name: "recorded@1",
    digest: "recorded@1",
    signals: [
      { name: "task_completion", form: "binary" as const },
      { name: "factuality", form: "grid" as const },
    ],
  },
];
const judged = new Set(["task_completion", "factuality"]);
const everything = { baseline: 1_000_000, candidate: 1_000_000, holdback: 1_000_000, shadow: 1_000_000 };
const table = tableWith({ samplePpm: everything, slices: ["long"], valueCaps: [{ signal: "cost_per_request", cap: 2_000 }] });
const capOf = (signal: string) => table.valueCaps.find((known) => known.signal === signal)?.cap ?? null;
const context = () => ({ table, dice: dice(1), judged, capOf });
const inOrder = (n: number) => {
  let i = 0;
  return () => i++ % n;
};

/** Calls that differ in everything that is counted. */
const calls: RecordedCall[] = Array.from({ length: 60 }, (_, i) =>
  recorded({
    version: "b@2",
    promptId: `p${i}`,
    subject: `user ${i % 7}`,
    slices: i % 3 === 0 ? ["long"] : [],
    isError: i % 11 === 0,
    isTimeout: i % 11 === 0,
    isSchemaValid: i % 11 === 0 ? null : i % 5 !== 0,
    latencyMs: 100 + 37 * i,
    ttftMs: 20 + i,
    costUsd: 0.0005 + 0.00004 * i,
    outputTokens: 10 + 3 * i,
    scores: i % 11 === 0 ? new Map() : new Map(Object.entries({ task_completion: i % 4 === 0 ? 0 : 1, factuality: (i % 9) / 10 })),
  }),
);

const checkedOf = (call: RecordedCall) =>
  call.isSchemaValid === null ? null : { schemaValid: call.isSchemaValid, empty: false, cut: false, formBroken: false, timedOut: false, unread: false };

function requestOf(call: RecordedCall, i: number): Request {
  return callWith({
    requestId: `0198c0de-0000-7000-8000-${String(i).padStart(12, "0")}`,
    status: call.isTimeout ? "timeout" : "ok",
    subject: call.subject ?? "",
    slices: [...call.slices],
    latencyMs: call.latencyMs ?? 0,
    ttftMs: call.ttftMs,
    costUsd: call.costUsd,
    outputTokens: call.outputTokens,
  });
}

function scoreOf(call: RecordedCall, request: Request, twin: RecordedCall | null): Score {
  const { requestId, subject, slices, exposure } = request;
  const results = [...call.scores].map(([signal, value]) => ({
    signal,
    form: signal === "factuality" ? ("grid" as const) : ("binary" as const),
    status: "scored" as const,
    value,
    twinValue: twin?.scores.get(signal) ?? null,
    rationale: "",
  }));
  return scoreWith({ requestId, subject, slices, exposure, results });
}

/** What the sampler, the judge's fold and the windows make of calls, by slice, signal and kind. */
function folded(given: readonly { readonly call: RecordedCall; readonly twin: RecordedCall | null }[]): Map<string, Statistics> {
  const fold = new Fold(new SeriesLimit());
  for (const [i, { call, twin }] of given.entries()) {
    const mirrored = twin === null ? {} : ({ exposure: "shadow", twin: twinWith() } as const);
    const request = { ...requestOf(call, i), ...mirrored };
    const checked = { call: checkedOf(call), twin: twin === null ? null : checkedOf(twin) };
    fold.add(request, callContributions(request, checked, rubrics, { valueCaps: table.valueCaps, isNewSubject: null }));
    if (call.scores.size > 0) fold.add(request, scoreContributions(scoreOf(call, request, twin)));
  }
  const tallies = fold.drain().map((entry: Entry) => {
    const tally = emptyTally(entry);
    addEntry(tally, entry);
    return tally;
  });
  return new Map(joinJudged(tallies).map((tally) => [`${tally.series.slice} ${tally.series.signal} ${tally.series.kind}`, statistics(statisticsOf(tally))]));
}

type Statistics = ReturnType<typeof statistics>;
/** Sums of quantities are of the midpoints of their buckets here, and exact there: they are compared apart. */
function statistics(block: Pick<Block, "kind" | "records" | "sampled" | "scored" | "values" | "counts" | "subjectCounts" | "subjectSums">) {
  const { kind, records, sampled, scored, values, counts, subjectCounts, subjectSums } = block;
  return { records, sampled, scored, values, counts, subjectCounts, subjectSums: kind === "log" ? "compared apart" : subjectSums };
}
const drawnBy = (blocks: readonly Block[]) => new Map(blocks.map((block) => [`${block.slice} ${block.signal} ${block.kind}`, statistics(block)]));

describe("a drawn pane", () => {
  const kinds = kindsOf(calls);
  const rows = armRows("b@2", calls, kinds);

  it("holds the blocks that the sampler, the judge's fold and the windows would make of the same calls", () => {
    const drawn = drawnBy(drawServed({ rows, next: inOrder(rows.rows) }, "candidate", calls.length, context()).blocks);
    const expected = folded(calls.map((call) => ({ call, twin: null })));
    const names = [...drawn.keys()].filter((name) => name !== "all calls binary");
    assert.equal(names.length, 2 * 8);
    for (const name of names) assert.deepEqual(drawn.get(name), expected.get(name), name);
  });

  it("sums capped quantities to within the width of their buckets", () => {
    const { blocks } = drawServed({ rows, next: inOrder(rows.rows) }, "candidate", calls.length, context());
    const cost = blocks.find(({ signal, slice }) => signal === "cost_per_request" && slice === "all");
    const sum = calls.reduce((total, { costUsd }) => total + Math.min((costUsd ?? 0) * 1e6, 2_000), 0);
    const drawn = (cost?.subjectSums ?? []).reduce((total, each) => total + each, 0);
    assert.ok(Math.abs(drawn / sum - 1) < 0.005, `${drawn} of ${sum}`);
    assert.deepEqual(blocks.find(({ signal }) => signal === "latency_p95")?.subjectSums, [], "no cap is known of it");
  });

  it("holds pairs as the fold makes them of mirrored calls and their twins", () => {
    const served = calls.map((call, i) => ({ ...call, version: "a@1", isSchemaValid: call.isSchemaValid === null ? null : i % 7 !== 0 }));
    const baseline = armRows("a@1", served, kinds);
    const pairs = pairedRows(baseline, rows);
    const blocks = drawnBy(drawMirrored({ baseline, candidate: rows, rows: pairs, next: inOrder(pairs.length) }, calls.length, context()));
    const expected = folded(calls.map((call, i) => ({ call, twin: served[i] ?? null })));
    for (const name of ["all schema_validity binary", "all schema_validity paired", "all task_completion paired", "all factuality paired"])
      assert.deepEqual(blocks.get(name), expected.get(name), name);
    assert.equal(blocks.has("all task_completion binary"), false, "a judged pair is one piece of work");
  });

  it("draws judged signals at the table's rate, and everything else always", () => {
    const rare = { ...context(), table: tableWith({ samplePpm: { ...everything, candidate: 100_000 } }) };
    const { blocks } = drawServed({ rows, next: inOrder(rows.rows) }, "candidate", 6_000, rare);
    const task = blocks.find(({ signal }) => signal === "task_completion");
    const errors = blocks.find(({ signal }) => signal === "error_rate");
    assert.equal(errors?.sampled, 6_000);
    assert.equal(task?.records, 5_400);
    assert.ok(task.sampled > 400 && task.sampled < 680, `${task.sampled} of 540 expected`);
    assert.deepEqual([task.samplePpm, task.evaluatorVersion], [100_000, "recorded"]);
  });

  it("counts a call whose row says nothing, and no signal for it", () => {
    const silent = armRows("b@2", [recorded({ version: "b@2" })], kinds);
    const { blocks, exposed } = drawServed({ rows: silent, next: () => 0 }, "candidate", 5, context());
    assert.deepEqual(
      blocks.map(({ signal, records, newSubjects }) => [signal, records, newSubjects]),
      [["calls", 5, 5]],
    );
    assert.equal(exposed, 5);
    assert.deepEqual(drawServed({ rows: silent, next: () => 0 }, "baseline", 0, context()), { blocks: [], exposed: 0 });
  });

  it("leaves out what no signal of the rollout reads", () => {
    const { columns } = onlySignals(rows, new Set(["error_rate", "never_recorded"]));
    assert.deepEqual(
      columns.map(({ signal }) => signal),
      ["error_rate"],
    );
  });
});

describe("rows of the same prompt", () => {
  it("are paired with every row of the baseline that answered it; others are not", () => {
    const rowsOf = (...ids: readonly (string | null)[]) =>
      armRows(
        "a",
        ids.map((promptId) => recorded({ promptId })),
        new Map(),
      );
    assert.deepEqual(pairedRows(rowsOf("x", "y", "x", null), rowsOf("y", "z", null, "x")), [
      { candidateRow: 0, twins: [1] },
      { candidateRow: 3, twins: [0, 2] },
    ]);
  });
});

describe("shares of a table", () => {
  it("are those of its ranges", () => {
    assert.deepEqual(
      [...sharesOf(table)],
      [
        ["candidate", 0.05],
        ["baseline", 0.94],
        ["holdback", 0.01],
      ],
    );
  });
});
