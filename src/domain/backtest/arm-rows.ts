import { HUNDREDTHS } from "../signals/contribution.ts";
import { subjectBucket } from "../signals/fold.ts";
import { bucketMidpoint } from "../stats/log-bucket.ts";
import type { RecordedCall } from "./recorded-call.ts";
import { type ValueKind, valuesOf } from "./values-of.ts";

/** One signal of a version, laid out by row. */
export interface Column {
  readonly signal: string;
  readonly kind: ValueKind;
  /** Values that occur, ascending. */
  readonly values: readonly number[];
  /** Place of each row's value among them; -1: the row says nothing of this signal. */
  readonly place: Int32Array;
}

/** The recorded calls of one version, laid out so that panes can be drawn fast. */
export interface ArmRows {
  readonly version: string;
  readonly rows: number;
  readonly columns: readonly Column[];
  readonly promptIds: readonly (string | null)[];
  /** Bucket of each row's subject; null when the rows name none. */
  readonly subjects: Int32Array | null;
  /** Rows of each slice that occurs, as 0 or 1 per row. */
  readonly slices: ReadonlyMap<string, Uint8Array>;
}

/** Lays the calls of one version out by signal. `kinds`: of both versions together. */
export function armRows(version: string, calls: readonly RecordedCall[], kinds: ReadonlyMap<string, ValueKind>): ArmRows {
  const all = calls.map(valuesOf);
  const columns = [...kinds].flatMap(([signal, kind]) => {
    const inUnits = (value: number | undefined) => (value !== undefined && kind === "binary" ? value / HUNDREDTHS : value);
    const counted = all.map((values) => inUnits(values.get(signal)));
    const present = counted.flatMap((value) => value ?? []);
    if (present.length === 0) return [];
    const values = [...new Set(present)].sort((a, b) => a - b);
    const places = new Map(values.map((value, i) => [value, i]));
    const place = Int32Array.from(counted, (value) => places.get(value ?? Number.NaN) ?? -1);
    return [{ signal, kind, values, place }];
  });
  const names = new Set(calls.flatMap(({ slices }) => slices));
  const hasSubjects = calls.some(({ subject }) => subject !== null);
  return {
    version,
    rows: calls.length,
    columns,
    promptIds: calls.map(({ promptId }) => promptId),
    subjects: hasSubjects ? Int32Array.from(calls, ({ subject, promptId }, i) => subjectBucket(subject ?? promptId ?? String(i))) : null,
    slices: new Map([...names].map((name) => [name, Uint8Array.from(calls, ({ slices }) => Number(slices.includes(name)))])),
  };
}

/** A row of the candidate whose prompt the baseline answered too. */
export interface PairedRow {
  readonly candidateRow: number;
  /** Rows of the baseline with the same prompt, at least one. */
  readonly twins: readonly number[];
}

/** Rows of the candidate that can be paired, in the order of the file. */
export function pairedRows(baseline: ArmRows, candidate: ArmRows): readonly PairedRow[] {
  const twinsOf = new Map<string, number[]>();
  baseline.promptIds.forEach((id, row) => {
    if (id === null) return;
    const twins = twinsOf.get(id);
    if (twins === undefined) twinsOf.set(id, [row]);
    else twins.push(row);
  });
  return candidate.promptIds.flatMap((id, candidateRow) => {
    const twins = id === null ? undefined : twinsOf.get(id);
    return twins === undefined ? [] : [{ candidateRow, twins }];
  });
}

/** The same rows with fewer signals: what no signal of the rollout reads need not be drawn. */
export const onlySignals = (rows: ArmRows, signals: ReadonlySet<string>): ArmRows => ({
  ...rows,
  columns: rows.columns.filter(({ signal }) => signals.has(signal)),
});

/** Sum that a row adds to its subject's bucket: the loss, or the quantity up to its cap. */
export const summedValue = (kind: ValueKind, value: number, cap: number | null): number =>
  kind === "log" ? Math.round(Math.min(bucketMidpoint(value), cap ?? 0)) : value;
