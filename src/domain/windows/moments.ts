import type { Entry } from "../../../topics/index.ts";
import { HUNDREDTHS } from "../signals/contribution.ts";
import { callSignals } from "../signals/names.ts";
import { bucketMidpoint, OVERFLOW_BUCKET } from "../stats/log-bucket.ts";

const MICRO_USD = 1_000_000;

/** Count, sum and sum of squares of values as people read them. */
export interface Moments {
  readonly n: number;
  readonly sum: number;
  readonly squares: number;
}

/** Costs are counted in micro-dollars and read in dollars. */
export const shownUnit = (signal: string): number => (signal === callSignals.cost ? MICRO_USD : 1);

/**
 * What a counted value means to people: binary: 1 good, 0 bad; grid: the score; paired: candidate's loss minus the twin's, -1..1; log: the quantity at the
 * middle of its bucket, within 1 %. null: it has no number (a call that never answered).
 */
function shownValue({ kind, signal }: Pick<Entry, "kind" | "signal">, value: number): number | null {
  switch (kind) {
    case "binary":
      return 1 - value;
    case "grid":
      return 1 - value / HUNDREDTHS;
    case "paired":
      return value / HUNDREDTHS;
    default:
      return value === OVERFLOW_BUCKET ? null : bucketMidpoint(value) / shownUnit(signal);
  }
}

export function momentsOf(entry: Pick<Entry, "kind" | "signal" | "values" | "counts">): Moments {
  let [n, sum, squares] = [0, 0, 0];
  for (const [i, value] of entry.values.entries()) {
    const shown = shownValue(entry, value);
    const count = entry.counts[i] ?? 0;
    if (shown === null) continue;
    n += count;
    sum += count * shown;
    squares += count * shown * shown;
  }
  return { n, sum, squares };
}

export const addMoments = (a: Moments, b: Moments): Moments => ({ n: a.n + b.n, sum: a.sum + b.sum, squares: a.squares + b.squares });
export const noMoments: Moments = { n: 0, sum: 0, squares: 0 };

/** Mean; null when there are no values. */
export const meanOf = ({ n, sum }: Moments): number | null => (n === 0 ? null : sum / n);

/** Standard error of the mean of independent values, sqrt(s^2 / n) with the unbiased s^2; null below two values. */
export function standardErrorOf({ n, sum, squares }: Moments): number | null {
  return n < 2 ? null : Math.sqrt(Math.max(0, squares - (sum * sum) / n) / (n - 1) / n);
}
