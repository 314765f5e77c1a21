import { bucketFloor } from "../stats/log-bucket.ts";
import { clearPane, emptyPane, type Pane } from "./panes.ts";
import type { Measure } from "./signals.ts";
import type { Columns } from "./traffic.ts";

/** The arms of an audit: nobody is held back. */
export type AuditArm = "candidate" | "baseline";

/** What a rule sees at a look: values of the last minutes of both arms. */
export interface View {
  /** NaN when no call carries the measure. Percentiles are interpolated within headgate's buckets (1.9 % wide). */
  value(arm: AuditArm, measure: Measure, minutes: number): number;
  /** Calls that carry the measure. */
  calls(arm: AuditArm, measure: Measure, minutes: number): number;
}

/** What a rule will ask for. */
export interface Need {
  readonly minutes: number;
  readonly measures: readonly Measure[];
}

interface Window {
  readonly length: number;
  /** Quantity columns whose classes are kept, for percentiles. */
  readonly percentiles: readonly number[];
  readonly arms: Readonly<Record<AuditArm, ArmWindow>>;
}

interface ArmWindow {
  readonly total: Pane;
  readonly ring: readonly Pane[];
}

const bothArms = ["candidate", "baseline"] as const;

/** Rolling windows over the minutes of both arms. */
export class Windows implements View {
  readonly #rateOf: ReadonlyMap<string, number>;
  readonly #quantityOf: ReadonlyMap<string, number>;
  readonly #edges: readonly Float64Array[];
  readonly #byLength: ReadonlyMap<number, Window>;
  readonly #windows: readonly Window[];
  /** The newest minute: a window of length 1. */
  #newest: Readonly<Record<AuditArm, Pane>>;
  #pushed = 0;

