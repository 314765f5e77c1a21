/** Records that must have been expected before silence says anything: a Poisson count of 0 has then chance 6e-6. */
export const EXPECTED_BEFORE_STALE = 12;

/**
 * Records that an arm should have had, judged by the other arm and the planned split (statistics.md section 2).
 *
 * @param otherRecords records of the other arm in the same time
 * @param share planned share of the arm, of subjects
 * @param otherShare planned share of the other arm; 0: nothing can be expected
 */
export function expectedRecords(otherRecords: number, share: number, otherShare: number): number {
  return otherShare > 0 ? (otherRecords * share) / otherShare : 0;
}

/** True when an arm without a record was expected to have so many that chance does not explain it. */
export function isSilent(records: number, expected: number): boolean {
  return records === 0 && expected >= EXPECTED_BEFORE_STALE;
}
