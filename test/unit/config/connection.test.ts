import assert from "node:assert/strict";
import { it } from "node:test";
import { connectionConfiguration, connectionProblems } from "../../../src/config/connection.ts";
import { securityOf } from "../../../src/runtime/kafka/security.ts";

const parse = (env: Readonly<Record<string, string>>) =>
  connectionConfiguration.parse({ KAFKA_BROKERS: "a:9092,b:9092", SCHEMA_REGISTRY_URL: "http://registry:8081", ...env });

it("needs nothing but brokers and registry, and then uses plain text", () => {
  const config = parse({});
  assert.deepEqual(connectionProblems(config), []);
  assert.equal(config.HEADGATE_PREFIX, "headgate.");
  assert.equal(securityOf(config), undefined);
});

it("verifies certificates always and logs in as it is told", () => {
  const config = parse({ KAFKA_SSL: "true", KAFKA_SSL_CA: "pem", KAFKA_SASL_MECHANISM: "scram-sha-512", KAFKA_SASL_USERNAME: "u", KAFKA_SASL_PASSWORD: "p" });
  assert.deepEqual(connectionProblems(config), []);
  assert.deepEqual(securityOf(config), { ssl: { ca: "pem" }, sasl: { mechanism: "scram-sha-512", username: "u", password: "p" } });
});

it("names what is missing beside what is set", () => {
  assert.equal(connectionProblems(parse({ KAFKA_SASL_MECHANISM: "plain" })).length, 2);
  assert.match(connectionProblems(parse({ KAFKA_SASL_PASSWORD: "p" })).join(), /KAFKA_SASL_MECHANISM is not set/);
  assert.match(connectionProblems(parse({ KAFKA_SSL_CERT: "c" })).join(), /belong together/);
  assert.match(connectionProblems(parse({ KAFKA_SASL_MECHANISM: "oauthbearer", KAFKA_SASL_USERNAME: "u", KAFKA_SASL_PASSWORD: "p" })).join(), /TOKEN_URL/);
});

it("refuses addresses and prefixes that cannot be", () => {
  for (const bad of [{ KAFKA_BROKERS: "nowhere" }, { KAFKA_BROKERS: "a:1, b:2" }, { SCHEMA_REGISTRY_URL: "file:///x" }, { HEADGATE_PREFIX: "a b" }]) {
    assert.throws(() => parse(bad as unknown as Record<string, string>));
  }
});
