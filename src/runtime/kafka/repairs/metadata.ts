import { inside, replace } from "./replace.ts";

interface NamedBroker {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}
interface TopicMetadata {
  readonly topicErrorCode: number;
  readonly partitionMetadata: readonly unknown[];
}
interface Metadata {
  readonly brokers: readonly NamedBroker[];
  readonly topicMetadata: readonly TopicMetadata[];
}
interface MetadataExchange {
  readonly request: unknown;
  readonly response: { readonly decode: unknown; readonly parse: (data: Metadata) => Promise<Metadata> };
}
type ExchangeOf = (about: { readonly topics: readonly string[] }) => MetadataExchange;

const brokersBeside = new WeakMap<readonly unknown[], readonly NamedBroker[]>();

/**
 * The brokers that the same answer named as a topic's partitions: kafkajs drops them, and tells brokers only with all topics of the cluster, which can be megabytes.
 *
 * @param partitions as `fetchTopicMetadata` returns them
 */
export function brokersOf(partitions: readonly unknown[]): readonly NamedBroker[] {
  const brokers = brokersBeside.get(partitions);
  if (brokers === undefined) throw new Error("kafkajs has changed inside: its answers about topics do not name the brokers");
  return brokers;
}

/**
 * One topic of the cluster that has an error, or a partition that nobody leads, is to kafkajs the answer to the question for all topics, which it asks also to learn who
 * the brokers are, and for the number of a producer. A topic of somebody else whose only replica has died then stopped all of headgate on a cluster that is shared.
 * Partitions that nobody leads stay in the answer, with leader -1. What is asked for by its name has to be sound, as before.
 */
export function repairMetadata(): void {
  replace<unknown, [about: { readonly version: number }], ExchangeOf>(inside<object>("protocol/requests/metadata"), "protocol", (protocol) => (version) => {
    const exchangeOf = protocol(version);
    return (about) => {
      const { request, response } = exchangeOf(about);
      const passOver = async (data: Metadata) => ({
        ...(await response.parse({ ...data, topicMetadata: [] })),
        topicMetadata: data.topicMetadata.filter(({ topicErrorCode }) => topicErrorCode === 0),
      });
      const parse = async (data: Metadata) => {
        const answer = about.topics.length > 0 ? await response.parse(data) : await passOver(data);
        for (const { partitionMetadata } of answer.topicMetadata) brokersBeside.set(partitionMetadata, answer.brokers);
        return answer;
      };
      return { request, response: { ...response, parse } };
    };
  });
}
