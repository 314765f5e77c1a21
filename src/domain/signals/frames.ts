import type { Entry, Frame } from "../../../topics/index.ts";

/** Largest frame that is written, bytes before compression (DESIGN.md section 3). */
export const FRAME_BYTES = 512 * 1024;

const DOUBLE_BYTES = 8;
/** Widest zigzag integer that counts, buckets and offsets take in practice, that sums of quantities do, and room for the fixed fields of an entry. */
const INTEGER_BYTES = 5;
const SUM_BYTES = 8;
const FIXED_BYTES = 126;

/** Upper estimate of an entry's size in Avro. Names may hold any characters: up to three bytes each in UTF-8. */
export function entryBytes(entry: Entry): number {
  const { route, rollout, version, slice, signal, evaluatorVersion, values, subjectCounts, subjectSums, digestMeans } = entry;
  const letters = route.length + rollout.length + version.length + slice.length + signal.length + evaluatorVersion.length;
  const integers = 2 * values.length + subjectCounts.length + digestMeans.length;
  return FIXED_BYTES + 3 * letters + INTEGER_BYTES * integers + SUM_BYTES * subjectSums.length + DOUBLE_BYTES * digestMeans.length;
}

/** What all frames of one flush say about their source. */
export type FrameSource = Pick<Frame, "source" | "sourcePartition" | "fromOffset" | "toOffset" | "watermarkMs">;

/**
 * Packs entries into frames of at most `limit` bytes; one frame at least, also without entries. Only the last one carries the watermark: it
 * holds only when all entries before it are counted.
 */
export function framesOf(source: FrameSource, entries: readonly Entry[], limit = FRAME_BYTES): Frame[] {
  const packed: Entry[][] = [[]];
  let bytes = 0;
  for (const entry of entries) {
    const size = entryBytes(entry);
    if (bytes > 0 && bytes + size > limit) {
      packed.push([]);
      bytes = 0;
    }
    packed.at(-1)?.push(entry);
    bytes += size;
  }
  return packed.map((part, i) => ({ ...source, watermarkMs: i === packed.length - 1 ? source.watermarkMs : null, entries: part }));
}
