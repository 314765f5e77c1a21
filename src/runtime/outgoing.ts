import { KnownError } from "../errors/known-error.ts";
import { defaultMaxBytes, isTooLarge, sizeOf, type WireRecord } from "./kafka/wire.ts";
import type { Outgoing } from "./port.ts";
import type { Serde } from "./serde.ts";

/**
 * Validates and encodes a record. The topic's schema must have been prepared.
 * @throws {KnownError} RECORD_INVALID naming the field, RECORD_TOO_LARGE
 */
export function encodeOutgoing(serde: Serde, prefix: string, record: Outgoing): WireRecord {
  const { topic, partition, key, value, headers } = record;
  if (!Number.isInteger(partition) || partition < 0) {
    throw new KnownError("RECORD_INVALID", `${topic.name}: partition ${partition} is not a partition`, { fix: "this is a bug of the role that wrote it" });
  }
  if (value === null && !topic.retention.cleanup.includes("compact")) {
    throw new KnownError("RECORD_INVALID", `${topic.name}: a tombstone for a topic that is not compacted`, { fix: "this is a bug of the role that wrote it" });
  }
  const wire: WireRecord = {
    topic: prefix + topic.name,
    partition,
    key,
    value: value === null ? null : serde.encode(topic, value),
    headers: headers ?? {},
    maxBytes: topic.maxBytes ?? defaultMaxBytes,
  };
  if (isTooLarge(wire)) {
    throw new KnownError("RECORD_TOO_LARGE", `a record of ${sizeOf(wire)} bytes is too large for ${topic.name} (max.message.bytes ${wire.maxBytes})`, {
      fix: "cut its bodies, or raise the topic's limit",
      details: { topic: topic.name, bytes: sizeOf(wire) },
    });
  }
  return wire;
}

/** Kafka's header values as text; a repeated header keeps its last value. */
export function textHeaders(headers: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    const last: unknown = Array.isArray(value) ? value.at(-1) : value;
    if (last !== undefined && last !== null) texts[name] = Buffer.isBuffer(last) ? last.toString("utf8") : String(last);
  }
  return texts;
}
