import type { Aggregate, Entry } from "../../../topics/index.ts";
import type { Group } from "../signals/names.ts";
import { seriesKey } from "../signals/series.ts";
import { joinJudged } from "./judge-join.ts";
import { type Pane, type PaneId, PaneSet, paneEndMs } from "./pane-set.ts";
import { coverageOf, statisticsOf, type Tally } from "./tally.ts";

const noSeries = {
  rollout: "",
  attempt: 0,
  step: -1,
  epoch: 0,
  version: "",
  arm: "none",
  exposure: "served",
  slice: "",
  signal: "",
  evaluatorVersion: "",
  samplePpm: 0,
} as const;
const noStatistics = {
  kind: "binary",
  records: 0,
  sampled: 0,
  scored: 0,
  abstained: 0,
  failed: 0,
  values: [],
  counts: [],
  subjectCounts: [],
  subjectSums: [],
  newSubjects: null,
} as const;

/** Blocks in one order whatever the order of their frames: `all` first. */
function inOrder(blocks: readonly Aggregate[]): Aggregate[] {
  const keyed = blocks.map((block) => ({ block, key: `${block.slice === "all" ? 0 : 1}${seriesKey(block)}` }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ block }) => block);
}

interface GroupStart {
  readonly closedToMs: number | null;
  readonly writtenTo: number;
  readonly rounds: number;
  /** How long late entries wait for others, wall clock ms. */
  readonly roundEveryMs: number;
}

/**
 * The panes of one route and group: open ones collect, closed ones are written once as round 0, and whatever comes for a closed one is collected apart and
 * written as a later round. Knows nothing of when a pane may close.
 */
export class GroupPanes {
  readonly #route: string;
  readonly #group: Group;
  /** Entries of closed panes before this offset are written already: a successor that reads them again skips them. */
  readonly #writtenTo: number;
  readonly #roundEveryMs: number;
  readonly open = new PaneSet();
  readonly #late = new PaneSet();
  #lateSinceMs: number | null = null;
  #lateFrom = Number.POSITIVE_INFINITY;
  closedToMs: number | null;
  rounds: number;

  constructor(route: string, group: Group, { closedToMs, writtenTo, rounds, roundEveryMs }: GroupStart) {
    this.#route = route;
    this.#group = group;
    this.closedToMs = closedToMs;
    this.#writtenTo = writtenTo;
    this.rounds = rounds;
    this.#roundEveryMs = roundEveryMs;
  }

  /** Counts an entry; returns whether it came after its pane was closed. */
  add(entry: Entry, offset: number): boolean {
    if (this.closedToMs === null || entry.paneStartMs + entry.paneMs > this.closedToMs) {
      this.open.add(entry, offset);
      return false;
    }
    if (offset < this.#writtenTo) return false;
    this.#late.add(entry, offset);
    this.#lateFrom = Math.min(this.#lateFrom, offset);
    return true;
  }

  get isIdle(): boolean {
    return this.open.isEmpty && this.#late.isEmpty;
  }

  /** Oldest offset of a late entry that is not written; Infinity when there is none. */
  get lateFrom(): number {
    return this.#lateFrom;
  }

  oldestOffset(): number {
    return Math.min(this.open.oldestOffset(), this.#lateFrom);
  }

  /** Whether late entries have waited long enough. */
  isRoundDue(nowMs: number): boolean {
    if (this.#late.isEmpty) return false;
    this.#lateSinceMs ??= nowMs;
    return nowMs - this.#lateSinceMs >= this.#roundEveryMs;
  }

  /** Writes all late entries as the next round: per pane its blocks and a close. */
  writeRound(watermarkMs: number): Aggregate[] {
    if (this.#late.isEmpty) return [];
    this.rounds++;
    this.#lateSinceMs = null;
    this.#lateFrom = Number.POSITIVE_INFINITY;
    return this.#late.drain().flatMap((pane) => this.#written(pane, pane.tallies.values(), this.rounds, watermarkMs));
  }

  /**
   * Closes panes, in the order given, as round 0. Late entries are written first: after this, every entry of a closed pane that was taken so far is written,
   * which is what lets a successor tell written entries from late ones by their offset alone.
   */
  close(panes: readonly (Pane | PaneId)[], watermarkMs: number): Aggregate[] {
    if (panes.length === 0) return [];
    const records = this.writeRound(watermarkMs);
    for (const pane of panes) {
      this.open.remove(pane);
      records.push(...this.#written(pane, "tallies" in pane ? pane.tallies.values() : [], 0, watermarkMs));
      this.closedToMs = Math.max(this.closedToMs ?? 0, paneEndMs(pane));
    }
    return records;
  }

  #written(pane: PaneId, tallies: Iterable<Tally>, round: number, watermarkMs: number): Aggregate[] {
    const common = { group: this.#group, route: this.#route, paneStartMs: pane.startMs, paneMs: pane.paneMs, round, watermarkMs };
    const joined = this.#group === "judge" ? joinJudged(tallies) : [...tallies];
    const blocks = joined.map(
      (tally): Aggregate => ({ ...tally.series, ...common, ...statisticsOf(tally), kindOfRecord: "block", coverage: coverageOf(tally) }),
    );
    const close: Aggregate = {
      ...noSeries,
      ...noStatistics,
      ...common,
      values: [],
      counts: [],
      subjectCounts: [],
      subjectSums: [],
      kindOfRecord: "close",
      coverage: 1,
    };
    return [...inOrder(blocks), close];
  }
}
