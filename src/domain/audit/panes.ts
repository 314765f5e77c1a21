import { type Chance, chanceOf, type Dice } from "./dice.ts";
import type { Columns, QuantityColumn } from "./traffic.ts";

/** What one minute of one arm showed. Reused from minute to minute. */
export interface Pane {
  /** Calls. */
  n: number;
  /** Per rate column: calls with a known loss, and how many of them are bad. */
  readonly known: Int32Array;
  readonly bad: Int32Array;
  /** Per quantity column: calls with a known value, their sum, and counts per class. */
  readonly counted: Int32Array;
  readonly sums: Float64Array;
  readonly classes: readonly Int32Array[];
  /** Per quantity column, when the calls were drawn one by one: the class of each, so that few calls are taken in and out of windows one by one too. */
  readonly found: readonly Int16Array[];
  isListed: boolean;
}

/**
 * Up to so many calls are drawn one by one, so that what belongs to one call stays together (a failed call is often also a
 * slow one). Above, counts are drawn for each signal by itself, which costs the same however many calls there are: the
 * distribution of each signal is exact either way.
 */
const ONE_BY_ONE = 1_500;

export function emptyPane({ rates, quantities }: Columns): Pane {
  return {
    n: 0,
    known: new Int32Array(rates.length),
    bad: new Int32Array(rates.length),
    counted: new Int32Array(quantities.length),
    sums: new Float64Array(quantities.length),
    classes: quantities.map(({ classes }) => new Int32Array(classes)),
    found: quantities.map(() => new Int16Array(ONE_BY_ONE)),
    isListed: true,
  };
}

/** Makes a pane one without calls. */
export function clearPane(pane: Pane): void {
  pane.n = 0;
  pane.known.fill(0);
  pane.bad.fill(0);
  pane.counted.fill(0);
  pane.sums.fill(0);
  pane.isListed = true;
  for (const classes of pane.classes) classes.fill(0);
}

/** Extra failures: the chance that a call which was good is bad, per rate column. */
export type Flips = readonly number[];

/** Draws the calls of an arm from its rows, with replacement. */
export interface Source {
  /** @param n calls to draw */
  draw(pane: Pane, cell: number, n: number, dice: Dice): void;
}

export function sourceOf(columns: Columns, cells: readonly (readonly number[])[], flips: Flips | null): Source {
  const laidOut = cells.map((rows) => cellOf(columns, rows));
  return {
    draw(pane, cell, n, dice) {
      clearPane(pane);
      pane.n = n;
      const found = laidOut[cell];
      if (found === undefined || found.rows.length === 0) {
        pane.n = 0;
        return;
      }
      if (n <= ONE_BY_ONE) drawCalls(columns, found, pane, dice);
      else drawCounts(found, pane, dice);
      flips?.forEach((chance, i) => {
        if (chance > 0) pane.bad[i] = (pane.bad[i] ?? 0) + dice.binomial((pane.known[i] ?? 0) - (pane.bad[i] ?? 0), chance);
      });
    },
  };
}

interface Cell {
  readonly rows: Int32Array;
  /** Per rate column: chance that the loss is known, and that a known one is bad. */
  readonly rates: readonly { readonly known: number; readonly bad: number }[];
  /** Per quantity column: chance that the value is known, and of each class its chance among what is left, and mean. */
  readonly quantities: readonly { readonly known: number; readonly chances: readonly (Chance | null)[]; readonly means: Float64Array }[];
}

function cellOf(columns: Columns, rows: readonly number[]): Cell {
  const rates = columns.rates.map(({ losses }) => {
    const known = rows.filter((row) => (losses[row] ?? -1) >= 0);
    return { known: known.length / rows.length, bad: known.filter((row) => losses[row] === 1).length / Math.max(1, known.length) };
  });
  return { rows: Int32Array.from(rows), rates, quantities: columns.quantities.map((column) => shapeOf(column, rows)) };
}

function shapeOf({ classes, classOf, values }: QuantityColumn, rows: readonly number[]): Cell["quantities"][number] {
  const counts = new Float64Array(classes);
  const sums = new Float64Array(classes);
  let known = 0;
  for (const row of rows) {
    const found = classOf[row] ?? -1;
    if (found < 0) continue;
    known++;
    counts[found] = (counts[found] ?? 0) + 1;
    sums[found] = (sums[found] ?? 0) + (values[row] ?? 0);
  }
  let left = known;
  const chances = Array.from(counts, (count) => {
    const chance = count > 0 ? chanceOf(count / left) : null;
    left -= count;
    return chance;
  });
  return { known: known / rows.length, chances, means: sums.map((sum, i) => sum / Math.max(1, counts[i] ?? 0)) };
}

const drawn = new Int32Array(ONE_BY_ONE);

/** Column by column: what all calls are asked is one tight loop. */
function drawCalls({ rates, quantities }: Columns, { rows }: Cell, pane: Pane, dice: Dice): void {
  const { n } = pane;
  const most = rows.length;
  for (let i = 0; i < n; i++) drawn[i] = rows[dice.below(most)] as number;
  rates.forEach(({ losses }, column) => {
    let known = 0;
    let bad = 0;
    for (let i = 0; i < n; i++) {
      const loss = losses[drawn[i] as number] as number;
      if (loss < 0) continue;
      known++;
      bad += loss;
    }
    pane.known[column] = known;
    pane.bad[column] = bad;
  });
  quantities.forEach((quantity, column) => {
    countValues(quantity, pane, column);
  });
}

function countValues({ classOf, values }: QuantityColumn, pane: Pane, column: number): void {
  const classes = pane.classes[column];
  const list = pane.found[column];
  if (classes === undefined || list === undefined) return;
  let counted = 0;
  let sum = 0;
  for (let i = 0; i < pane.n; i++) {
    const row = drawn[i] as number;
    const found = classOf[row] as number;
    if (found < 0) continue;
    classes[found] = (classes[found] as number) + 1;
    list[counted++] = found;
    sum += values[row] as number;
  }
  pane.counted[column] = counted;
  pane.sums[column] = sum;
}

function drawCounts(cell: Cell, pane: Pane, dice: Dice): void {
  pane.isListed = false;
  cell.rates.forEach(({ known, bad }, i) => {
    const n = dice.binomial(pane.n, known);
    pane.known[i] = n;
    pane.bad[i] = dice.binomial(n, bad);
  });
  cell.quantities.forEach(({ known, chances, means }, i) => {
    const n = dice.binomial(pane.n, known);
    pane.counted[i] = n;
    const classes = pane.classes[i];
    let left = n;
    let sum = 0;
    for (let k = 0; k < chances.length && left > 0; k++) {
      const chance = chances[k] ?? null;
      if (chance === null || classes === undefined) continue;
      const count = dice.successes(left, chance);
      classes[k] = count;
      sum += count * (means[k] ?? 0);
      left -= count;
    }
    pane.sums[i] = sum;
  });
}
