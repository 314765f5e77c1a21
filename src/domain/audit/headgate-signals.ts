import type { Preset } from "../rollout/spec/presets.ts";
import { runawayBucket, valueCap } from "../stats/exceedance.ts";
import { bucketMidpoint, bucketShift } from "../stats/log-bucket.ts";
import { BinaryTest, FloorTest, type FreezeSums, MeanTest, momentsIn } from "./headgate-tests.ts";
import type { Pane } from "./panes.ts";
import type { GuardedSignal } from "./signals.ts";
import type { Columns, QuantityColumn } from "./traffic.ts";

/** A process with its share of a signal. */
export interface Term {
  readonly share: number;
  readonly sums: FreezeSums;
  /** False for a floor that the baseline itself does not keep: it can exonerate, not incriminate. */
  readonly isBinding: () => boolean;
}

/** The tests of one signal. */
export interface SignalTests {
  readonly name: string;
  readonly preset: Preset;
  readonly terms: readonly Term[];
  reset(): void;
  add(minute: number, candidate: Pane, baseline: Pane): void;
}

/** Records of the baseline that thresholds and caps rest on, and minutes that a threshold's panes span at least. */
const LEAST_RECORDS = 1_000;
const STRETCH_MINUTES = 60;
const PERCENTILE = 0.95;
const RUNAWAY_LEVEL = 0.995;
const RUNAWAY_SHARE = 0.1;
/** Variance that a capped cost is taken to have before one was seen (spec/signals.ts). */
const MEAN_VARIANCE = 0.0043;
/** Part of the limit that is tolerated (statistics.md section 0). */
const TOLERATED = 1 / 5;
/** E of a floor at which the baseline is proven below it: 1/alpha. */
const PROVEN_BELOW = 20;
const always = () => true;

/** The tests that headgate runs on a signal by default. */
export function signalTests(signal: GuardedSignal, columns: Columns): SignalTests {
  const { measure, preset } = signal;
  if (measure.kind === "rate") {
    const i = columns.rates.findIndex(({ field }) => field === measure.field);
    return rateTests(measure.name, preset, i);
  }
  const i = columns.quantities.findIndex(({ field }) => field === measure.field);
  const column = columns.quantities[i];
  if (column === undefined) throw new RangeError(`the calls carry no ${measure.field}`);
  return measure.kind === "percentile" ? percentileTests(measure.name, preset, i, column) : meanTests(measure.name, preset, i, column);
}

function rateTests(name: string, preset: Preset, i: number): SignalTests {
  const relative = new BinaryTest({ kind: "difference", tolerated: preset.limit * TOLERATED, limit: preset.limit }, preset.reference);
  const floor = preset.floor === undefined ? null : { candidate: new FloorTest(preset.floor), baseline: new FloorTest(preset.floor), isBelow: false };
  const terms: Term[] = [{ share: floor === null ? 1 : 0.5, sums: relative.sums, isBinding: always }];
  if (floor !== null) terms.push({ share: 0.5, sums: floor.candidate.sums, isBinding: () => !floor.isBelow });
  return {
    name,
    preset,
    terms,
    reset() {
      relative.reset();
      floor?.candidate.reset();
      floor?.baseline.reset();
      if (floor !== null) floor.isBelow = false;
    },
    add(minute, candidate, baseline) {
      const [na, ya, nb, yb] = [candidate.known[i] ?? 0, candidate.bad[i] ?? 0, baseline.known[i] ?? 0, baseline.bad[i] ?? 0];
      relative.add(minute, na, ya, nb, yb);
      relative.learn(nb, yb);
      if (floor === null) return;
      floor.candidate.add(minute, na, ya);
      if (floor.isBelow) return;
      floor.baseline.add(minute, nb, yb);
      floor.isBelow = floor.baseline.sums.most() > 0 && floor.baseline.sums.value(false) >= PROVEN_BELOW;
    },
  };
}

/** Records at or above a class. */
function above(classes: Int32Array | undefined, from: number): number {
  let n = 0;
  for (let i = from; classes !== undefined && i < classes.length; i++) n += classes[i] ?? 0;
  return n;
}

