import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { type FetchedRecord, markAborted } from "../../../src/runtime/kafka/aborted-records.ts";

const marker = (type: 0 | 1) => Buffer.from([0, 0, 0, type]);
interface Step {
  readonly producer: number;
  readonly action: "write" | "commit" | "abort" | "plain";
}

type Logged = FetchedRecord & { fate: "kept" | "aborted" | "marker" | "open" };

/** A log as a broker would write it, and what it would list as aborted: in order of completion. */
class Log {
  readonly records: Logged[] = [];
  readonly aborted: { producerId: string; firstOffset: string; endsAt: number }[] = [];
  readonly #open = new Map<number, Logged[]>();

  write(producer: number, inTransaction: boolean): void {
    // The key is one that kafkajs takes for an abort marker.
    const record = this.#append(producer, Buffer.from([0, 0, 0, 0]), inTransaction, inTransaction ? "open" : "kept");
    if (inTransaction) this.#open.set(producer, [...(this.#open.get(producer) ?? []), record]);
  }

  end(producer: number, fate: "kept" | "aborted"): void {
    const written = this.#open.get(producer);
    if (written === undefined) return;
    this.#open.delete(producer);
    for (const record of written) record.fate = fate;
    const { offset } = this.#append(producer, marker(fate === "aborted" ? 0 : 1), true, "marker");
    if (fate === "aborted") this.aborted.push({ producerId: String(producer), firstOffset: written[0]?.offset ?? "", endsAt: Number(offset) });
  }

  /** A read-committed fetch ends before the first record of a transaction that is still open. */
  stable(): Logged[] {
    const firstOpen = this.records.findIndex(({ fate }) => fate === "open");
    return firstOpen < 0 ? this.records : this.records.slice(0, firstOpen);
  }

  #append(producer: number, key: Buffer, inTransaction: boolean, fate: Logged["fate"]): Logged {
    const batchContext = { producerId: String(producer), inTransaction };
    const record = { offset: String(this.records.length), key, isControlRecord: fate === "marker", batchContext, fate };
    this.records.push(record);
    return record;
  }
}

function logOf(steps: readonly Step[]): Log {
  const log = new Log();
  for (const { producer, action } of steps) {
    if (action === "write" || action === "plain") log.write(producer, action === "write");
    else log.end(producer, action === "abort" ? "aborted" : "kept");
  }
  return log;
}

it("leaves out exactly the records of aborted transactions, however they overlap and wherever a fetch begins", () => {
  // A producer writes with transactions or without; one and the same does not do both.
  const step = fc.oneof(
    fc.record({ producer: fc.nat({ max: 3 }), action: fc.constantFrom("write" as const, "write" as const, "commit" as const, "abort" as const) }),
    fc.record({ producer: fc.constant(9), action: fc.constant("plain" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat({ max: 60 }), (steps, from) => {
      const log = logOf(steps);
      const { aborted } = log;
      const fetched = log.stable().slice(from);
      markAborted(
        fetched,
        aborted.filter(({ endsAt }) => endsAt >= from),
      );
      const visible = fetched.filter((record) => !record.isControlRecord).map(({ offset }) => offset);
      const kept = fetched.filter(({ fate }) => fate === "kept").map(({ offset }) => offset);
      assert.deepEqual(visible, kept);
    }),
    { numRuns: 500 },
  );
});
