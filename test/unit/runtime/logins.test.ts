import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { it, type TestContext } from "node:test";
import { Kafka, logLevel } from "kafkajs";
import { pino } from "pino";
import { connectionConfiguration } from "../../../src/config/connection.ts";
import { prepareKafkajs } from "../../../src/runtime/codec.ts";
import { openClient } from "../../../src/runtime/kafka/client.ts";
import { isKafka, isRefused, reasonOf } from "../../../src/runtime/kafka/errors.ts";
import { securityOf } from "../../../src/runtime/kafka/security.ts";
import { API_VERSIONS, loginOf, METADATA, mechanismOf, metadataOf, SASL_AUTHENTICATE, SASL_HANDSHAKE, smallBroker } from "../../fixtures/small-broker.ts";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";

/** A broker that says this to every password: that it is right (0), an error by its number, or nothing. */
function brokerThat(t: TestContext, says: number | "close" | null) {
  return smallBroker(t, {
    [METADATA]: () => metadataOf([], 1, []),
    [SASL_HANDSHAKE]: () => mechanismOf("PLAIN"),
    [SASL_AUTHENTICATE]: () => (typeof says === "number" ? loginOf(says) : says),
  });
}

/** What connecting to these brokers ends with; undefined: it succeeds. */
async function endOf(Client: typeof Kafka, brokers: readonly { readonly broker: string }[]): Promise<unknown> {
  const kafka = new Client({
    brokers: brokers.map(({ broker }) => broker),
    sasl: { mechanism: "plain", username: "u", password: "p" },
    requestTimeout: 200,
    retry: { retries: 2, initialRetryTime: 10, maxRetryTime: 10 },
    logLevel: logLevel.NOTHING,
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await admin.disconnect();
  }
}

const REFUSED = 58;

/** What logging in comes to with a token endpoint that answers so; null: it closes the connection. */
async function withTokensOf(t: TestContext, answer: { readonly status: number; readonly body: string } | null): Promise<unknown> {
  const endpoint = createServer((request, response) => {
    if (answer === null) request.socket.destroy();
    else response.writeHead(answer.status).end(answer.body);
  }).listen(0, "127.0.0.1");
  await once(endpoint, "listening");
  t.after(() => endpoint.close());
  const url = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}`;
  const names = { KAFKA_SASL_MECHANISM: "oauthbearer", KAFKA_SASL_USERNAME: "id", KAFKA_SASL_PASSWORD: "secret", KAFKA_SASL_TOKEN_URL: url };
  const config = connectionConfiguration.parse({ KAFKA_BROKERS: "b:1", SCHEMA_REGISTRY_URL: "http://r", ...names });
  const { broker } = await smallBroker(t, {
    [METADATA]: () => metadataOf([], 1, []),
    [SASL_HANDSHAKE]: () => mechanismOf("OAUTHBEARER"),
    [SASL_AUTHENTICATE]: () => loginOf(0),
  });
  const connection = { brokers: [broker], clientId: "test", log: pino({ level: "silent" }), security: securityOf(config) };
  const client = openClient(connection, { retries: 2, initialRetryTime: 10, maxRetryTime: 10 });
  const admin = client.kafka.admin();
  try {
    return await admin.connect();
  } catch (error) {
    return error;
  } finally {
    await admin.disconnect();
    client.kill();
  }
}

for (const [what, says] of [
  ["closes the connection", "close"],
  ["says nothing", null],
] as const) {
  it(`a broker that ${what} during a login has refused nobody, as kafkajs says: the next is asked`, async (t) => {
    const alone = unrepaired<{ Kafka: typeof Kafka }>("kafkajs").Kafka;
    const brokers = [await brokerThat(t, says), await brokerThat(t, 0)];
    assert.ok(isRefused(await endOf(alone, brokers)), "kafkajs itself has been mended: our repair can go");
    prepareKafkajs();
    assert.equal(await endOf(Kafka, brokers), undefined);
    const end = await endOf(Kafka, brokers.slice(0, 1));
    assert.ok(end instanceof Error && !isRefused(end), String(end));
  });
}

it("a broker that does not know the password has refused it", async (t) => {
  prepareKafkajs();
  assert.ok(isRefused(await endOf(Kafka, [await brokerThat(t, REFUSED)])));
});

/** As long as kafkajs wants to log in again before a login ends, so that it does with each request. */
const ALWAYS_DUE_MS = 10_000;

it("a login that has ended is renewed by logging in, which is all that brokers take then: whoever asks something else first loses the connection", async (t) => {
  prepareKafkajs();
  const broker = await smallBroker(t, {
    [METADATA]: () => metadataOf([broker.broker], 1, []),
    [SASL_HANDSHAKE]: () => mechanismOf("PLAIN"),
    [SASL_AUTHENTICATE]: () => loginOf(0, ALWAYS_DUE_MS),
  });
  const kafka = new Kafka({ brokers: [broker.broker], sasl: { mechanism: "plain", username: "u", password: "p" }, logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  for (let i = 0; i < 2; i++) await admin.listTopics();
  await admin.disconnect();
  assert.ok(broker.asked().filter((key) => key === SASL_HANDSHAKE).length > 2);
  assert.deepEqual([broker.opened(), broker.asked().filter((key) => key === API_VERSIONS).length], [1, 1]);
});

it("a token endpoint that does not answer is an outage, one that refuses the client is not", async (t) => {
  assert.equal(await withTokensOf(t, { status: 200, body: '{"access_token":"t"}' }), undefined);
  for (const answer of [null, { status: 503, body: "" }, { status: 200, body: "<p>Welcome" }]) {
    const error = await withTokensOf(t, answer);
    assert.ok(isKafka(error) && !isRefused(error), String(error));
    assert.match(reasonOf(error), /token endpoint|closed|hang up/);
  }
  for (const status of [400, 401, 403]) assert.ok(isRefused(await withTokensOf(t, { status, body: "{}" })), String(status));
});