function percentileTests(name: string, preset: Preset, i: number, { classes }: QuantityColumn): SignalTests {
  const shift = bucketShift(1 + preset.limit * TOLERATED);
  const relative = new BinaryTest({ kind: "percentile", level: PERCENTILE }, 1 - PERCENTILE);
  const stretches = { current: new Float64Array(classes), previous: new Float64Array(classes), currentMinutes: 0, currentN: 0, n: 0 };
  let threshold: number | null = null;
  /** The largest class with at least 5 % of the baseline's records in it or above. */
  const thresholdOf = (): number | null => {
    if (stretches.n < LEAST_RECORDS) return null;
    let seen = 0;
    for (let k = classes - 1; k >= 0; k--) {
      seen += (stretches.current[k] ?? 0) + (stretches.previous[k] ?? 0);
      if (seen >= (1 - PERCENTILE) * stretches.n) return k;
    }
    return 0;
  };
  const remember = (pane: Int32Array | undefined, n: number) => {
    for (let k = 0; k < classes; k++) stretches.current[k] = (stretches.current[k] ?? 0) + (pane?.[k] ?? 0);
    stretches.currentN += n;
    stretches.n += n;
    stretches.currentMinutes++;
    if (stretches.currentMinutes < STRETCH_MINUTES || stretches.currentN < LEAST_RECORDS) return;
    stretches.previous.set(stretches.current);
    stretches.current.fill(0);
    Object.assign(stretches, { n: stretches.currentN, currentN: 0, currentMinutes: 0 });
  };
  return {
    name,
    preset,
    terms: [{ share: 1, sums: relative.sums, isBinding: always }],
    reset() {
      relative.reset();
      stretches.current.fill(0);
      stretches.previous.fill(0);
      Object.assign(stretches, { n: 0, currentN: 0, currentMinutes: 0 });
    },
    add(minute, candidate, baseline) {
      const now = thresholdOf();
      if (!relative.isOpen) threshold = now;
      const [a, b] = [candidate.classes[i], baseline.classes[i]];
      const nb = baseline.counted[i] ?? 0;
      if (threshold !== null && now !== null) {
        relative.add(minute, candidate.counted[i] ?? 0, above(a, threshold + shift), nb, above(b, threshold));
        relative.learn(nb, above(b, now));
      }
      remember(b, nb);
    },
  };
}

function meanTests(name: string, preset: Preset, i: number, { classes, firstBucket }: QuantityColumn): SignalTests {
  const limits = { tolerated: preset.limit * TOLERATED, limit: preset.limit };
  const mean = new MeanTest(limits, { reference: preset.reference, referenceVariance: MEAN_VARIANCE, classes });
  const runaway = new BinaryTest({ kind: "percentile", level: RUNAWAY_LEVEL }, 1 - RUNAWAY_LEVEL);
  const first = new Int32Array(classes);
  let firstN = 0;
  let runawayClass = Number.POSITIVE_INFINITY;
  const bucketOf = (k: number) => firstBucket + k - 1;
  const midpoints = Float64Array.from({ length: classes }, (_, k) => (k === 0 ? 0 : bucketMidpoint(bucketOf(k))));
  const fixCap = () => {
    const seen = { values: Array.from(first, (_, k) => bucketOf(k)), counts: Array.from(first) };
    const cap = Math.max(1, Math.ceil(valueCap(seen) ?? 1));
    const values = midpoints.map((x) => Math.min(x, cap) / cap);
    mean.start(values, momentsIn(first, values));
    runawayClass = (runawayBucket(seen, LEAST_RECORDS) ?? Number.POSITIVE_INFINITY) - firstBucket + 1;
  };
  return {
    name,
    preset,
    terms: [
      { share: 1 - RUNAWAY_SHARE, sums: mean.sums, isBinding: always },
      { share: RUNAWAY_SHARE, sums: runaway.sums, isBinding: always },
    ],
    reset() {
      mean.reset();
      runaway.reset();
      first.fill(0);
      firstN = 0;
    },
    add(minute, candidate, baseline) {
      const [a, b] = [candidate.classes[i], baseline.classes[i]];
      if (a === undefined || b === undefined) return;
      if (mean.hasCap) {
        mean.add(minute, a, b);
        runaway.add(minute, candidate.counted[i] ?? 0, above(a, runawayClass), baseline.counted[i] ?? 0, above(b, runawayClass));
        return;
      }
      for (let k = 0; k < classes; k++) first[k] = (first[k] ?? 0) + (b[k] ?? 0);
      firstN += baseline.counted[i] ?? 0;
      if (firstN >= LEAST_RECORDS) fixCap();
    },
  };
}
