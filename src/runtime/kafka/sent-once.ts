import type { WireRecord } from "./wire.ts";

/**
 * What kafkajs makes of a leader that moves while it sends to several brokers, and what is done against it. A send of its goes on by itself after an error that it
 * takes for passing, and remembers per broker, not per partition, who has answered. So
 * 1. a partition that moves to a broker which has answered already is never sent, and all the same the send succeeds: its records are lost;
 * 2. a broker that has not answered yet is sent the same a second time, with sequence numbers of its own, as soon as another has failed; and one that has
 *    answered is too, when its connection was made anew or a partition comes from it to a third: those records are in the log twice, also in one transaction.
 * With one broker neither can be. Both are made errors here, after which the producer is not used again: a transaction is then aborted, and what is appended
 * without one is appended again.
 */
export class SendUnsureError extends Error {
  override readonly name = "SendUnsureError";
  /** Read by kafkajs: gives up at once. */
  readonly retriable = false;
}

/** One request's records of a partition, as kafkajs hands them to a broker. */
interface Share {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number; readonly messages: readonly object[] }[];
}

/** First messages of what is under way or acknowledged; each send makes its messages anew. */
const sent = new WeakSet<object>();

/**
 * Sends one request, unless something in it is under way or acknowledged already. What has failed may be sent again: kafkajs then takes the same sequence numbers,
 * by which the broker knows it.
 *
 * @throws {SendUnsureError}
 */
export async function sendOnce<T>(shares: readonly Share[], send: () => Promise<T>): Promise<T> {
  const firsts = shares.flatMap(({ topic, partitions }) =>
    partitions.flatMap(({ partition, messages: [first] }) => (first ? [{ topic, partition, first }] : [])),
  );
  for (const { topic, partition, first } of firsts) {
    if (sent.has(first)) throw new SendUnsureError(`a leader moved while records were sent: those of ${topic}[${partition}] would be sent twice`);
  }
  for (const { first } of firsts) sent.add(first);
  try {
    return await send();
  } catch (error) {
    for (const { first } of firsts) sent.delete(first);
    throw error;
  }
}

/**
 * Compares what was to be sent with what the brokers have acknowledged.
 *
 * @throws {SendUnsureError} when a partition has no acknowledgement
 */
export function requireAcknowledged(records: readonly WireRecord[], answers: readonly { readonly topicName: string; readonly partition: number }[]): void {
  const answered = new Set(answers.map(({ topicName, partition }) => `${topicName}[${partition}]`));
  for (const { topic, partition } of records) {
    if (answered.has(`${topic}[${partition}]`)) continue;
    throw new SendUnsureError(`a leader moved while records were sent: those of ${topic}[${partition}] were not`);
  }
}
