import { hash32 } from "../hash/hash32.ts";

const SAMPLE_SEED = 0x5a3317e5;
const HASHES = 4_294_967_296;
const PPM = 1_000_000;

/**
 * Whether a call is drawn for judging: a function of its id and the rate alone, so that a replay draws the same calls. Both products stay
 * below 2^53: the comparison is exact.
 *
 * @param samplePpm probability in parts per million; 0 draws none, 1,000,000 all
 */
export function isDrawn(requestId: string, samplePpm: number): boolean {
  return hash32(requestId, SAMPLE_SEED) * PPM < samplePpm * HASHES;
}
