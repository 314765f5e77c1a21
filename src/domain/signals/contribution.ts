import type { Kind } from "./series.ts";

/** What one record adds to one signal: counted in slice `all` and in each of the record's slices. */
export interface Contribution {
  readonly signal: string;
  readonly kind: Kind;
  readonly evaluatorVersion: string;
  /** Sampling class: 1,000,000 for what is counted on every call. */
  readonly samplePpm: number;
  readonly records: number;
  readonly sampled: number;
  readonly abstained: number;
  readonly failed: number;
  /** In the units of the kind (topics/parts.ts, `statistics`); null: no value, the record is not scored. */
  readonly value: number | null;
  /** The quantity itself, for the digest that shows percentiles; null: none. */
  readonly shown: number | null;
}

/** Losses are counted in hundredths, so that scores add as integers. */
export const HUNDREDTHS = 100;

/** Loss of a score of 0..1 in hundredths: 0 is best. */
export const lossOf = (value: number): number => Math.round(HUNDREDTHS * (1 - value));
