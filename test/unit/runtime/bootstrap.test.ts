import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { it, type TestContext } from "node:test";
import { Kafka, logLevel } from "kafkajs";
import { prepareKafkajs } from "../../../src/runtime/codec.ts";
import { muteBroker } from "../../fixtures/mute-broker.ts";
import { API_VERSIONS, CREATE_TOPICS, int16, int32, METADATA, metadataOf, smallBroker } from "../../fixtures/small-broker.ts";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";
import { until } from "../../fixtures/until.ts";

/** Takes connections and closes them, as a balancer does whose broker is gone. */
async function closes(t: TestContext) {
  let opened = 0;
  const server = net.createServer((socket) => {
    opened++;
    socket.on("error", () => undefined);
    socket.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { broker: `127.0.0.1:${(server.address() as net.AddressInfo).port}`, opened: () => opened };
}

/** Says what it can do (no version of anything but Metadata 0), once, and dies: from then on what stands before it closes its connections. */
async function dies(t: TestContext) {
  let isDead = false;
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    if (isDead) socket.end();
    socket.once("data", (request) => {
      const correlation = request.readInt32BE(8);
      const answer = Buffer.alloc(24);
      answer.writeInt32BE(20, 0);
      answer.writeInt32BE(correlation, 4);
      answer.writeInt32BE(1, 10);
      answer.writeInt16BE(3, 14);
      socket.write(answer);
      socket.once("data", () => socket.end());
      isDead = true;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

/** How often the second of a list is asked when the first is like this. */
async function asked(t: TestContext, first: string, Client: typeof Kafka): Promise<number> {
  const second = await closes(t);
  const kafka = new Client({
    brokers: [first, second.broker],
    requestTimeout: 200,
    retry: { retries: 2, initialRetryTime: 10, maxRetryTime: 10 },
    logLevel: logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect().catch(() => undefined); // alone it believes to be connected to one that has said nothing
  for (let i = 0; i < 2; i++) await admin.listTopics().catch(() => undefined);
  await admin.disconnect().catch(() => undefined);
  return second.opened();
}

it("asks the next broker of the list when one closes connections or is silent, which kafkajs alone does not", async (t) => {
  const alone = unrepaired<{ Kafka: typeof Kafka }>("kafkajs").Kafka;
  assert.equal(await asked(t, (await closes(t)).broker, alone), 0, "kafkajs itself has been mended: our repair can go");
  assert.equal(await asked(t, (await muteBroker(t)).broker, alone), 0, "kafkajs itself has been mended: our repair can go");
  prepareKafkajs();
  assert.ok((await asked(t, (await closes(t)).broker, Kafka)) > 0);
  assert.ok((await asked(t, (await muteBroker(t)).broker, Kafka)) > 0);
});

it("asks the next broker of the list when one has died that it had talked to and something still takes connections for it, which kafkajs alone does not", async (t) => {
  const alone = unrepaired<{ Kafka: typeof Kafka }>("kafkajs").Kafka;
  assert.equal(await asked(t, await dies(t), alone), 0, "kafkajs itself has been mended: our repair can go");
  prepareKafkajs();
  assert.ok((await asked(t, await dies(t), Kafka)) > 0);
});

it("nobody asks a broker anything while it is not known yet what it can do", async (t) => {
  prepareKafkajs();
  const gate = Promise.withResolvers<null>();
  let brokers: string[] = [];
  let asked = 0;
  const waited = () => {
    asked++;
    return gate.promise;
  };
  const metadata = { [METADATA]: () => metadataOf(brokers, 2, []) };
  const created = Buffer.concat([int32(1), int16(1), Buffer.from("t"), int16(0)]);
  const [first, second] = [await smallBroker(t, metadata), await smallBroker(t, { ...metadata, [CREATE_TOPICS]: () => created, [API_VERSIONS]: waited })];
  brokers = [first.broker, second.broker];
  const admin = new Kafka({ brokers: [first.broker], retry: { retries: 0 }, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  // That is the controller's to answer.
  const create = () => admin.createTopics({ topics: [{ topic: "t" }], waitForLeaders: false });
  const early = create();
  await until("the controller is asked what it can do", () => asked > 0);
  const late = create();
  await new Promise((resolve) => setTimeout(resolve, 50));
  gate.resolve(null);
  assert.deepEqual([await early, await late], [true, true]);
  assert.equal(second.opened(), 1);
  await admin.disconnect();
});
