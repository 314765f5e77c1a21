import type { Aggregate, Entry } from "../../../topics/index.ts";
import { groupOf } from "../signals/names.ts";
import type { RouteFrontier } from "./frontier.ts";
import { GroupPanes } from "./group-panes.ts";
import { isAnswered } from "./judge-join.ts";
import { byEnd, type Pane, type PaneId, paneEndMs } from "./pane-set.ts";

/** What a route's table says about its panes, all ms. */
export interface PaneSettings {
  /** Length of the panes that silence is written in. */
  readonly paneMs: number;
  readonly windowMs: number;
  readonly callsGraceMs: number;
  readonly judgeGraceMs: number;
}

/** How long a route without records still has its empty panes closed, event time ms: so long silence is visible. */
export const SILENT_CLOSES_MS = 15 * 60_000;

/** Where a route starts that nothing is known of. */
export interface RouteStart {
  readonly frontier: RouteFrontier | null;
  readonly closedToMs: number | null;
  readonly writtenTo: number;
  readonly rounds: number;
}

/** Both groups of one route: decides which panes close. */
export class RoutePanes {
  readonly calls: GroupPanes;
  readonly judge: GroupPanes;
  /** End of the newest pane that has records, and the newest frame that said so. */
  #newest: { endMs: number; offset: number } | null = null;
  /** Start of the oldest pane that was ever seen here: nothing is written for the time before. */
  #firstMs = Number.POSITIVE_INFINITY;

  constructor(route: string, { frontier, closedToMs, writtenTo, rounds }: RouteStart) {
    const { calls, judge } = frontier ?? {};
    this.calls = new GroupPanes(route, "calls", {
      closedToMs: calls?.closedToMs ?? closedToMs,
      writtenTo: calls?.lateFrom ?? writtenTo,
      rounds: calls?.rounds ?? rounds,
    });
    this.judge = new GroupPanes(route, "judge", {
      closedToMs: judge?.closedToMs ?? closedToMs,
      writtenTo: judge?.lateFrom ?? writtenTo,
      rounds: judge?.rounds ?? rounds,
    });
  }

  /** Counts an entry; returns whether it came after its pane was closed. */
  add(entry: Entry, offset: number): boolean {
    const endMs = entry.paneStartMs + entry.paneMs;
    if (this.#newest === null || endMs >= this.#newest.endMs) this.#newest = { endMs, offset };
    this.#firstMs = Math.min(this.#firstMs, entry.paneStartMs);
    return this[groupOf(entry.signal)].add(entry, offset);
  }

  /** Whether silence after the newest record still has to be written. */
  #isSilenceDue(watermarkMs: number): boolean {
    return this.#newest !== null && watermarkMs < this.#newest.endMs + SILENT_CLOSES_MS;
  }

  /** Nothing is open, late or to be written. */
  isIdle(watermarkMs: number | null): boolean {
    return this.calls.isIdle && this.judge.isIdle && (watermarkMs === null || !this.#isSilenceDue(watermarkMs));
  }

  /** Moves an idle route on: what comes for the time before is late. */
  standAt(closedToMs: number): void {
    for (const group of [this.calls, this.judge]) group.closedToMs = Math.max(group.closedToMs ?? 0, closedToMs);
  }

  /** Oldest offset of `partials` that a successor needs; Infinity when it needs none. */
  oldestOffset(watermarkMs: number | null): number {
    const silence = this.#newest !== null && (watermarkMs === null || this.#isSilenceDue(watermarkMs)) ? this.#newest.offset : Number.POSITIVE_INFINITY;
    return Math.min(this.calls.oldestOffset(), this.judge.oldestOffset(), silence);
  }

  /** Closes what event time has passed, in order, and writes rounds that are due. */
  close(watermarkMs: number, nowMs: number, settings: PaneSettings): Aggregate[] {
    const limitMs = Math.max(this.calls.closedToMs ?? 0, watermarkMs - settings.callsGraceMs);
    const calls = this.#closeCalls(limitMs, watermarkMs, settings);
    const judge = this.#closeJudge(watermarkMs, settings);
    const rounds = [this.calls, this.judge].flatMap((group) => (group.isRoundDue(nowMs) ? group.writeRound(watermarkMs) : []));
    return [...calls, ...judge, ...rounds];
  }

  /** Closes everything up to a point at once, grace or not: what is still to come for it comes as rounds. */
  force(closedToMs: number, watermarkMs: number, settings: PaneSettings): Aggregate[] {
    const calls = this.#closeCalls(Math.max(closedToMs, this.calls.closedToMs ?? 0), watermarkMs, settings);
    const judge = this.#closeJudge(watermarkMs, { ...settings, judgeGraceMs: Number.NEGATIVE_INFINITY });
    return [...calls, ...judge, ...this.calls.writeRound(watermarkMs), ...this.judge.writeRound(watermarkMs)];
  }

  #closeCalls(limitMs: number, watermarkMs: number, { paneMs }: PaneSettings): Aggregate[] {
    const { calls } = this;
    const records = calls.close(this.#due(calls, limitMs, paneMs), watermarkMs);
    calls.closedToMs = limitMs;
    return records;
  }

  /** A judged pane waits for its calls' pane, then until everything that was drawn is back, at most for its own grace. */
  #closeJudge(watermarkMs: number, { paneMs, judgeGraceMs }: PaneSettings): Aggregate[] {
    const { judge } = this;
    const limitMs = Math.max(this.calls.closedToMs ?? 0, judge.closedToMs ?? 0);
    const due = this.#due(judge, limitMs, paneMs);
    const waiting = due.findIndex((pane) => "tallies" in pane && watermarkMs < paneEndMs(pane) + judgeGraceMs && !isAnswered(pane.tallies.values()));
    const first = due[waiting];
    // Panes of different length may share an end (the pane length changed): they close together, or the frontier could not tell them apart.
    const records = judge.close(first === undefined ? due : due.filter((pane) => paneEndMs(pane) < paneEndMs(first)), watermarkMs);
    judge.closedToMs = first === undefined ? limitMs : Math.max(judge.closedToMs ?? 0, paneEndMs(first) - 1);
    return records;
  }

  /** Panes with records that end by a point, and the empty ones between and after them. */
  #due(group: GroupPanes, limitMs: number, paneMs: number): (Pane | PaneId)[] {
    const filled = group.open.endingBy(limitMs);
    const fromMs = Math.max(group.closedToMs ?? 0, this.#firstMs);
    const toMs = Math.min(limitMs, (this.#newest?.endMs ?? 0) + SILENT_CLOSES_MS);
    const empty: PaneId[] = [];
    for (let startMs = Math.floor(fromMs / paneMs) * paneMs; startMs + paneMs <= toMs; startMs += paneMs) {
      if (!group.open.overlaps({ startMs, paneMs })) empty.push({ startMs, paneMs });
    }
    return [...filled, ...empty].sort(byEnd);
  }
}
