import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { LogAppender } from "../../../src/runtime/appender.ts";
import type { RuntimeDeps } from "../../../src/runtime/deps.ts";
import { IdempotentProducer } from "../../../src/runtime/kafka/producer.ts";
import { SendUnsureError } from "../../../src/runtime/kafka/sent-once.ts";
import { runtimeMetrics } from "../../../src/runtime/metrics.ts";
import type { Outgoing } from "../../../src/runtime/port.ts";
import { commands } from "../../../topics/index.ts";

type Failure = new (message: string) => Error;
const { KafkaJSConnectionError, KafkaJSSASLAuthenticationError } = createRequire(import.meta.url)("kafkajs/src/errors") as {
  readonly KafkaJSConnectionError: Failure;
  readonly KafkaJSSASLAuthenticationError: Failure;
};

/** An appender whose producers come to this one after another: `open` fails with an error, or what it opened fails to send with one, or it sends. */
function appender(t: TestContext, producers: readonly ({ readonly open: Error } | { readonly send: Error } | "sends")[]) {
  let opened = 0;
  t.mock.method(IdempotentProducer, "open", async () => {
    const next = producers[opened++] ?? "sends";
    if (next !== "sends" && "open" in next) throw next.open;
    const send = async () => {
      if (next !== "sends") throw next.send;
    };
    return { isDead: false, send, kill: () => undefined, close: async () => undefined };
  });
  const deps = {
    prefix: "p.",
    log: pino({ level: "silent" }),
    metrics: runtimeMetrics(),
    serde: { prepare: async () => undefined, encode: () => Buffer.from("value") },
    verify: async () => undefined,
  } as unknown as RuntimeDeps;
  const record = { topic: commands, partition: 0, key: "chat", value: {} } as unknown as Outgoing;
  return { append: () => new LogAppender(deps, { retryBudgetMs: 5_000 }).append([record]), opened: () => opened };
}

const moved = { send: new SendUnsureError("a leader moved") };

describe("an append under which a leader moved", () => {
  it("is sent again, also where the broker that goes is the one that a new producer asks for its number", async (t) => {
    const { append, opened } = appender(t, [moved, { open: new KafkaJSConnectionError("connect ECONNREFUSED") }, "sends"]);
    await append();
    assert.equal(opened(), 3);
  });

  it("fails at once where the new producer is refused", async (t) => {
    const { append, opened } = appender(t, [moved, { open: new KafkaJSSASLAuthenticationError("wrong password") }]);
    await assert.rejects(append(), /wrong password/);
    assert.equal(opened(), 2);
  });

  it("fails at once where there was nothing to send again: Kafka is away", async (t) => {
    const { append, opened } = appender(t, [{ open: new KafkaJSConnectionError("connect ECONNREFUSED") }]);
    await assert.rejects(append(), /ECONNREFUSED/);
    assert.equal(opened(), 1);
  });
});
