import { aggregates, type Frame, partials, type RoutingTable, requests, windows } from "../../../topics/index.ts";
import { DEFAULT_PANE_MS } from "../../domain/signals/fold.ts";
import type { PaneSettings } from "../../domain/windows/route-panes.ts";
import { type WindowFlush, WindowState } from "../../domain/windows/window-state.ts";
import type { Batch, Committed, Incoming, Outgoing, Task, TaskContext, TaskRole } from "../../runtime/port.ts";
import type { AggregatorMetrics } from "./metrics.ts";

export interface WindowDeps {
  readonly tableOf: (route: string) => PaneTable | undefined;
  readonly flushEveryMs: number;
  readonly refreshEveryMs: number;
  readonly metrics: AggregatorMetrics;
}

/** Panes and windows of a route without a table. */
export const defaultPaneSettings: PaneSettings = { paneMs: DEFAULT_PANE_MS, windowMs: 900_000, callsGraceMs: 5_000, judgeGraceMs: 120_000, maturityMs: null };

export type PaneTable = Omit<PaneSettings, "maturityMs"> & Pick<RoutingTable, "outcomes">;

/** What a route's table says; outcomes wait as long as the slowest of the route's matures. */
export function settingsFrom(table: PaneTable | undefined): PaneSettings {
  if (table === undefined || table.paneMs <= 0) return defaultPaneSettings;
  const maturities = table.outcomes.flatMap(({ maturityMs }) => (maturityMs === null ? [] : [maturityMs]));
  return { ...table, maturityMs: maturities.length === 0 ? null : Math.max(...maturities) };
}

/** Fields of `routing` that say how panes and windows are cut. */
export const paneSettingFields = ["route", "paneMs", "windowMs", "callsGraceMs", "judgeGraceMs", "outcomes"] as const satisfies readonly (keyof RoutingTable)[];

/** partials -> aggregates, windows: merges frames into panes and closes them in event time. */
export function windowHalf(deps: WindowDeps): TaskRole {
  return {
    name: "aggregator-window",
    inputs: [partials],
    flushEveryMs: deps.flushEveryMs,
    flushRecords: 5_000,
    createTask: (context) => new WindowTask(deps, context),
  };
}

class WindowTask implements Task {
  readonly #deps: WindowDeps;
  readonly #context: TaskContext;
  #state: WindowState | null = null;
  #lateSeen = 0;

  constructor(deps: WindowDeps, context: TaskContext) {
    this.#deps = deps;
    this.#context = context;
  }

  start(committed: ReadonlyMap<string, Committed>): undefined {
    const last = committed.get(partials.name);
    const settingsOf = (route: string): PaneSettings => settingsFrom(this.#deps.tableOf(route));
    const options = { sources: this.#context.partitionsOf(requests), refreshEveryMs: this.#deps.refreshEveryMs, settingsOf };
    this.#state = new WindowState(options, last?.metadata ?? "");
    if (last !== undefined) this.#state.passed(last.offset - 1);
  }

  take(record: Incoming): void {
    if (record.value === null) this.#state?.passed(record.offset);
    else this.#state?.take(record.value as Frame, record.offset);
  }

  parked(_topic: string, offset: number): void {
    this.#state?.passed(offset);
  }

  flush(nowMs: number): Batch | null {
    const state = this.#state;
    const flushed = state?.flush(nowMs) ?? null;
    if (state === null || flushed === null) return null;
    this.#measure(flushed, state);
    const { partition } = this.#context;
    const outputs = [
      ...flushed.blocks.map((value): Outgoing => ({ topic: aggregates, partition, key: value.route, value })),
      ...flushed.views.map(({ key, view }): Outgoing => ({ topic: windows, partition, key, value: view })),
    ];
    return { outputs, offsets: { [partials.name]: { offset: flushed.offset, metadata: flushed.metadata } } };
  }

  #measure({ blocks, isForced }: WindowFlush, state: WindowState): void {
    const { metrics } = this.#deps;
    for (const { kindOfRecord, group } of blocks) (kindOfRecord === "block" ? metrics.blocks : metrics.closes).inc({ group });
    metrics.late.inc(state.late - this.#lateSeen);
    this.#lateSeen = state.late;
    if (isForced) metrics.forced.inc();
  }
}
