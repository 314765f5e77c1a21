/**
 * The hash that Kafka's Java clients partition keys with, so that a key lands where any other client would put it.
 * Source: org.apache.kafka.common.utils.Utils.murmur2 (murmur2, 32 bits, seed 0x9747b28c).
 *
 * @returns a signed 32-bit integer, as Java's
 */
export function murmur2(bytes: Uint8Array): number {
  const m = 0x5bd1e995;
  const length = bytes.length;
  let h = 0x9747b28c ^ length;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    let k = (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8) | ((bytes[i + 2] ?? 0) << 16) | ((bytes[i + 3] ?? 0) << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  for (let i = length - 1; i >= whole; i--) h ^= (bytes[i] ?? 0) << ((i - whole) * 8);
  if (length > whole) h = Math.imul(h, m);
  h ^= h >>> 13;
  h = Math.imul(h, m);
  return (h ^ (h >>> 15)) | 0;
}

/**
 * Partition of a key: murmur2 of its UTF-8 bytes, made positive, modulo the count, as Java's default partitioner does.
 *
 * @param partitions partition count, at least 1
 * @throws {RangeError} when `partitions` is not a positive integer
 */
export function partitionOf(key: string, partitions: number): number {
  if (!Number.isInteger(partitions) || partitions < 1) throw new RangeError(`partitions must be an integer >= 1, got ${partitions}`);
  return (murmur2(Buffer.from(key, "utf8")) & 0x7fffffff) % partitions;
}
