import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, it } from "node:test";
import type { Schema } from "avsc";
import avro from "avsc";
import fc from "fast-check";
import { declaredSlices, termsOf } from "../../../../src/domain/signals/attempt-terms.ts";
import { type CallAbout, type CheckedCall, callContributions } from "../../../../src/domain/signals/call-contributions.ts";
import { Fold, subjectBucket } from "../../../../src/domain/signals/fold.ts";
import { entryBytes, framesOf } from "../../../../src/domain/signals/frames.ts";
import { scoreContributions } from "../../../../src/domain/signals/score-contributions.ts";
import { seriesKey } from "../../../../src/domain/signals/series.ts";
import { SeriesLimit } from "../../../../src/domain/signals/series-limit.ts";
import { logBucket, OVERFLOW_BUCKET } from "../../../../src/domain/stats/log-bucket.ts";
import type { Entry, Request, RoutingTable } from "../../../../topics/index.ts";
import { callWith, scoreWith, twinWith } from "./call-fixture.ts";

const good = { schemaValid: true, empty: false, cut: false, formBroken: false, timedOut: false, unread: false };
const bad = { ...good, schemaValid: false };
const rubrics: RoutingTable["rubrics"] = [
  {
    name: "task@1",
    digest: "d",
    signals: [
      { name: "task_completion", form: "binary" },
      { name: "factuality", form: "grid" },
      { name: "error_rate", form: "binary" },
    ],
  },
];

function folded(
  calls: readonly Request[],
  checked: CheckedCall = { call: good, twin: null },
  wanted: RoutingTable["rubrics"] = [],
  about: CallAbout = { valueCaps: [], isNewSubject: null },
): Entry[] {
  const fold = new Fold(new SeriesLimit());
  for (const call of calls) fold.add(call, callContributions(call, checked, wanted, about));
  return fold.drain();
}
const of = (entries: readonly Entry[], signal: string, kind?: Entry["kind"]) =>
  entries.filter((e) => e.signal === signal && (kind === undefined || e.kind === kind));
const histogram = ({ values, counts }: Pick<Entry, "values" | "counts">) => values.map((value, i) => [value, counts[i]]);

/** Everything additive of entries, by series and pane. */
function totals(entries: readonly Entry[]): [string, number][] {
  const sums = new Map<string, number>();
  const add = (key: string, by: number) => by !== 0 && sums.set(key, (sums.get(key) ?? 0) + by);
  for (const entry of entries) {
    const key = `${seriesKey(entry)} ${entry.paneStartMs} ${entry.paneMs}`;
    for (const name of ["records", "sampled", "scored", "abstained", "failed"] as const) add(`${key} ${name}`, entry[name]);
    for (const [i, value] of entry.values.entries()) add(`${key} value ${value}`, entry.counts[i] ?? 0);
    for (const [i, value] of entry.subjectCounts.entries()) add(`${key} subject ${i}`, value);
    for (const [i, value] of entry.subjectSums.entries()) add(`${key} loss ${i}`, value);
    add(`${key} new`, entry.newSubjects ?? 0);
    add(`${key} new is known`, Number(entry.newSubjects !== null));
    add(
      `${key} shown`,
      entry.digestCounts.reduce((sum, n) => sum + n, 0),
    );
  }
  // Of how many entries one is known is a matter of how they were split; that one is known is not.
  return [...sums].map(([key, sum]): [string, number] => [key, key.endsWith("known") ? 1 : sum]).sort(([a], [b]) => (a < b ? -1 : 1));
}

