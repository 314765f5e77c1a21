import assert from "node:assert/strict";
import fc from "fast-check";
import type { PaneSettings } from "../../../../src/domain/windows/route-panes.ts";
import { WindowState } from "../../../../src/domain/windows/window-state.ts";
import type { Aggregate, Entry, Frame } from "../../../../topics/index.ts";

export const entry = (given: Partial<Entry>): Entry => ({
  route: "support",
  rollout: "r1",
  attempt: 1,
  step: 0,
  epoch: 1,
  version: "a",
  arm: "baseline",
  exposure: "served",
  slice: "all",
  signal: "error_rate",
  evaluatorVersion: "",
  samplePpm: 1_000_000,
  kind: "binary",
  paneStartMs: 0,
  paneMs: 60_000,
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
  digestMeans: [],
  digestCounts: [],
  ...given,
});

export const frame = (given: Partial<Frame>): Frame => ({
  source: "requests",
  sourcePartition: 0,
  fromOffset: 0,
  toOffset: 0,
  watermarkMs: null,
  entries: [],
  ...given,
});

export const settings: PaneSettings = { paneMs: 60_000, windowMs: 900_000, callsGraceMs: 5_000, judgeGraceMs: 120_000, maturityMs: null };

/** A window task on a log, with a clock of its own that only the test moves; can be killed at any time. */
export class Driver {
  readonly written: Aggregate[] = [];
  readonly views = new Map<string, unknown>();
  readonly log: Frame[] = [];
  readonly #sources: number;
  readonly #settingsOf: (route: string) => PaneSettings;
  committed = { offset: 0, metadata: "" };
  nowMs = 0;
  forced = 0;
  state: WindowState;

  constructor(sources: number, settingsOf = (_: string) => settings) {
    this.#sources = sources;
    this.#settingsOf = settingsOf;
    this.state = this.#make();
  }

  #make(): WindowState {
    return new WindowState({ sources: this.#sources, refreshEveryMs: 5_000, settingsOf: this.#settingsOf }, this.committed.metadata);
  }

  take(...frames: Frame[]): void {
    for (const each of frames) this.state.take(each, this.log.push(each) - 1);
  }

  flush(afterMs = 1_000): void {
    this.nowMs += afterMs;
    const flushed = this.state.flush(this.nowMs);
    if (flushed === null) return;
    assert.ok(flushed.metadata.length <= 4_000, `metadata of ${flushed.metadata.length} bytes`);
    assert.ok(flushed.offset >= this.committed.offset, "the committed offset never goes back");
    assert.ok(flushed.offset <= this.log.length);
    this.written.push(...flushed.blocks);
    for (const { key, view } of flushed.views) {
      if (view === null) this.views.delete(key);
      else this.views.set(key, view);
    }
    this.forced += Number(flushed.isForced);
    this.committed = { offset: flushed.offset, metadata: flushed.metadata };
  }

  /** Throws the owner away; the next one reads from what is committed. */
  crash(): void {
    this.state = this.#make();
    for (const [i, each] of this.log.entries()) if (i >= this.committed.offset) this.state.take(each, i);
  }

  get blocks(): Aggregate[] {
    return this.written.filter(({ kindOfRecord }) => kindOfRecord === "block");
  }

  get closes(): Aggregate[] {
    return this.written.filter(({ kindOfRecord }) => kindOfRecord === "close");
  }
}

const anEntry = (routes: readonly string[], panes: readonly number[]): fc.Arbitrary<Partial<Entry>> =>
  fc
    .record({
      route: fc.constantFrom(...routes),
      arm: fc.constantFrom("baseline", "candidate"),
      signal: fc.constantFrom("error_rate", "task_completion", "latency_p95"),
      evaluatorVersion: fc.constantFrom("", "", "v1", "v2", "outcome"),
      back: fc.constantFrom(0, 0, 0, 0, 1, 1, 2, 5, 30, 90),
      paneMs: fc.constantFrom(...panes),
      value: fc.constantFrom(0, 1),
      outcome: fc.constantFrom("scored", "abstained", "failed"),
    })
    .map(({ back, paneMs, value, outcome, signal, evaluatorVersion, ...rest }) => {
      const version = signal === "task_completion" ? evaluatorVersion : "";
      // Of judged signals either the sampler says what it drew, or an evaluator what came back.
      const part = signal === "task_completion" ? (version === "" ? "drawn" : "back") : "call";
      const what = { drawn: "none", back: outcome, call: "scored" }[part];
      const isScored = what === "scored";
      return {
        ...rest,
        signal,
        evaluatorVersion: version,
        paneMs,
        paneStartMs: -back,
        records: Number(part !== "back"),
        sampled: Number(part !== "back"),
        scored: Number(isScored),
        abstained: Number(what === "abstained"),
        failed: Number(what === "failed"),
        values: isScored ? [value] : [],
        counts: isScored ? [1] : [],
        subjectCounts: isScored ? [1, 0] : [],
        subjectSums: isScored ? [value, 0] : [],
        newSubjects: signal === "latency_p95" ? ([null, 0, 2][back % 3] ?? null) : null,
      };
    });

type Step =
  | { readonly kind: "frame"; readonly source: number; readonly entries: readonly Partial<Entry>[]; readonly forwardMs: number; readonly speaks: boolean }
  | { readonly kind: "flush"; readonly afterMs: number }
  | { readonly kind: "crash" };

export const steps = (sources: number, routes: readonly string[], panes: readonly number[]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant("frame" as const),
          source: fc.nat(sources - 1),
          entries: fc.array(anEntry(routes, panes), { maxLength: 4 }),
          forwardMs: fc.constantFrom(0, 1_000, 20_000, 60_000, 200_000, 2_000_000),
          speaks: fc.boolean(),
        }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("flush" as const), afterMs: fc.constantFrom(1_000, 5_000, 61_000) }) },
      { weight: 1, arbitrary: fc.constant({ kind: "crash" as const }) },
    ),
    { minLength: 10, maxLength: 120 },
  );

/** Plays steps; entries date themselves back from the time at which their frame was written. */
export function play(driver: Driver, all: readonly Step[], sources: number): void {
  let atMs = 1_000_000;
  const last = new Array<number>(sources).fill(0);
  for (const step of all) {
    if (step.kind === "flush") driver.flush(step.afterMs);
    else if (step.kind === "crash") driver.crash();
    else {
      atMs += step.forwardMs;
      last[step.source] = atMs;
      const entries = step.entries.map((given) => {
        const paneMs = given.paneMs ?? 60_000;
        return entry({ ...given, paneStartMs: Math.max(0, Math.floor(atMs / paneMs) + (given.paneStartMs ?? 0)) * paneMs });
      });
      driver.take(frame({ sourcePartition: step.source, watermarkMs: step.speaks ? atMs : null, entries }));
    }
  }
  driver.crash();
  driver.take(...last.map((_, sourcePartition) => frame({ sourcePartition, watermarkMs: atMs + 10_000_000 })));
  // Rounds of outcomes come every 15 minutes.
  driver.flush(16 * 60_000);
  driver.flush(16 * 60_000);
}
