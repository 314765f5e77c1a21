import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { type Kafka, logLevel } from "kafkajs";
import { pino } from "pino";
import { freePort } from "../../../src/dev/demo/processes.ts";
import { IdempotentProducer } from "../../../src/runtime/kafka/producer.ts";
import { INIT_PRODUCER_ID, METADATA, metadataOf, producerIdOf, smallBroker } from "../../fixtures/small-broker.ts";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";

const retry = { retries: 2, initialRetryTime: 10, maxRetryTime: 10 };
/** Longer than any test may take: what is tried for so long makes it fail. */
const longMs = 3_600_000;

/** Three brokers, one of which has died: the first `deadFor` times that the cluster is asked it names that one as its controller. */
async function cluster(t: TestContext, { deadFor, atInit = false }: { readonly deadFor: number; readonly atInit?: boolean }) {
  const dead = atInit ? (await smallBroker(t, { [INIT_PRODUCER_ID]: () => "close" })).broker : `127.0.0.1:${await freePort()}`;
  let asked = 0;
  let brokers: string[] = [];
  const answers = { [METADATA]: () => metadataOf(brokers, asked++ < deadFor ? 2 : 3, []), [INIT_PRODUCER_ID]: () => producerIdOf(7) };
  const [first, third] = [await smallBroker(t, answers), await smallBroker(t, answers)];
  brokers = [first.broker, dead, third.broker];
  return { brokers: [first.broker], clientId: "test", log: pino({ level: "silent" }) };
}

async function open(connection: Awaited<ReturnType<typeof cluster>>, budgetMs: number): Promise<void> {
  const producer = await IdempotentProducer.open(connection, retry, budgetMs);
  await producer.close();
}

describe("a producer that asks for its number while a broker has just died", () => {
  it("asks another broker, which kafkajs alone does not", async (t) => {
    const Alone = unrepaired<{ Kafka: typeof Kafka }>("kafkajs").Kafka;
    const { brokers } = await cluster(t, { deadFor: 3 });
    const alone = new Alone({ brokers, logLevel: logLevel.NOTHING, retry }).producer({ idempotent: true, maxInFlightRequests: 1, retry });
    await assert.rejects(alone.connect(), /ECONNREFUSED/, "kafkajs itself has been mended: our repetition can go");
    await alone.disconnect();
    await open(await cluster(t, { deadFor: 3 }), longMs);
  });

  it("asks another also when it dies while it is asked", async (t) => {
    await open(await cluster(t, { deadFor: 1, atInit: true }), longMs);
  });

  it("gives up when its time is over", async (t) => {
    await assert.rejects(open(await cluster(t, { deadFor: Number.POSITIVE_INFINITY }), 200), /ECONNREFUSED/);
  });

  it("gives a Kafka up at once of which no broker answers", async () => {
    const nobody = { brokers: [`127.0.0.1:${await freePort()}`], clientId: "test", log: pino({ level: "silent" }) };
    await assert.rejects(open(nobody, longMs), /ECONNREFUSED/);
  });
});
