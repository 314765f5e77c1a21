import { hash32 } from "../hash/hash32.ts";

/** Subjects are dealt to this many buckets; one bucket is 0.01 % of them. */
export const BUCKETS = 10_000;
const PPM_PER_BUCKET = 1_000_000 / BUCKETS;
const MIRROR_SEED = 0x6d69_7272;

/** Bucket of a subject under the salt of a rollout, 0 to 9999. The same subject keeps its bucket as long as the salt stays. */
export function bucketOf(salt: string, subject: string): number {
  return hash32(`${salt}:${subject}`) % BUCKETS;
}

/**
 * Number of buckets for a share of subjects, at least one for any share above zero, so that no step is silently empty.
 *
 * @param percent 0 to 100
 * @throws {RangeError} when `percent` is outside its range
 */
export function bucketsForPercent(percent: number): number {
  if (!(percent >= 0 && percent <= 100)) throw new RangeError(`percent must be in 0..100, got ${percent}`);
  return percent === 0 ? 0 : Math.max(1, Math.round((percent / 100) * BUCKETS));
}

/** Share of subjects in parts per million, from a number of buckets. */
export function ppmOfBuckets(buckets: number): number {
  return buckets * PPM_PER_BUCKET;
}

/**
 * Whether a served request is mirrored to the candidate. A hash of the request id, so that it can be recomputed; its seed differs from
 * the one that draws judge samples, so that the two draws are unrelated.
 *
 * @param shadowPpm share of requests in parts per million
 */
export function isMirrored(requestId: string, shadowPpm: number): boolean {
  // Exact: both products stay below 2^53.
  return shadowPpm > 0 && hash32(requestId, MIRROR_SEED) * 1_000_000 < shadowPpm * 0x1_0000_0000;
}
