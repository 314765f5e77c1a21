import type { RoutingTable } from "../../../topics/index.ts";
import { BUCKETS } from "./buckets.ts";

export type ArmRange = RoutingTable["ranges"][number];

/**
 * Arm ranges of a rollout. The candidate grows from bucket 0 upwards and the holdback is the last range, so that a step up
 * only adds subjects to the candidate, a contraction returns those who were added last, and nobody ever moves into or
 * out of the holdback.
 *
 * @param split `candidateBuckets` 0 to 10,000, cut where the holdback starts; `holdbackBuckets` 0 to 10,000
 * @returns half-open ranges, ascending, disjoint and complete; empty arms are left out
 * @throws {RangeError} when a count is not a whole number in its range
 */
export function rangesFor(split: {
  readonly baseline: string;
  readonly candidate: string;
  readonly candidateBuckets: number;
  readonly holdbackBuckets: number;
}): ArmRange[] {
  for (const [name, count] of [
    ["candidateBuckets", split.candidateBuckets],
    ["holdbackBuckets", split.holdbackBuckets],
  ] as const) {
    if (!Number.isInteger(count) || count < 0 || count > BUCKETS) throw new RangeError(`${name} must be a whole number in 0..${BUCKETS}, got ${count}`);
  }
  const holdbackFrom = BUCKETS - split.holdbackBuckets;
  const candidateTo = Math.min(split.candidateBuckets, holdbackFrom);
  const ranges: ArmRange[] = [
    { arm: "candidate", version: split.candidate, from: 0, to: candidateTo },
    { arm: "baseline", version: split.baseline, from: candidateTo, to: holdbackFrom },
    { arm: "holdback", version: split.baseline, from: holdbackFrom, to: BUCKETS },
  ];
  return ranges.filter((range) => range.from < range.to);
}

/** Ranges of a route without a rollout: one version serves everybody, arm `none`. */
export function rangesOfOne(version: string): ArmRange[] {
  return [{ arm: "none", version, from: 0, to: BUCKETS }];
}

/** Buckets that a version serves in a table. */
export function bucketsServedBy(ranges: readonly ArmRange[], version: string): number {
  return ranges.reduce((sum, range) => (range.version === version ? sum + range.to - range.from : sum), 0);
}

/**
 * What is wrong with ranges, as sentences; empty when they are disjoint and cover every bucket exactly once.
 * The order in which they are listed does not matter.
 */
export function rangeProblems(ranges: readonly ArmRange[]): string[] {
  const problems: string[] = [];
  let next = 0;
  for (const { arm, from, to } of [...ranges].sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from >= to) problems.push(`range ${from}..${to} of ${arm} is empty`);
    if (from > next) problems.push(`buckets ${next}..${from} are in no range`);
    if (from < next) problems.push(`range ${from}..${to} of ${arm} overlaps another`);
    next = Math.max(next, to);
  }
  if (next < BUCKETS) problems.push(`buckets ${next}..${BUCKETS} are in no range`);
  if (next > BUCKETS) problems.push(`a range ends at ${next}, after the last bucket`);
  return problems;
}
