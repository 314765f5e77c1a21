const HOUR_MS = 3_600_000;
const CELL_MS = 6 * HOUR_MS;
const DAY_MS = 24 * HOUR_MS;
/** Cells of six hours that a day (UTC) is divided into. */
export const DAY_CELLS = 4;
/** 1 January 1970 was a Thursday: so many days after a Sunday. */
const EPOCH_WEEKDAY = 4;

/**
 * Cell of the day that a time is in.
 *
 * @param cells 4; or 8, where 4 to 7 are those of Saturday and Sunday
 */
export function dayCellOf(atMs: number, cells: number): number {
  const cell = Math.floor((atMs % DAY_MS) / CELL_MS);
  if (cells <= DAY_CELLS) return cell;
  const weekday = (Math.floor(atMs / DAY_MS) + EPOCH_WEEKDAY) % 7;
  return weekday === 0 || weekday === 6 ? DAY_CELLS + cell : cell;
}
