import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";
import { muteBroker } from "../../fixtures/mute-broker.ts";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";
import { until } from "../../fixtures/until.ts";

/** Asks it once, in vain. */
async function ask(broker: string, Client = Kafka): Promise<void> {
  const kafka = new Client({ brokers: [broker], requestTimeout: 200, retry: { retries: 0 }, logLevel: logLevel.NOTHING });
  await assert.rejects(kafka.admin().connect(), /timed out/);
}

it("a connection that does not answer in time is given up, which kafkajs alone does not", async (t) => {
  const mute = await muteBroker(t);
  await ask(mute.broker, unrepaired<{ Kafka: typeof Kafka }>("kafkajs").Kafka);
  await sleep(200);
  assert.deepEqual([mute.opened(), mute.closed()], [1, 0], "kafkajs itself has been mended: our repair can go");

  const { prepareKafkajs } = await import("../../../src/runtime/codec.ts");
  prepareKafkajs();
  await ask(mute.broker);
  await until("the second connection is closed", () => mute.closed() === 1);
  assert.equal(mute.opened(), 2);
});
