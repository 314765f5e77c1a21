/** An aborted transaction in a partition's log, as a Fetch response lists it; numbers as decimal text. */
export interface AbortedTransaction {
  readonly producerId: string;
  readonly firstOffset: string;
}

/** The fields of kafkajs's decoded records that matter here. */
export interface FetchedRecord {
  readonly offset: string;
  readonly key: Buffer | null;
  /** kafkajs drops such records, but counts them when it works out where to fetch next. */
  isControlRecord: boolean;
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
}

export interface FetchedPartition {
  abortedTransactions?: readonly AbortedTransaction[] | null;
  readonly messages: readonly FetchedRecord[];
}

/**
 * Marks the records of aborted transactions so that kafkajs leaves them out, as Java's consumer does
 * (org.apache.kafka.clients.consumer.internals.CompletedFetch): every transaction that began at or before a record counts,
 * whatever order the broker lists them in, until its producer's abort marker.
 *
 * kafkajs 2.2.4 (`consumer/filterAbortedMessages.js`) takes them in the broker's order, which is that of completion, and at
 * most one for each record. So two aborted transactions that overlap in one partition, or one whose first record lies
 * before the fetched offset, are read as if they had been committed. It also takes a record with a key of four zero bytes
 * for an abort marker.
 */
export function markAborted(records: readonly FetchedRecord[], aborted: readonly AbortedTransaction[]): void {
  const waiting = [...aborted].sort((a, b) => Number(a.firstOffset) - Number(b.firstOffset));
  const current = new Set<string>();
  let next = 0;
  for (const record of records) {
    const offset = Number(record.offset);
    for (let first = waiting[next]; first !== undefined && Number(first.firstOffset) <= offset; first = waiting[++next]) current.add(first.producerId);
    const { producerId, inTransaction } = record.batchContext;
    if (record.isControlRecord) {
      if (isAbortMarker(record.key)) current.delete(producerId);
    } else if (inTransaction && current.has(producerId)) record.isControlRecord = true;
  }
}

/** Key of a control record: version (two bytes), type (two bytes; 0 abort, 1 commit). */
function isAbortMarker(key: Buffer | null): boolean {
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0;
}
