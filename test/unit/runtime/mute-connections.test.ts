import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";
import { until } from "../../fixtures/until.ts";

/** A broker that takes connections and never says a word, and how many of them their other end has closed. */
async function muteBroker(t: TestContext) {
  const sockets = new Set<Socket>();
  let closed = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => closed++);
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return { broker: `127.0.0.1:${typeof address === "object" ? address?.port : 0}`, opened: () => sockets.size, closed: () => closed };
}

/** Asks it once, in vain. */
async function ask(broker: string): Promise<void> {
  const kafka = new Kafka({ brokers: [broker], requestTimeout: 200, retry: { retries: 0 }, logLevel: logLevel.NOTHING });
  await assert.rejects(kafka.admin().connect(), /timed out/);
}

it("a connection that does not answer in time is given up, which kafkajs alone does not", async (t) => {
  const mute = await muteBroker(t);
  await ask(mute.broker);
  await sleep(200);
  assert.deepEqual([mute.opened(), mute.closed()], [1, 0], "kafkajs itself has been mended: our repair can go");

  const { prepareKafkajs } = await import("../../../src/runtime/codec.ts");
  prepareKafkajs();
  await ask(mute.broker);
  await until("the second connection is closed", () => mute.closed() === 1);
  assert.equal(mute.opened(), 2);
});
