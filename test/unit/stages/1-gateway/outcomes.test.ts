import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { encodeToken, type TokenCall } from "../../../../src/domain/outcomes/token.ts";
import { SealedTokens } from "../../../../src/runtime/sealed-tokens.ts";
import type { Outcome } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { ask, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const tokens = new SealedTokens(["a key of tests, 32 letters or so"]);
const dayMs = 86_400_000;
const call = (changes: Partial<TokenCall> = {}): TokenCall => ({
  requestId: "0195f3a0-7c1e-7abc-8def-0123456789ab",
  subject: "ab".repeat(16),
  route: "support-answer",
  rollout: "r",
  attempt: 1,
  step: 0,
  epoch: 5,
  arm: "candidate",
  version: "b@2",
  exposure: "served",
  slices: [],
  startedAtMs: Date.now(),
  paneMs: 60_000,
  ...changes,
});
const token = (changes: Partial<TokenCall> = {}) => tokens.seal(encodeToken(call(changes)));

async function gatewayFor(t: TestContext): Promise<TestGateway> {
  return testGateway(t, fileFor(await testUpstream(t)), { tokens });
}
const post = (gateway: TestGateway, body: unknown) =>
  fetch(`${gateway.url}/v1/outcomes`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
const written = (gateway: TestGateway) => gateway.log.appended.flatMap(({ topic, value }) => (topic.name === "outcomes" ? [value as Outcome] : []));

async function errorOf(response: Response) {
  const { error } = (await response.json()) as { error: { message: string; param: string | null; code: string } };
  return { status: response.status, ...error };
}

describe("POST /v1/outcomes", () => {
  it("writes what became of a call, by the token of its answer", async (t) => {
    const gateway = await gatewayFor(t);
    const outcomes = [{ signal: "task_completion", form: "binary" as const, maturityMs: null }];
    gateway.log.tables.routing.put("support-answer", tableWith({ outcomes }));
    const answer = await gateway.chat(ask());
    await answer.text();
    const given = answer.headers.get("x-headgate-outcome-token");
    const response = await post(gateway, { token: given, signal: "task_completion", value: true, id: "order-17", source: "crm" });
    assert.equal(response.status, 202);
    assert.deepEqual(await response.json(), { accepted: 1, notCounted: [] });
    const [record] = written(gateway);
    assert.deepEqual({ ...record, occurredAtMs: 0 }, { id: "order-17", token: given, signal: "task_completion", value: 1, occurredAtMs: 0, source: "crm" });
  });

  it("takes many at once, equal tokens into one partition, and names signals that the route does not count", async (t) => {
    const gateway = await gatewayFor(t);
    const mine = token();
    const outcomes = [0.25, false, 1].map((value, i) => ({ token: mine, signal: `signal-${i}`, value }));
    const response = await post(gateway, { outcomes });
    assert.equal(response.status, 202);
    assert.deepEqual(await response.json(), { accepted: 3, notCounted: ["signal-0", "signal-1", "signal-2"] });
    assert.deepEqual(
      written(gateway).map(({ value, id, source }) => [value, id, source]),
      [0.25, 0, 1].map((value) => [value, "", "api"]),
    );
    const appended = gateway.log.appended.filter(({ topic }) => topic.name === "outcomes");
    assert.equal(new Set(appended.map(({ partition, key }) => `${partition} ${key}`)).size, 1);
  });

  it("writes a call's outcome of a signal once, however often it is sent, and again when the first was not acknowledged", async (t) => {
    const gateway = await gatewayFor(t);
    const mine = token();
    const outcome = (value: number) => ({ token: mine, signal: "s", value });
    gateway.log.beforeAppend = async (records) => {
      if (records.some(({ topic }) => topic.name === "outcomes")) throw new Error("Kafka is away");
    };
    assert.equal((await post(gateway, outcome(1))).status, 503);
    gateway.log.beforeAppend = async () => undefined;
    for (let i = 0; i < 3; i++) assert.equal((await post(gateway, { outcomes: [outcome(1), outcome(0)] })).status, 202);
    assert.deepEqual(
      written(gateway).map(({ value }) => value),
      [1],
    );
    await post(gateway, { ...outcome(0), signal: "another" });
    assert.equal(written(gateway).length, 2);
  });

  it("handles so many requests at once and no more", async (t) => {
    const gateway = await gatewayFor(t);
    const answers = Promise.withResolvers<void>();
    gateway.log.beforeAppend = async (records) => {
      if (records.some(({ topic }) => topic.name === "outcomes")) await answers.promise;
    };
    const all = Array.from({ length: 80 }, (_, i) => post(gateway, { token: token(), signal: `s${i}`, value: 1 }));
    const refused: Response[] = [];
    for (const each of all) void each.then((response) => response.status === 503 && refused.push(response));
    await until("all that are too many are answered", () => refused.length === 16);
    assert.notEqual(refused[0]?.headers.get("retry-after"), null);
    answers.resolve();
    const statuses = (await Promise.all(all)).map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 503).length, 16);
    assert.equal(statuses.filter((status) => status === 202).length, 64);
  });

  it("answers what is being written when the gateway stops", async (t) => {
    const gateway = await gatewayFor(t);
    const [asked, acknowledged] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    gateway.log.beforeAppend = async (records) => {
      if (!records.some(({ topic }) => topic.name === "outcomes")) return;
      asked.resolve();
      await acknowledged.promise;
    };
    const answer = post(gateway, { token: token(), signal: "s", value: 1 });
    await asked.promise;
    const stopped = gateway.stop();
    // As long as a stop takes that waits for nothing.
    await new Promise((resolve) => setTimeout(resolve, 300));
    acknowledged.resolve();
    assert.equal((await answer).status, 202);
    await stopped;
  });

  it("refuses tokens that are forged, foreign, expired or none, naming the field, and then takes nothing of the request", async (t) => {
    const gateway = await gatewayFor(t);
    const good = token();
    const forged = `${good.slice(0, -4)}${good.endsWith("AAAA") ? "BBBB" : "AAAA"}`;
    const foreign = new SealedTokens(["another secret key, 32 letters.."]).seal(encodeToken(call()));
    const cases: [string, RegExp][] = [
      [forged, /^token was cut, changed or forged/],
      [foreign, /^token was sealed under a key that is not known here/],
      [token({ startedAtMs: Date.now() - 7 * dayMs - 1_000 }), /^token has expired: outcomes are taken for 7 days/],
      ["someone@example.com", /^token is not an outcome token/],
      [Buffer.from([1, ...Buffer.from(good, "base64url").subarray(1)]).toString("base64url"), /^token was sealed by another version of headgate/],
    ];
    for (const [wrong, message] of cases) {
      const error = await errorOf(await post(gateway, { token: wrong, signal: "s", value: 1 }));
      assert.deepEqual([error.status, error.code, error.param], [400, "invalid_body", "token"]);
      assert.match(error.message, message);
      assert.ok(!error.message.includes(wrong));
    }
    const outcomes = [good, forged].map((each) => ({ token: each, signal: "s", value: 1 }));
    assert.equal((await errorOf(await post(gateway, { outcomes }))).param, "outcomes[1].token");
    assert.deepEqual(written(gateway), []);
  });

  it("names what is wrong in a body, and what to write instead", async (t) => {
    const gateway = await gatewayFor(t);
    const good = { token: token(), signal: "s", value: 1 };
    const cases: [unknown, string | null, RegExp][] = [
      [{ ...good, value: 4 }, "value", /^value .*0 \(worst\) to 1 \(best\)/],
      [{ ...good, signal: undefined }, "signal", /^signal .*name of the signal/],
      [{ ...good, vale: 1 }, "vale", /^vale .*value/],
      [{ outcomes: [good, { ...good, value: "yes" }] }, "outcomes[1].value", /^outcomes\[1\]\.value /],
      [{ outcomes: [] }, "outcomes", /^outcomes /],
      [[good], null, /^the body /],
    ];
    for (const [body, param, message] of cases) {
      const error = await errorOf(await post(gateway, body));
      assert.deepEqual([error.status, error.param], [400, param], error.message);
      assert.match(error.message, message);
    }
    assert.equal((await errorOf(await post(gateway, "{"))).code, "invalid_json");
    assert.equal((await fetch(`${gateway.url}/v1/outcomes`)).status, 405);
  });

  it("asks to send it again when Kafka did not acknowledge, and says when outcomes are off", async (t) => {
    const gateway = await gatewayFor(t);
    gateway.log.beforeAppend = async (records) => {
      if (records.some(({ topic }) => topic.name === "outcomes")) throw new Error("no acknowledgement");
    };
    const unwritten = await post(gateway, { token: token(), signal: "s", value: 1 });
    assert.equal(unwritten.headers.get("retry-after"), "1");
    assert.deepEqual([unwritten.status, (await errorOf(unwritten)).code], [503, "outcomes_not_written"]);
    const off = await testGateway(t, fileFor(await testUpstream(t)));
    assert.deepEqual((await errorOf(await post(off, { token: token(), signal: "s", value: 1 }))).code, "outcomes_off");
  });
});