const aCall: fc.Arbitrary<Request> = fc
  .record({
    requestId: fc.uuid(),
    arm: fc.constantFrom("baseline", "candidate"),
    status: fc.constantFrom("ok", "ok", "ok", "error", "timeout", "cancelled"),
    latencyMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
    ttftMs: fc.option(fc.double({ min: 0, max: 1_000, noNaN: true })),
    costUsd: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
    outputTokens: fc.option(fc.nat(5_000)),
    endedAtMs: fc.nat(40_000),
    subject: fc.constantFrom("a", "b", "c", "d"),
    slices: fc.subarray(["context=long", "domain=billing"]),
    exposure: fc.constantFrom("served", "shadow"),
    epoch: fc.constantFrom(7, 8),
    samplePpm: fc.constantFrom(0, 500_000, 1_000_000),
    isMirrored: fc.boolean(),
  })
  .map(({ isMirrored, ...call }) => callWith({ ...call, twin: isMirrored && call.exposure === "shadow" ? twinWith() : null }));

describe("folding calls and scores", () => {
  it("adds up to the same, however the records are ordered and split into flushes", () => {
    const parts = fc.array(fc.array(aCall, { maxLength: 15 }), { maxLength: 5 });
    fc.assert(
      fc.property(parts, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (split, dice) => {
        const checked = (call: Request): CheckedCall => ({
          call: call.status === "ok" ? (call.latencyMs < 30_000 ? good : bad) : null,
          twin: call.twin === null ? null : good,
        });
        const aboutOf = ({ latencyMs, subject }: Request): CallAbout => ({
          valueCaps: [
            { signal: "latency_p95", cap: 20_000 },
            { signal: "cost_per_request", cap: 500_000 },
          ],
          isNewSubject: subject === "d" ? null : latencyMs > 30_000,
        });
        const fold = (calls: readonly Request[]) => calls.flatMap((call) => folded([call], checked(call), rubrics, aboutOf(call)));
        const shuffled = split
          .flat()
          .map((call) => ({ call, at: dice.next().value ?? 0 }))
          .sort((a, b) => a.at - b.at)
          .map(({ call }) => call);
        const together = new Fold(new SeriesLimit());
        for (const call of shuffled) together.add(call, callContributions(call, checked(call), rubrics, aboutOf(call)));
        assert.deepEqual(totals(together.drain()), totals(fold(split.flat())));
      }),
      { numRuns: 100 },
    );
  });

  it("counts a served call in each of its signals in `all`, and in its slices in those that can gate", () => {
    const entries = folded([callWith({ slices: ["context=long", "context=long"], ttftMs: 30, endedAtMs: 1_012_345 })]);
    const classes = ["error_timeout", "error_rate_limit", "error_client", "error_server"];
    const checks = ["schema_validity", "empty_output", "cut_output"];
    const quantities = ["latency_p95", "ttft_p95", "cost_per_request", "output_tokens"];
    const signalsOf = (slice: string) => entries.filter((e) => e.slice === slice).map(({ signal }) => signal);
    assert.deepEqual(signalsOf("all"), ["error_rate", ...classes, ...checks, ...quantities]);
    assert.deepEqual(signalsOf("context=long"), ["error_rate", "schema_validity", ...quantities]);
    assert.deepEqual(new Set(folded([callWith({ arm: "none", slices: ["context=long"] })]).map(({ slice }) => slice)), new Set(["all"]));
    for (const e of entries) assert.deepEqual([e.paneStartMs, e.records, e.sampled, e.scored, e.counts, e.samplePpm], [1_010_000, 1, 1, 1, [1], 1_000_000]);
    assert.deepEqual(
      of(entries, "latency_p95").map(({ digestMeans }) => digestMeans),
      [[100], []],
    );
    assert.deepEqual(of(entries, "cost_per_request")[0]?.values, [logBucket(1_000)]);
  });

  it("counts errors and timeouts as errors, a cancelled call not at all, and both that never answered as an exceedance", () => {
    const statuses = ["ok", "error", "timeout", "cancelled"] as const;
    const entries = folded(
      statuses.map((status) => callWith({ status })),
      { call: null, twin: null },
    );
    assert.deepEqual(of(entries, "error_rate").map(histogram), [
      [
        [0, 1],
        [1, 2],
      ],
    ]);
    assert.deepEqual(of(entries, "latency_p95").map(histogram), [
      [
        [logBucket(100), 2],
        [OVERFLOW_BUCKET, 2],
      ],
    ]);
  });

  it("counts a mirrored call as a difference to its twin, and its own side for floors", () => {
    const shadow = callWith({ exposure: "shadow", twin: twinWith() });
    const worse = folded([shadow], { call: bad, twin: good });
    assert.deepEqual(
      of(worse, "schema_validity", "paired").map(({ values, exposure }) => [values, exposure]),
      [[[100], "shadow"]],
    );
    assert.deepEqual(of(worse, "schema_validity", "binary")[0]?.values, [1]);
    assert.deepEqual(of(folded([shadow], { call: good, twin: bad }), "schema_validity", "paired")[0]?.values, [-100]);
    assert.deepEqual(of(worse, "error_rate", "paired")[0]?.values, [0]);
    const failed = folded([callWith({ exposure: "shadow", status: "error", twin: twinWith() })], { call: null, twin: good });
    assert.deepEqual(of(failed, "error_rate", "paired")[0]?.values, [100]);
    assert.deepEqual(of(failed, "schema_validity"), []);
  });

  it("a pair is missing when a form was asked of both sides and one could not be checked; a side that failed or calls tools leaves no pair to miss", () => {
    const slow = { ...good, schemaValid: null, timedOut: true };
    const callsTools = { ...good, schemaValid: null };
    const shadow = callWith({ exposure: "shadow", twin: twinWith() });
    const missing = (call: CheckedCall["call"], twin: CheckedCall["twin"]) =>
      of(folded([shadow], { call, twin }), "schema_validity").map(({ kind, records, failed }) => [kind, records, failed]);
    for (const other of [good, bad, slow]) {
      assert.deepEqual(missing(other, slow).at(-1), ["paired", 1, 1]);
      assert.deepEqual(missing(slow, other), [
        ["binary", 1, 1],
        ["paired", 1, 1],
      ]);
    }
    for (const none of [null, callsTools]) {
      assert.deepEqual(missing(none, slow), []);
      assert.deepEqual(missing(slow, none), [["binary", 1, 1]]);
    }
  });

  it("counts for each judged signal what is in scope and what was drawn, but not under the name of a check", () => {
    const calls = Array.from({ length: 400 }, (_, i) => callWith({ requestId: `r${i}`, samplePpm: 250_000 }));
    const entries = folded([...calls, callWith({ status: "error", samplePpm: 250_000 })], { call: good, twin: null }, rubrics);
    for (const [signal, kind] of [
      ["task_completion", "binary"],
      ["factuality", "grid"],
    ] as const) {
      const [entry] = of(entries, signal, kind);
      assert.equal(entry?.records, 400);
      assert.ok((entry?.sampled ?? 0) > 60 && (entry?.sampled ?? 0) < 140);
      assert.deepEqual([entry?.scored, entry?.values, entry?.samplePpm], [0, [], 250_000]);
    }
    assert.equal(of(entries, "error_rate").length, 1);
  });

  it("counts subjects in 32 buckets with the sum of their losses", () => {
    const [entry] = of(folded([callWith({ subject: "x" }), callWith({ subject: "x", status: "error" })], { call: null, twin: null }), "error_rate");
    const bucket = subjectBucket("x");
    assert.deepEqual([entry?.subjectCounts.length, entry?.subjectCounts[bucket], entry?.subjectSums[bucket]], [32, 2, 1]);
  });

  it("sums quantities by subject up to their cap, where nothing ended as the cap, and not at all without one", () => {
    const valueCaps = [
      { signal: "latency_p95", cap: 150 },
      { signal: "cost_per_request", cap: 2_000 },
    ];
    const calls = [callWith({ latencyMs: 99.6 }), callWith({ latencyMs: 400, costUsd: 0.5 }), callWith({ status: "timeout", latencyMs: 3, costUsd: null })];
    const entries = folded(calls, { call: null, twin: null }, [], { valueCaps, isNewSubject: null });
    const bucket = subjectBucket("subject-1");
    const inBucket = (signal: string) => of(entries, signal).map(({ subjectCounts, subjectSums }) => [subjectCounts[bucket], subjectSums[bucket]]);
    assert.deepEqual(inBucket("latency_p95"), [[3, 100 + 150 + 150]]);
    assert.deepEqual(inBucket("cost_per_request"), [[2, 1_000 + 2_000]]);
    assert.deepEqual(of(entries, "output_tokens")[0]?.subjectCounts, []);
  });

  it("counts subjects at first sight with the latency of slice `all`, which every call has, and tells none from not known", () => {
    const call = callWith({ status: "cancelled", slices: ["context=long"] });
    for (const [isNewSubject, newSubjects] of [
      [true, 1],
      [false, 0],
      [null, null],
    ] as const) {
      const entries = folded([call], { call: null, twin: null }, [], { valueCaps: [], isNewSubject });
      assert.deepEqual(
        of(entries, "latency_p95").map((e) => [e.slice, e.newSubjects]),
        [
          ["all", newSubjects],
          ["context=long", null],
        ],
      );
      assert.ok(entries.every((e) => e.signal === "latency_p95" || e.newSubjects === null));
    }
  });

  it("knows slices and caps only from a table of the call's own attempt, and counts only declared slices", () => {
    const table = { rollout: "x", attempt: 2, slices: ["a", "b", "all", "a"], valueCaps: [{ signal: "latency_p95", cap: 9 }] };
    assert.equal(termsOf({ rollout: "x", attempt: 2 }, table), table);
    for (const other of [termsOf({ rollout: "x", attempt: 1 }, table), termsOf({ rollout: "y", attempt: 2 }, table), termsOf(callWith(), undefined)])
      assert.deepEqual(other, { slices: [], valueCaps: [] });
    assert.deepEqual(declaredSlices(["user=17", "b", "a", "a", "all"], table), ["a", "b"]);
  });

  it("has room for 8 signals that gate, what is only shown, 4 slices and 3 arms of one route, also when it takes steps", () => {
    const judged: RoutingTable["rubrics"] = [
      {
        name: "r@1",
        digest: "d",
        signals: [
          { name: "task_completion", form: "binary" },
          { name: "factuality", form: "grid" },
        ],
      },
    ];
    const fold = new Fold(new SeriesLimit());
    let refused = 0;
    for (const step of [0, 1, 2]) {
      for (const [arm, version] of [
        ["baseline", "a@1"],
        ["candidate", "b@2"],
        ["holdback", "a@1"],
      ] as const) {
        const call = callWith({ arm, version, step, epoch: 10 + step, endedAtMs: 1_000_000 + step * 10_000, ttftMs: 5, slices: ["s1", "s2", "s3", "s4"] });
        refused += fold.add(call, callContributions(call, { call: good, twin: null }, judged));
      }
    }
    assert.equal(refused, 0);
    const names = new Set(fold.drain().map(({ arm, signal, slice }) => `${arm} ${signal} ${slice}`));
    assert.equal(names.size, 3 * (8 * 5 + 6));
  });

  it("turns scores into losses; failures and abstentions are no scores", () => {
    const result = { signal: "factuality", form: "grid" as const, status: "scored" as const, value: 0.93, twinValue: null, rationale: "" };
    const values = (results: Parameters<typeof scoreWith>[0], exposure: "served" | "shadow" = "served") =>
      scoreContributions(scoreWith({ exposure, ...results })).map((c) => [c.kind, c.value, c.abstained, c.failed]);
    assert.deepEqual(
      values({
        results: [
          result,
          { ...result, form: "binary", value: 0 },
          { ...result, status: "abstained", value: null },
          { ...result, status: "failed", value: null },
        ],
      }),
      [
        ["grid", 7, 0, 0],
        ["binary", 1, 0, 0],
        ["grid", null, 1, 0],
        ["grid", null, 0, 1],
      ],
    );
    assert.deepEqual(
      values(
        {
          results: [
            { ...result, value: 0.5, twinValue: 0.9 },
            { ...result, value: 0.5 },
          ],
        },
        "shadow",
      ),
      [
        ["paired", 40, 0, 0],
        ["paired", null, 0, 1],
      ],
    );
    assert.deepEqual(scoreContributions(scoreWith({ results: [{ ...result, signal: "error_rate" }] })), []);
  });

  it("refuses series beyond the limit of a route, and takes new ones when old ones are no longer live", () => {
    const limit = new SeriesLimit(2);
    assert.deepEqual(
      ["a", "b", "c", "a"].map((name) => limit.admits("route", name, 60_000)),
      [true, true, false, true],
    );
    assert.equal(limit.admits("other route", "c", 60_000), true);
    assert.equal(limit.admits("route", "c", 120_001), true);
  });

  it("lets no slice take the room of slice `all` of an arm that comes later", () => {
    const slices = Array.from({ length: 16 }, (_, i) => `s${i}`);
    const fold = new Fold(new SeriesLimit());
    const add = (arm: "baseline" | "candidate") =>
      fold.add(callWith({ arm, version: arm, slices }), callContributions(callWith(), { call: good, twin: null }, rubrics));
    assert.deepEqual([add("baseline") > 0, add("candidate") > 0], [false, true]);
    const all = fold.drain().filter(({ slice, arm }) => slice === "all" && arm === "candidate");
    assert.deepEqual(all.length, callContributions(callWith(), { call: good, twin: null }, rubrics).length);
  });

  it("keeps raw values up to 64 and a digest above, for `all` only", () => {
    const calls = Array.from({ length: 2_000 }, (_, i) => callWith({ requestId: `r${i}`, latencyMs: 1 + ((i * 7_919) % 2_000), slices: ["s"] }));
    const [all, slice] = of(folded(calls), "latency_p95");
    assert.equal(
      all?.digestCounts.reduce((sum, n) => sum + n, 0),
      2_000,
    );
    assert.ok((all?.digestMeans.length ?? 0) < 1_000);
    assert.deepEqual(slice?.digestMeans, []);
    assert.deepEqual(of(folded(calls.slice(0, 64)), "latency_p95")[0]?.digestCounts, new Array(64).fill(1));
  });

  it("never takes an entry for smaller than it is on the wire", () => {
    const { type } = (
      JSON.parse(readFileSync(resolve(import.meta.dirname, "../../../../topics/avro/partials.avsc"), "utf8")) as {
        fields: { name: string; type: Schema }[];
      }
    ).fields.find(({ name }) => name === "entries") ?? { type: "null" };
    const about = { valueCaps: ["latency_p95", "cost_per_request"].map((signal) => ({ signal, cap: 100_000_000 })), isNewSubject: true };
    const encoder = avro.Type.forSchema(type);
    fc.assert(
      fc.property(fc.array(aCall, { minLength: 1, maxLength: 80 }), (calls) => {
        for (const entry of folded(calls, { call: good, twin: good }, rubrics, about)) assert.ok(encoder.toBuffer([entry]).length <= entryBytes(entry));
      }),
      { numRuns: 30 },
    );
  });

  it("packs entries into frames below the limit, in order, with the watermark on the last one only", () => {
    const entries = folded(Array.from({ length: 300 }, (_, i) => callWith({ route: `route-${i}` })));
    const source = { source: "requests", sourcePartition: 1, fromOffset: 5, toOffset: 9, watermarkMs: 77 };
    const frames = framesOf(source, entries, 10_000);
    assert.ok(frames.length > 5);
    assert.deepEqual(
      frames.flatMap((frame) => frame.entries),
      entries,
    );
    for (const frame of frames) assert.ok(frame.entries.reduce((sum, entry) => sum + entryBytes(entry), 0) <= 10_000);
    assert.deepEqual(
      frames.map(({ watermarkMs }) => watermarkMs),
      frames.map((_, i) => (i === frames.length - 1 ? 77 : null)),
    );
    assert.deepEqual(framesOf(source, []), [{ ...source, entries: [] }]);
  });
});
