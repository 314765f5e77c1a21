import type { IHeaders } from "kafkajs";

/** One record ready to be sent: full topic name, fixed partition, bytes. */
export interface WireRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  readonly headers: IHeaders;
  /** `max.message.bytes` of the topic: the broker applies it to a whole batch of one partition. */
  readonly maxBytes: number;
}

export const defaultMaxBytes = 1024 * 1024;
/** Share of `max.message.bytes` that we fill: the rest is for the batch's own fields. Uncompressed sizes are compared. */
const fill = 0.95;
/** Most bytes of one request, over all partitions (`socket.request.max.bytes` is 100 MiB by default). */
const maxRequestBytes = 16 * 1024 * 1024;

const lengthOf = (part: Buffer | string | null): number => (part === null ? 0 : Buffer.byteLength(part));

/** Bytes of a record in a batch, rounded up. */
export function sizeOf(record: WireRecord): number {
  let bytes = 40 + lengthOf(record.key) + lengthOf(record.value);
  for (const [name, value] of Object.entries(record.headers)) {
    for (const one of Array.isArray(value) ? value : [value]) bytes += 10 + Buffer.byteLength(name) + lengthOf(one ?? null);
  }
  return bytes;
}

/** True when the broker would refuse the record for its size. */
export function isTooLarge(record: WireRecord): boolean {
  return sizeOf(record) > record.maxBytes * fill;
}

/**
 * Splits records into requests that a broker accepts, keeping the order per partition: kafkajs makes one batch per
 * partition and request, and the broker limits the batch, not the record.
 */
export function requestsOf(records: readonly WireRecord[]): WireRecord[][] {
  const requests: WireRecord[][] = [];
  let current: WireRecord[] = [];
  let total = 0;
  let perPartition = new Map<string, number>();
  for (const record of records) {
    const size = sizeOf(record);
    const place = `${record.topic}/${record.partition}`;
    const filled = perPartition.get(place) ?? 0;
    if (current.length > 0 && (filled + size > record.maxBytes * fill || total + size > maxRequestBytes)) {
      requests.push(current);
      current = [];
      total = 0;
      perPartition = new Map();
    }
    current.push(record);
    total += size;
    perPartition.set(place, (perPartition.get(place) ?? 0) + size);
  }
  if (current.length > 0) requests.push(current);
  return requests;
}

/** Groups by topic, as kafkajs's `sendBatch` takes them; the partition is always explicit (rule 1). */
export function topicMessages(records: readonly WireRecord[]) {
  const byTopic = new Map<string, { key: Buffer | string | null; value: Buffer | null; partition: number; headers: IHeaders }[]>();
  for (const { topic, key, value, partition, headers } of records) {
    const messages = byTopic.get(topic);
    if (messages === undefined) byTopic.set(topic, [{ key, value, partition, headers }]);
    else messages.push({ key, value, partition, headers });
  }
  return [...byTopic].map(([topic, messages]) => ({ topic, messages }));
}
