import type { Entry } from "../../../topics/index.ts";
import { seriesKey } from "../signals/series.ts";
import { addEntry, emptyTally, type Tally } from "./tally.ts";

/** A stretch of event time of one route: [startMs, startMs + paneMs). */
export interface PaneId {
  readonly startMs: number;
  readonly paneMs: number;
}

export interface Pane extends PaneId {
  /** Offset in `partials` of the first frame that counted into it. */
  readonly fromOffset: number;
  readonly tallies: Map<string, Tally>;
}

export const paneEndMs = ({ startMs, paneMs }: PaneId): number => startMs + paneMs;
export const paneKey = ({ startMs, paneMs }: PaneId): string => `${startMs}:${paneMs}`;
/** Panes close by their ends; of panes with one end the longer one first. */
export const byEnd = (a: PaneId, b: PaneId): number => paneEndMs(a) - paneEndMs(b) || a.startMs - b.startMs;

/** Panes that collect entries, of one route and group. */
export class PaneSet {
  readonly #panes = new Map<string, Pane>();

  get isEmpty(): boolean {
    return this.#panes.size === 0;
  }

  /** Whether a pane here shares time with this one. */
  overlaps(id: PaneId): boolean {
    if (this.#panes.has(paneKey(id))) return true;
    return [...this.#panes.values()].some((pane) => pane.startMs < paneEndMs(id) && paneEndMs(pane) > id.startMs);
  }

  add(entry: Entry, offset: number): void {
    const id = { startMs: entry.paneStartMs, paneMs: entry.paneMs };
    const key = paneKey(id);
    let pane = this.#panes.get(key);
    if (pane === undefined) {
      pane = { ...id, fromOffset: offset, tallies: new Map() };
      this.#panes.set(key, pane);
    }
    const series = seriesKey(entry);
    let tally = pane.tallies.get(series);
    if (tally === undefined) {
      tally = emptyTally(entry);
      pane.tallies.set(series, tally);
    }
    addEntry(tally, entry);
  }

  remove(id: PaneId): void {
    this.#panes.delete(paneKey(id));
  }

  /** Panes in the order in which they close, up to an end. */
  endingBy(endMs = Number.POSITIVE_INFINITY): Pane[] {
    return [...this.#panes.values()].filter((pane) => paneEndMs(pane) <= endMs).sort(byEnd);
  }

  /** Oldest offset that holds something of a pane here; Infinity when empty. */
  oldestOffset(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { fromOffset } of this.#panes.values()) oldest = Math.min(oldest, fromOffset);
    return oldest;
  }

  /** Takes everything out. */
  drain(): Pane[] {
    const all = this.endingBy();
    this.#panes.clear();
    return all;
  }
}