  constructor(columns: Columns, needs: readonly Need[]) {
    this.#rateOf = new Map(columns.rates.map(({ field }, i) => [field, i]));
    this.#quantityOf = new Map(columns.quantities.map(({ field }, i) => [field, i]));
    this.#edges = columns.quantities.map(edgesOf);
    const lengths = [...new Set(needs.map(({ minutes }) => minutes))].filter((length) => length > 1);
    this.#windows = lengths.map((length) => {
      const measures = needs.filter(({ minutes }) => minutes === length).flatMap((need) => need.measures);
      const percentiles = measures.flatMap((measure) => (measure.kind === "percentile" ? [this.#quantityOf.get(measure.field) ?? -1] : []));
      const arm = (): ArmWindow => ({ total: emptyPane(columns), ring: Array.from({ length }, () => emptyPane(columns)) });
      return { length, percentiles: [...new Set(percentiles)], arms: { candidate: arm(), baseline: arm() } };
    });
    this.#byLength = new Map(this.#windows.map((window) => [window.length, window]));
    this.#newest = { candidate: emptyPane(columns), baseline: emptyPane(columns) };
  }

  /** Forgets everything: a new rollout begins. */
  reset(): void {
    this.#pushed = 0;
    for (const { arms } of this.#windows) {
      for (const arm of bothArms) {
        clearPane(arms[arm].total);
        arms[arm].ring.forEach(clearPane);
      }
    }
  }

  /** Takes a minute in. The panes are read until the next one comes. */
  push(panes: Readonly<Record<AuditArm, Pane>>): void {
    this.#newest = panes;
    for (const { length, arms, percentiles } of this.#windows) {
      const place = this.#pushed % length;
      for (const arm of bothArms) slide(arms[arm], place, panes[arm], percentiles);
    }
    this.#pushed++;
  }

  value(arm: AuditArm, measure: Measure, minutes: number): number {
    const pane = this.#pane(arm, minutes);
    if (measure.kind === "rate") {
      const i = this.#rateOf.get(measure.field) ?? -1;
      const rate = (pane.bad[i] ?? 0) / (pane.known[i] ?? 0);
      return measure.isLoss ? rate : 1 - rate;
    }
    const i = this.#quantityOf.get(measure.field) ?? -1;
    const n = pane.counted[i] ?? 0;
    if (n === 0) return Number.NaN;
    if (measure.kind === "mean") return (pane.sums[i] ?? 0) / n / (measure.unit === "usd" ? 1e6 : 1);
    const [classes, edges] = [pane.classes[i], this.#edges[i]];
    return classes === undefined || edges === undefined ? Number.NaN : percentile(classes, edges, n, measure.level);
  }

  calls(arm: AuditArm, measure: Measure, minutes: number): number {
    const pane = this.#pane(arm, minutes);
    if (measure.kind === "rate") return pane.known[this.#rateOf.get(measure.field) ?? -1] ?? 0;
    return pane.counted[this.#quantityOf.get(measure.field) ?? -1] ?? 0;
  }

  #pane(arm: AuditArm, minutes: number): Pane {
    if (minutes === 1) return this.#newest[arm];
    const found = this.#byLength.get(minutes);
    if (found === undefined) throw new RangeError(`no window of ${minutes} minutes was set up`);
    return found.arms[arm].total;
  }
}

/** Lower edges of the classes of a quantity, and the upper edge of the last. */
export function edgesOf({ firstBucket, classes }: { readonly firstBucket: number; readonly classes: number }): Float64Array {
  return Float64Array.from({ length: classes + 1 }, (_, i) => (i === 0 ? 0 : bucketFloor(firstBucket + i - 1)));
}

function percentile(classes: Int32Array, edges: Float64Array, n: number, level: number): number {
  const wanted = (1 - level) * n;
  let above = 0;
  for (let i = classes.length - 1; i >= 0; i--) {
    const count = classes[i] ?? 0;
    if (count === 0 || above + count < wanted) {
      above += count;
      continue;
    }
    const low = edges[i] ?? 0;
    return low + ((edges[i + 1] ?? low) - low) * (1 - (wanted - above) / count);
  }
  return 0;
}

/** Takes a minute into a window, and the minute that it replaces out of it. */
function slide({ total, ring }: ArmWindow, place: number, pane: Pane, percentiles: readonly number[]): void {
  const old = ring[place];
  if (old === undefined) return;
  total.n += pane.n - old.n;
  old.n = pane.n;
  exchange(total.known, old.known, pane.known);
  exchange(total.bad, old.bad, pane.bad);
  for (let i = 0; i < total.sums.length; i++) {
    const sum = pane.sums[i] ?? 0;
    total.sums[i] = (total.sums[i] ?? 0) + sum - (old.sums[i] ?? 0);
    old.sums[i] = sum;
  }
  for (const i of percentiles) slideClasses(total.classes[i], old, pane, i);
  old.isListed = pane.isListed;
  exchange(total.counted, old.counted, pane.counted);
}

/** Classes of one quantity. `old.counted` is still that of the minute that goes. */
function slideClasses(total: Int32Array | undefined, old: Pane, pane: Pane, i: number): void {
  const [gone, come] = [old.classes[i], pane.classes[i]];
  const [goneList, comeList] = [old.found[i], pane.found[i]];
  if (total === undefined || gone === undefined || come === undefined || goneList === undefined || comeList === undefined) return;
  if (old.isListed) addListed(total, goneList, old.counted[i] ?? 0, -1);
  else addAll(total, gone, -1);
  if (pane.isListed) {
    const n = pane.counted[i] ?? 0;
    addListed(total, comeList, n, 1);
    goneList.set(comeList.subarray(0, n));
  } else {
    addAll(total, come, 1);
    gone.set(come);
  }
}

function addListed(total: Int32Array, list: Int16Array, n: number, by: number): void {
  for (let k = 0; k < n; k++) {
    const found = list[k] as number;
    total[found] = (total[found] as number) + by;
  }
}

function addAll(total: Int32Array, counts: Int32Array, by: number): void {
  for (let k = 0; k < total.length; k++) total[k] = (total[k] as number) + by * (counts[k] as number);
}

function exchange(total: Int32Array, old: Int32Array, now: Int32Array): void {
  for (let i = 0; i < total.length; i++) {
    const come = now[i] as number;
    total[i] = (total[i] as number) + come - (old[i] as number);
    old[i] = come;
  }
}
