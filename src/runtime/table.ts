import type { Topic, ValueOf } from "../../topics/index.ts";
import { markAppended } from "./append-time.ts";
import { receive } from "./decoding.ts";
import type { RuntimeDeps } from "./deps.ts";
import { Tail } from "./kafka/tail.ts";
import type { Incoming, Table } from "./port.ts";
import { steadyNowMs } from "./steady-clock.ts";

/**
 * A broker answers a fetch as soon as a transaction is committed, so that waiting for longer delays no change: 500 changes of routing were obeyed as fast with 500 ms as with
 * 50 ms. What is asked for in vain costs processor time here and there, ten times as much with 50 ms; but closing waits for the fetch that is under way.
 */
const maxWaitMs = 250;

/**
 * A compacted topic in memory: newest value per key, restored before `ready`, followed from then on, kept through
 * outages. Keyless and undecodable records are left out, and logged.
 */
export function openTable<T extends Topic>(deps: RuntimeDeps, topic: T, options: { readonly fields?: readonly string[] } = {}): Table<ValueOf<T>> {
  type V = ValueOf<T>;
  const values = new Map<string, V>();
  const listeners: ((key: string, value: V | undefined, record: Incoming<V>) => void)[] = [];
  const name = deps.prefix + topic.name;

  const deliver = (record: Incoming): void => {
    const { key } = record;
    if (key === null) {
      deps.log.warn({ topic: name, offset: record.offset }, "a table's record without a key is left out");
      return;
    }
    const value = record.value === null ? undefined : (record.value as V);
    if (value === undefined) values.delete(key);
    else {
      values.set(key, value);
      markAppended(value as object, record.appendedAtMs);
    }
    for (const listener of listeners) {
      try {
        listener(key, value, record as Incoming<V>);
      } catch (error) {
        deps.log.error({ err: error, topic: name, offset: record.offset }, "a table's listener failed");
      }
    }
  };
  const bad = (error: Error, _topic: string, partition: number, offset: number): void => {
    deps.log.error({ topic: name, partition, offset, error: error.message }, "a table's record cannot be read and is left out");
  };

  const tail = new Tail(
    deps,
    {
      topics: [name],
      partitionsOf: () => deps.partitionsOf(topic),
      from: "beginning",
      maxWaitMs,
      onRecord: (_name, partition, message) => receive(deps.serde, topic, partition, message, options.fields, { deliver, bad }),
    },
    () => deps.verify([topic]),
  );
  const age = setInterval(() => {
    const freshAtMs = tail.freshAtMs();
    if (freshAtMs > 0) deps.metrics.tableAgeSeconds.set({ topic: topic.name }, (steadyNowMs() - freshAtMs) / 1000);
  }, 1_000);
  age.unref();

  return {
    get: (key) => values.get(key),
    entries: () => values.entries(),
    get size() {
      return values.size;
    },
    onChange: (listener) => {
      listeners.push(listener);
    },
    freshAtMs: () => tail.freshAtMs(),
    ready: tail.caughtUp,
    close: async () => {
      clearInterval(age);
      await tail.close();
    },
  };
}
