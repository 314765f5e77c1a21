import type { Aggregate, Entry } from "../../../topics/index.ts";
import { type Group, groupOf } from "../signals/names.ts";
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
  /** Longest maturity of the route's outcome signals; null: none has one, so that outcomes are no part of any pane's first round. */
  readonly maturityMs: number | null;
}

/** Late entries wait so long for others before they are written as a round, wall clock ms: outcomes come over hours, one by one. */
export const ROUND_EVERY_MS: Readonly<Record<Group, number>> = { calls: 60_000, judge: 60_000, outcome: 15 * 60_000 };

/** How long a route without records still has its empty panes closed, event time ms: so long silence is visible. */
export const SILENT_CLOSES_MS = 15 * 60_000;

/** Where a route starts that nothing is known of. */
export interface RouteStart {
  readonly frontier: RouteFrontier | null;
  readonly closedToMs: number | null;
  readonly writtenTo: number;
  readonly rounds: number;
}

/** The groups of one route: decides which panes close. */
export class RoutePanes {
  readonly calls: GroupPanes;
  readonly judge: GroupPanes;
  readonly outcome: GroupPanes;
  readonly groups: readonly GroupPanes[];
  /** End of the newest pane that has records, and the newest frame that said so. */
  #newest: { endMs: number; offset: number } | null = null;
  /** Start of the oldest pane that was ever seen here: nothing is written for the time before. */
  #firstMs = Number.POSITIVE_INFINITY;
  /** Wall clock at which outcomes without a maturity began to wait; null: none waits. */
  #undatedSinceMs: number | null = null;

  constructor(route: string, { frontier, closedToMs, writtenTo, rounds }: RouteStart) {
    const groupOfRoute = (group: Group) =>
      new GroupPanes(route, group, {
        closedToMs: frontier?.[group].closedToMs ?? closedToMs,
        writtenTo: frontier?.[group].lateFrom ?? writtenTo,
        rounds: frontier?.[group].rounds ?? rounds,
        roundEveryMs: ROUND_EVERY_MS[group],
      });
    this.calls = groupOfRoute("calls");
    this.judge = groupOfRoute("judge");
    this.outcome = groupOfRoute("outcome");
    this.groups = [this.calls, this.judge, this.outcome];
  }

  /** Counts an entry; returns whether it came after its pane was closed. */
  add(entry: Entry, offset: number): boolean {
    const endMs = entry.paneStartMs + entry.paneMs;
    if (this.#newest === null || endMs >= this.#newest.endMs) this.#newest = { endMs, offset };
    this.#firstMs = Math.min(this.#firstMs, entry.paneStartMs);
    return this[groupOf(entry)].add(entry, offset);
  }

  /** Whether silence after the newest record still has to be written. */
  #isSilenceDue(watermarkMs: number): boolean {
    return this.#newest !== null && watermarkMs < this.#newest.endMs + SILENT_CLOSES_MS;
  }

  /** Nothing is open, late or to be written. */
  isIdle(watermarkMs: number | null): boolean {
    return this.groups.every((group) => group.isIdle) && (watermarkMs === null || !this.#isSilenceDue(watermarkMs));
  }

  /** Moves an idle route on: what comes for the time before is late. */
  standAt(closedToMs: number): void {
    for (const group of this.groups) group.closedToMs = Math.max(group.closedToMs ?? 0, closedToMs);
  }

  /** Oldest offset of `partials` that a successor needs; Infinity when it needs none. */
  oldestOffset(watermarkMs: number | null): number {
    const silence = this.#newest !== null && (watermarkMs === null || this.#isSilenceDue(watermarkMs)) ? this.#newest.offset : Number.POSITIVE_INFINITY;
    return Math.min(...this.groups.map((group) => group.oldestOffset()), silence);
  }

  /** Closes what event time has passed, in order, and writes rounds that are due. */
  close(watermarkMs: number, nowMs: number, settings: PaneSettings): Aggregate[] {
    const limitMs = Math.max(this.calls.closedToMs ?? 0, watermarkMs - settings.callsGraceMs);
    const calls = this.#closeCalls(limitMs, watermarkMs, settings);
    const judge = this.#closeJudge(watermarkMs, settings);
    const outcome = this.#closeOutcome(watermarkMs, nowMs, settings);
    const rounds = this.groups.flatMap((group) => (group.isRoundDue(nowMs) ? group.writeRound(watermarkMs) : []));
    return [...calls, ...judge, ...outcome, ...rounds];
  }

  /** Closes everything up to a point at once, grace or not: what is still to come for it comes as rounds. */
  force(closedToMs: number, watermarkMs: number, settings: PaneSettings): Aggregate[] {
    const calls = this.#closeCalls(Math.max(closedToMs, this.calls.closedToMs ?? 0), watermarkMs, settings);
    const judge = this.#closeJudge(watermarkMs, { ...settings, judgeGraceMs: Number.NEGATIVE_INFINITY });
    const outcome = this.#closeOutcome(watermarkMs, Number.POSITIVE_INFINITY, {
      ...settings,
      maturityMs: settings.maturityMs === null ? null : Number.NEGATIVE_INFINITY,
    });
    return [...calls, ...judge, ...outcome, ...this.groups.flatMap((group) => group.writeRound(watermarkMs))];
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

  /**
   * Outcomes have the time of their maturity to come; then the pane closes, whatever is missing. Not before, even if nothing is: calls that began in the pane
   * may still run.
   */
  #closeOutcome(watermarkMs: number, nowMs: number, { paneMs, callsGraceMs, maturityMs }: PaneSettings): Aggregate[] {
    const { outcome } = this;
    const callsMs = Math.max(outcome.closedToMs ?? 0, this.calls.closedToMs ?? 0);
    if (maturityMs === null) return this.#closeUndated(callsMs, watermarkMs, nowMs);
    const limitMs = Math.max(outcome.closedToMs ?? 0, Math.min(callsMs, watermarkMs - callsGraceMs - maturityMs));
    const records = outcome.close(this.#due(outcome, limitMs, paneMs), watermarkMs);
    outcome.closedToMs = limitMs;
    return records;
  }

  /** Outcomes without a maturity are collected for the time of a round: one by one, no pane would have both arms. */
  #closeUndated(limitMs: number, watermarkMs: number, nowMs: number): Aggregate[] {
    const { outcome } = this;
    const filled = outcome.open.endingBy(limitMs);
    const first = filled[0];
    if (first !== undefined) this.#undatedSinceMs ??= nowMs;
    if (first !== undefined && this.#undatedSinceMs !== null && nowMs - this.#undatedSinceMs < ROUND_EVERY_MS.outcome) {
      outcome.closedToMs = Math.max(outcome.closedToMs ?? 0, paneEndMs(first) - 1);
      return [];
    }
    this.#undatedSinceMs = null;
    const records = outcome.close(filled, watermarkMs);
    outcome.closedToMs = limitMs;
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
