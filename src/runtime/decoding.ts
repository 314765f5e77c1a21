import type { KafkaMessage } from "kafkajs";
import type { Topic } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";
import { textHeaders } from "./outgoing.ts";
import type { Incoming } from "./port.ts";
import type { Serde } from "./serde.ts";

/** What readers without tasks make of a record: deliver it, report it as bad, or come back when the registry answers. */
export interface Receiver {
  readonly deliver: (record: Incoming) => void;
  readonly bad: (error: Error, topic: string, partition: number, offset: number) => void;
}

/** Decodes one record for a reader without tasks; `"later"` while the registry is out of reach. */
export function receive(
  serde: Serde,
  topic: Topic,
  partition: number,
  message: KafkaMessage,
  fields: readonly string[] | undefined,
  receiver: Receiver,
): undefined | "later" | Promise<undefined | "later"> {
  const deliver = (value: unknown): undefined => {
    receiver.deliver({
      topic: topic.name,
      partition,
      offset: Number(message.offset),
      key: message.key === null ? null : message.key.toString("utf8"),
      appendedAtMs: Number(message.timestamp),
      value,
      headers: textHeaders(message.headers),
    });
  };
  const refuse = (error: unknown): undefined | "later" => {
    if (error instanceof KnownError && error.code === "REGISTRY_UNREACHABLE") return "later";
    receiver.bad(error instanceof Error ? error : new Error(String(error)), topic.name, partition, Number(message.offset));
    return undefined;
  };
  if (message.value === null) return deliver(null);
  let value: unknown;
  try {
    value = serde.decode(topic, message.value, fields);
  } catch (error) {
    return refuse(error);
  }
  if (!(value instanceof Promise)) return deliver(value);
  return value.then(deliver, refuse);
}
