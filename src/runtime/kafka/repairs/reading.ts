import { type FetchedPartition, markAborted } from "../aborted-records.ts";
import { prototypeOf, replace } from "./replace.ts";

/**
 * The position that a consumer wanted to read from is not in the log. Not to be retried: kafkajs would commit a reset for
 * the whole group (offset -2, without metadata), which destroys what the tasks have committed, and read on from the start of
 * the log as if nothing had been lost.
 */
export class PositionLostError extends Error {
  override readonly name = "PositionLostError";
  /** Read by kafkajs: gives up at once. */
  readonly retriable = false;
  /** With prefix. */
  readonly topic: string;
  readonly partition: number;

  constructor(topic: string, partition: number) {
    super(`the position in ${topic}[${partition}] is not in the log any more`);
    this.topic = topic;
    this.partition = partition;
  }
}

interface FetchAnswer {
  readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[];
}

/**
 * Changes how kafkajs reads, between its network and its consumer: records of aborted transactions are left out properly
 * (see `markAborted`), and a lost position ends the consumer instead of resetting the group.
 */
export function repairFetch(): void {
  replace<unknown, unknown[], Promise<FetchAnswer>>(
    prototypeOf("broker"),
    "fetch",
    (fetch) =>
      async function (...args) {
        const answer = await fetch.apply(this, args).catch((error: Error & { topic?: string; partition?: number }) => {
          if (error.name !== "KafkaJSOffsetOutOfRange") throw error;
          throw new PositionLostError(error.topic ?? "", error.partition ?? -1);
        });
        for (const { partitions } of answer.responses) for (const partition of partitions) leaveOutAborted(partition);
        return answer;
      },
  );
}

function leaveOutAborted(partition: FetchedPartition): void {
  if (!partition.abortedTransactions?.length) return;
  markAborted(partition.messages, partition.abortedTransactions);
  partition.abortedTransactions = [];
}
