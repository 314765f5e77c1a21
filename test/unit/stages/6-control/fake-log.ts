import type { Follower, Incoming, LogClient, Outgoing, Table } from "../../../../src/runtime/port.ts";
import { steadyNowMs } from "../../../../src/runtime/steady-clock.ts";
import type { Topic, ValueOf } from "../../../../topics/index.ts";

/**
 * A log in memory with one partition count for all topics: what is appended is parsed by its topic's shape, lands in
 * tables and followers at once, and is kept for the test to look at.
 */
export class FakeLog implements LogClient {
  readonly prefix = "fake.";
  readonly appended: Outgoing[] = [];
  /** Set to make the next appends fail. */
  failure: Error | undefined;
  /** How long ago its tables were fetched last, ms. */
  silentMs = 0;
  readonly #partitions = 4;
  readonly #listeners = new Map<string, Set<(record: Incoming) => void>>();
  #offset = 0;

  put<T extends Topic>(topic: T, key: string, value: ValueOf<T> | null): void {
    this.#deliver({ topic, partition: this.partitionFor(topic, key), key, value });
  }

  partitionsOf(_topic: Topic): number {
    return this.#partitions;
  }

  /** Not murmur2: the partition only has to depend on the key. */
  partitionFor(_topic: Topic, key: string): number {
    return [...key].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0) % this.#partitions;
  }

  runRole(): never {
    throw new Error("the fake runs no roles");
  }

  openTable<T extends Topic>(topic: T): Table<ValueOf<T>> {
    const values = new Map<string, ValueOf<T>>();
    const listeners: ((key: string, value: ValueOf<T> | undefined, record: Incoming<ValueOf<T>>) => void)[] = [];
    const end = this.#listen(topic, (record) => {
      const key = record.key ?? "";
      const value = record.value as ValueOf<T> | null;
      if (value === null) values.delete(key);
      else values.set(key, value);
      for (const listener of listeners) listener(key, value ?? undefined, record as Incoming<ValueOf<T>>);
    });
    return {
      get: (key) => values.get(key),
      entries: () => values.entries(),
      get size() {
        return values.size;
      },
      onChange: (listener) => void listeners.push(listener),
      freshAtMs: () => steadyNowMs() - this.silentMs,
      ready: Promise.resolve(),
      close: async () => end(),
    };
  }

  follow(topics: readonly Topic[], options: { readonly onRecord: (record: Incoming) => void }): Follower {
    const ends = topics.map((topic) => this.#listen(topic, options.onRecord));
    return {
      caughtUp: Promise.resolve(),
      close: async () => {
        for (const end of ends) end();
      },
    };
  }

  openAppender() {
    return {
      append: async (records: readonly Outgoing[]) => {
        if (this.failure !== undefined) throw this.failure;
        for (const record of records) this.#deliver({ ...record, value: record.value === null ? null : record.topic.shape.parse(record.value) });
        this.appended.push(...records);
      },
      close: async () => {},
    };
  }

  async close(): Promise<void> {}

  #listen(topic: Topic, listener: (record: Incoming) => void): () => void {
    const listeners = this.#listeners.get(topic.name) ?? new Set();
    this.#listeners.set(topic.name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  #deliver({ topic, partition, key, value }: Outgoing): void {
    this.#offset += 1;
    const record: Incoming = { topic: topic.name, partition, offset: this.#offset, key, appendedAtMs: this.#offset, value, headers: {} };
    for (const listener of this.#listeners.get(topic.name) ?? []) listener(record);
  }
}
