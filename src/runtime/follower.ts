import type { Topic } from "../../topics/index.ts";
import { receive } from "./decoding.ts";
import type { RuntimeDeps } from "./deps.ts";
import { Tail } from "./kafka/tail.ts";
import type { Follower, LogClient } from "./port.ts";

const maxWaitMs = 100;

/** Follows topics; see `LogClient.follow`. A listener that throws is reported to `onError`, the record counts as delivered. */
export function follow(deps: RuntimeDeps, topics: readonly Topic[], options: Parameters<LogClient["follow"]>[1]): Follower {
  const byName = new Map(topics.map((topic) => [deps.prefix + topic.name, topic]));
  const report = options.onError ?? ((error: Error) => deps.log.error({ error: error.message }, "a followed record is left out"));
  const tail = new Tail(
    deps,
    {
      topics: [...byName.keys()],
      partitionsOf: (name) => {
        const topic = byName.get(name);
        return topic === undefined ? 0 : deps.partitionsOf(topic);
      },
      from: options.from,
      maxWaitMs,
      onRecord: (name, partition, message) => {
        const topic = byName.get(name);
        if (topic === undefined) return undefined;
        return receive(deps.serde, topic, partition, message, options.fields?.[topic.name], {
          deliver: (record) => {
            try {
              options.onRecord(record);
            } catch (error) {
              report(error instanceof Error ? error : new Error(String(error)));
            }
          },
          bad: report,
        });
      },
    },
    () => deps.verify(topics),
  );
  return { caughtUp: tail.caughtUp, close: () => tail.close() };
}
