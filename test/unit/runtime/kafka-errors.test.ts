import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, it } from "node:test";
import { isKafka } from "../../../src/runtime/kafka/errors.ts";

type Broker = new (about: { connectionPool: object; logger: object }) => { metadata(topics: string[]): Promise<unknown> };
const KafkajsBroker = createRequire(import.meta.url)("kafkajs/src/broker") as Broker;

describe("an error while Kafka is away", () => {
  it("is known as that also where kafkajs says it by a plain one: of a broker that has not been reached", async () => {
    const broker = new KafkajsBroker({ connectionPool: {}, logger: { namespace: () => ({}) } });
    const error = await broker.metadata([]).then(
      () => null,
      (refused: unknown) => refused,
    );
    assert.equal((error as Error).name, "Error");
    assert.ok(isKafka(error));
    assert.ok(isKafka(new Error("a task failed", { cause: error })));
    assert.ok(!isKafka(new Error("the broker is not connected to what it should be")));
  });
});
