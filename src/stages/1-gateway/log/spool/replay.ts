import { requests } from "../../../../../topics/index.ts";
import type { RequestRecord } from "../delivery.ts";
import { markRecord } from "../mark-record.ts";
import type { Numbers } from "../numbers.ts";
import type { Spooled } from "./frames.ts";
import type { Chunk } from "./spool.ts";

/** The partitions of `requests`. */
interface Places {
  readonly partitions: number;
  readonly partitionOf: (subject: string) => number;
}

/**
 * The records of a chunk as they are to be written, with their numbers. Reading the same chunk from the same numbers gives the same records.
 *
 * @param about `leaveOut`: records that had their number when they were spooled and were acknowledged after that
 */
export function recordsOf(chunk: Chunk, numbers: Numbers, about: Places & { readonly leaveOut?: boolean }): RequestRecord[] {
  if (chunk.lost > 0) numbers.skip(0, chunk.lost);
  return chunk.frames.flatMap((spooled) => {
    if (spooled.kind === "record") return spooled.value.seq > 0 && about.leaveOut === true ? [] : [recordOf(spooled, numbers, about)];
    if (spooled.kind === "numbers") numbers.goOnAfter(spooled.last);
    else for (const [partition, count] of spooled.counts) numbers.skip(partition, count);
    return [];
  });
}

function recordOf(spooled: Spooled & { readonly kind: "record" }, numbers: Numbers, { partitions, partitionOf }: Places): RequestRecord {
  // The template has fields that a newer contract has and the process that spooled the record had not.
  const value = { ...markRecord("", 0, 0), ...spooled.value };
  const isPlaced = spooled.partition >= 0 && spooled.partition < partitions;
  const partition = isPlaced ? spooled.partition : partitionOf(value.subject);
  if (value.seq === 0) value.seq = numbers.next(partition);
  return { topic: requests, partition, key: value.kind === "mark" ? null : value.subject, value };
}
