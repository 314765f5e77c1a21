import { avroOf } from "./avro.ts";
import type { Topic } from "./define.ts";
import { allTopics, gateEvents } from "./index.ts";

const bindingVersion = "0.5.0";
const routesCount = 6;
const prefix = "headgate.";

/** Headers of a gate event: CloudEvents 1.0, Kafka protocol binding, binary mode. */
const cloudEventHeaders = {
  type: "object",
  required: ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"],
  properties: {
    ce_specversion: { type: "string", const: "1.0" },
    ce_id: { type: "string", description: "id of the gate event; a repeat has the same" },
    ce_source: { type: "string", description: "which headgate, and the route" },
    ce_type: { type: "string", pattern: "^headgate\\.(rollout|route)\\.[a-z_]+\\.v1$", description: "for example headgate.rollout.rolled_back.v1" },
    ce_time: { type: "string", format: "date-time" },
    ce_subject: { type: "string", description: "the rollout" },
    "content-type": { type: "string", const: "application/avro" },
  },
};

/**
 * The AsyncAPI 3 document of all topics: who sends and receives what, where, keyed how, kept how long, with the Avro schema
 * of each message. Names carry the default prefix and counts are the defaults; both are configurable per installation.
 */
export function asyncApi(): object {
  return {
    asyncapi: "3.0.0",
    info: {
      title: "headgate",
      version: "1.0.0",
      description:
        "Topics of headgate. Values are Avro in Confluent wire format (a zero byte, four bytes of schema id, the body), subjects `<topic>-value` at FULL_TRANSITIVE compatibility. Read committed.",
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    defaultContentType: "application/avro",
    servers: {
      kafka: {
        host: "localhost:9092",
        protocol: "kafka",
        description: "your brokers and your registry; every role takes them from KAFKA_BROKERS and SCHEMA_REGISTRY_URL",
        bindings: { kafka: { schemaRegistryUrl: "http://localhost:8081", schemaRegistryVendor: "confluent", bindingVersion } },
      },
    },
    channels: Object.fromEntries(allTopics.map((topic) => [topic.name, channel(topic)])),
    operations: Object.fromEntries(allTopics.flatMap(operations)),
    components: { messages: Object.fromEntries(allTopics.map((topic) => [avroOf(topic).name, message(topic)])) },
  };
}

function channel(topic: Topic): object {
  const { cleanup, retentionMs } = topic.retention;
  return {
    address: prefix + topic.name,
    description: topic.about,
    messages: { [avroOf(topic).name]: { $ref: `#/components/messages/${avroOf(topic).name}` } },
    bindings: {
      kafka: {
        topic: prefix + topic.name,
        partitions: topic.partitions === "routes" ? routesCount : topic.partitions,
        topicConfiguration: {
          "cleanup.policy": cleanup.split(","),
          ...(retentionMs === undefined ? {} : { "retention.ms": retentionMs }),
          "max.message.bytes": topic.maxBytes ?? 1024 * 1024,
        },
        bindingVersion,
      },
    },
  };
}

function operations(topic: Topic): [string, object][] {
  const operation = (who: string, action: "send" | "receive"): [string, object] => [
    camel(`${who} ${action}s ${topic.name}`),
    {
      action,
      title: `${who} ${action}s ${topic.name}`,
      channel: { $ref: `#/channels/${topic.name}` },
      messages: [{ $ref: `#/channels/${topic.name}/messages/${avroOf(topic).name}` }],
    },
  ];
  return [...topic.writers.map((who) => operation(who, "send")), ...topic.readers.map((who) => operation(who, "receive"))];
}

function message(topic: Topic): object {
  return {
    name: avroOf(topic).name,
    summary: topic.about,
    contentType: "application/avro",
    ...(topic.name === gateEvents.name ? { headers: cloudEventHeaders } : {}),
    payload: { schemaFormat: "application/vnd.apache.avro+json;version=1.9.0", schema: avroOf(topic) },
    bindings: {
      kafka: {
        key: { type: "string", description: topic.key },
        schemaIdLocation: "payload",
        schemaIdPayloadEncoding: "confluent",
        schemaLookupStrategy: "TopicIdStrategy",
        bindingVersion,
      },
    },
  };
}

function camel(words: string): string {
  return words.replace(/[^A-Za-z0-9]+([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
