/** Live series that one route may have (DESIGN.md section 3): more would make decisions slow and the multiplicity absurd. */
export const SERIES_PER_ROUTE = 200;

/** Of them may be of slices: however many slices there are, slice `all`, which everything is decided on first, has room for every arm. */
const SLICED_PER_ROUTE = 130;

/** A series that had no record for so long in event time is no longer live, ms. */
const LIVE_MS = 60_000;

/**
 * Bounds how many series of a route are live at a time, so that a caller who puts ids into slice names cannot blow up everything downstream.
 * Who comes first stays; attempts, steps, epochs and sampling rates do not make a series another one, or a route would lose records after each step until
 * the series of the last one are no longer live.
 *
 * Slices leave room for `all`: a late arm must not find it taken. A route with 8 signals that gate, 4 slices and 3 arms has 8 x (1 + 4) x 3 = 120, and 6 signals that are only shown, in `all` alone: 18.
 */
export class SeriesLimit {
  readonly #perRoute: number;
  readonly #sliced: number;
  readonly #routes = new Map<string, { readonly all: Map<string, number>; readonly sliced: Map<string, number> }>();

  constructor(perRoute = SERIES_PER_ROUTE, sliced = SLICED_PER_ROUTE) {
    this.#perRoute = perRoute;
    this.#sliced = sliced;
  }

  /**
   * @param series what tells the series of a route apart
   * @param paneEndMs end of the pane that the record belongs to, epoch ms
   * @param isSliced whether it is of another slice than `all`
   */
  admits(route: string, series: string, paneEndMs: number, isSliced = false): boolean {
    let live = this.#routes.get(route);
    if (live === undefined) {
      live = { all: new Map(), sliced: new Map() };
      this.#routes.set(route, live);
    }
    const { all, sliced } = live;
    const mine = isSliced ? sliced : all;
    const seenMs = mine.get(series);
    const isFull = () => all.size + sliced.size >= this.#perRoute || (isSliced && sliced.size >= this.#sliced);
    if (seenMs === undefined && isFull()) for (const each of [all, sliced]) retire(each, paneEndMs);
    if (seenMs === undefined && isFull()) return false;
    if (seenMs === undefined || seenMs < paneEndMs) mine.set(series, paneEndMs);
    return true;
  }
}

function retire(live: Map<string, number>, nowMs: number): void {
  for (const [series, seenMs] of live) if (seenMs < nowMs - LIVE_MS) live.delete(series);
}
