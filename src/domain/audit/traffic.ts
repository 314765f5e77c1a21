import { logBucket, ZERO_BUCKET } from "../stats/log-bucket.ts";
import { type AuditCall, lossOf, type Measure, type QuantityField, quantityFields, quantityOf, type RateField, rateFields } from "./signals.ts";

/** Not known of this row. */
const ABSENT = -1;

/** Losses of one pass/fail signal, per row: 1, 0, or -1 for not known. */
export interface RateColumn {
  readonly field: RateField;
  readonly losses: Int8Array;
}

/**
 * A quantity per row, and in classes: class 0 is zero, class i is the log bucket `firstBucket + i - 1` that headgate counts in
 * (steps of 1.9 %). Costs are in micro-dollars.
 */
export interface QuantityColumn {
  readonly field: QuantityField;
  readonly firstBucket: number;
  readonly classes: number;
  readonly values: Float64Array;
  /** Class of each row; -1: not known. */
  readonly classOf: Int16Array;
}

/** All rows of an arm, by column. */
export interface Columns {
  readonly rows: number;
  readonly rates: readonly RateColumn[];
  readonly quantities: readonly QuantityColumn[];
}

/** Fewest rows that must carry a field for its signal to be looked at. */
const LEAST_KNOWN = 30;
/** Room above the largest value, so that a candidate may be slower: 12 buckets are 26 %. */
const ROOM = 12;

/** Units that a quantity is counted in. */
const unitOf = (field: QuantityField) => (field === "cost" ? 1e6 : 1);

/** Lays calls out by column. Fields that fewer than 30 calls carry are left out, and quantities that are always the same 0. */
export function columnsOf(calls: readonly AuditCall[]): Columns {
  const rates = rateFields.flatMap((field) => {
    const losses = Int8Array.from(calls, (call) => lossOf(call, field) ?? ABSENT);
    return losses.filter((loss) => loss !== ABSENT).length < LEAST_KNOWN ? [] : [{ field, losses }];
  });
  const quantities = quantityFields.flatMap((field) => {
    const values = Float64Array.from(calls, (call) => (quantityOf(call, field) ?? Number.NaN) * unitOf(field));
    const known = values.filter((value) => Number.isFinite(value));
    const column = known.length < LEAST_KNOWN || !known.some((value) => value > 0) ? null : classified(field, values, null);
    return column === null ? [] : [column];
  });
  return { rows: calls.length, rates, quantities };
}

function classified(field: QuantityField, values: Float64Array, grid: Pick<QuantityColumn, "firstBucket" | "classes"> | null): QuantityColumn {
  const buckets = Array.from(values, (value) => (Number.isFinite(value) ? logBucket(value) : null));
  const positive = buckets.filter((bucket): bucket is number => bucket !== null && bucket > ZERO_BUCKET);
  const least = positive.reduce((min, bucket) => Math.min(min, bucket), Number.POSITIVE_INFINITY);
  const most = positive.reduce((max, bucket) => Math.max(max, bucket), Number.NEGATIVE_INFINITY);
  const firstBucket = grid?.firstBucket ?? least;
  const classes = grid?.classes ?? most - least + 2 + ROOM;
  const classOf = Int16Array.from(buckets, (bucket) => {
    if (bucket === null) return ABSENT;
    return bucket <= ZERO_BUCKET ? 0 : Math.min(Math.max(bucket - firstBucket + 1, 1), classes - 1);
  });
  return { field, firstBucket, classes, values, classOf };
}

/** The same calls, with one quantity multiplied: what a slower or dearer candidate would have shown. Same classes. */
export function scaledColumns(columns: Columns, field: QuantityField, factor: number): Columns {
  const quantities = columns.quantities.map((column) =>
    column.field === field
      ? classified(
          field,
          column.values.map((value) => value * factor),
          column,
        )
      : column,
  );
  return { ...columns, quantities };
}

/** The same rows with only the columns that something looks at. */
export function onlyColumns(columns: Columns, isWanted: (field: RateField | QuantityField) => boolean): Columns {
  return {
    ...columns,
    rates: columns.rates.filter(({ field }) => isWanted(field)),
    quantities: columns.quantities.filter(({ field }) => isWanted(field)),
  };
}

/** Whether the calls carry a field. */
export function carries({ rates, quantities }: Columns, field: RateField | QuantityField): boolean {
  return rates.some((column) => column.field === field) || quantities.some((column) => column.field === field);
}

/** Share of the known losses that are 1. NaN when none is known. */
export function lossRate(columns: Columns, field: RateField): number {
  let known = 0;
  let bad = 0;
  for (const loss of columns.rates.find((column) => column.field === field)?.losses ?? []) {
    if (loss === ABSENT) continue;
    known++;
    bad += loss;
  }
  return bad / known;
}

/** A measure over all rows, in its own unit. NaN when no row carries it. */
export function recordedValue(columns: Columns, measure: Measure): number {
  if (measure.kind === "rate") {
    const rate = lossRate(columns, measure.field);
    return measure.isLoss ? rate : 1 - rate;
  }
  const column = columns.quantities.find(({ field }) => field === measure.field);
  const known = (column?.values ?? new Float64Array()).filter((value) => Number.isFinite(value)).sort();
  if (known.length === 0) return Number.NaN;
  if (measure.kind === "percentile") return known[Math.min(known.length - 1, Math.ceil(measure.level * known.length) - 1)] ?? Number.NaN;
  return known.reduce((sum, value) => sum + value, 0) / known.length / unitOf(measure.field);
}
