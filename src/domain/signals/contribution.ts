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
  /** Of kind `log`: min(quantity, cap) in whole units, for the design effect of the capped mean; null: no cap is known. */
  readonly capped: number | null;
  /** Subjects at first sight (0 or 1); null: not known, or not counted with this signal. */
  readonly newSubjects: number | null;
}

/** A contribution that counts nothing but what it is given. */
export const uncounted = { records: 0, sampled: 0, abstained: 0, failed: 0, value: null, shown: null, capped: null, newSubjects: null } as const;

/** Losses are counted in hundredths, so that scores add as integers. */
export const HUNDREDTHS = 100;

/** Loss of a score of 0..1 in hundredths: 0 is best. */
export const lossOf = (value: number): number => Math.round(HUNDREDTHS * (1 - value));
