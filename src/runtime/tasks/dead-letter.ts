import type { IHeaders, KafkaMessage } from "kafkajs";
import type { WireRecord } from "../kafka/wire.ts";

/** Room for the headers that we add to a record that was already as large as its topic allows. */
const headerRoomBytes = 4 * 1024;
const maxErrorLength = 500;

/**
 * A record that can not be processed, as it goes to `<topic>.dlq`: bytes, key and headers untouched, and beside them
 * `x-dlq-*` headers (after Kafka Connect's, KIP-298): what was wrong, where it came from, who parked it and when.
 */
export function deadLetter(about: {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
  readonly error: Error;
  readonly role: string;
  readonly atMs: number;
  readonly maxBytes: number;
}): WireRecord {
  const { topic, partition, message, error, role, atMs, maxBytes } = about;
  const headers: IHeaders = {
    ...message.headers,
    "x-dlq-error": error.message.slice(0, maxErrorLength),
    "x-dlq-error-class": error.name,
    "x-dlq-topic": topic,
    "x-dlq-partition": String(partition),
    "x-dlq-offset": message.offset,
    "x-dlq-timestamp": message.timestamp,
    "x-dlq-role": role,
    "x-dlq-at": new Date(atMs).toISOString(),
  };
  return { topic: `${topic}.dlq`, partition: 0, key: message.key, value: message.value, headers, maxBytes: maxBytes + headerRoomBytes };
}
