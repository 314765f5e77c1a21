import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, testGateway, testUpstream, until } from "./harness.ts";

async function shielded(t: TestContext, shield = "baseline", more = "") {
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  const gateway = await testGateway(
    t,
    `
upstreams:
  one: { baseUrl: "${one.url}", ${more} }
  two: { baseUrl: "${two.url}", ${more} }
routes:
  support-answer: { shield: ${shield}, baseline: { version: a@1, upstream: one, model: model-a } }
`,
  );
  const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
  gateway.log.tables.routing.put("support-answer", tableWith({ ranges }));
  return { one, two, gateway };
}

describe("a shield", () => {
  it("answers from the baseline when the candidate fails, and records the failure as the candidate's", async (t) => {
    const { one, two, gateway } = await shielded(t);
    two.answer = (_, response) => answerJson(response, { error: { message: "broken" } }, 500);
    const response = await gateway.chat(ask());
    assert.deepEqual([response.status, await response.json()], [200, completion("hello")]);
    await until("both are recorded", () => gateway.log.calls().length === 2);
    const [failed, answered] = gateway.log.calls();
    assert.deepEqual([failed?.version, failed?.arm, failed?.status, failed?.firstErrorType, failed?.shieldedBy], ["b@2", "candidate", "error", "500", "a@1"]);
    assert.equal(failed?.requestId, response.headers.get("x-headgate-request-id"));
    assert.match(failed?.responseBody ?? "", /broken/);
    assert.deepEqual([answered?.version, answered?.arm, answered?.status, answered?.samplePpm], ["a@1", "none", "ok", 0]);
    assert.deepEqual([answered?.traceId, answered?.subject], [failed?.traceId, failed?.subject]);
    assert.equal(one.asked[0]?.body.model, "model-a");
    assert.match(await gateway.registry.metrics(), /headgate_gateway_shielded_total\{route="support-answer",version="b@2"\} 1/);
  });

  it("asks the baseline without the caller's idempotency key, which the candidate's call has used up", async (t) => {
    const { one, two, gateway } = await shielded(t);
    two.answer = (_, response) => answerJson(response, {}, 500);
    assert.equal((await gateway.chat(ask(), { headers: { "idempotency-key": "k" } })).status, 200);
    assert.deepEqual(
      [two, one].map(({ asked }) => asked[0]?.headers["idempotency-key"]),
      ["k", undefined],
    );
  });

  it("covers a stream that breaks before its first byte, and no stream of which something was shown", async (t) => {
    const { two, gateway } = await shielded(t);
    two.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      setTimeout(() => response.destroy(), 20);
    };
    assert.equal((await gateway.chat(ask("hi", { stream: true }))).status, 200);
    two.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"he"}}]}\n\n', () => response.destroy());
    };
    await assert.rejects(async () => (await gateway.chat(ask("hi", { stream: true }))).text());
    await until("all are recorded", () => gateway.log.calls().length === 3);
  });

  it("shows the baseline's own failure when that fails too", async (t) => {
    const { one, two, gateway } = await shielded(t);
    two.answer = (_, response) => answerJson(response, {}, 500);
    one.answer = (_, response) => answerJson(response, { error: { message: "no such thing" } }, 404);
    const response = await gateway.chat(ask());
    assert.deepEqual([response.status, await response.json()], [404, { error: { message: "no such thing" } }]);
    one.answer = (_, response) => void response.destroy();
    assert.equal((await gateway.chat(ask())).status, 502);
  });

  it("shares the call's total time with the candidate", async (t) => {
    const { one, two, gateway } = await shielded(t, "baseline", "timeouts: { totalMs: 600, headersMs: 400 }");
    two.answer = () => undefined;
    one.answer = () => undefined;
    const response = await gateway.chat(ask());
    assert.equal(response.status, 504);
    await until("both are recorded", () => gateway.log.calls().length === 2);
    const [failed, instead] = gateway.log.calls();
    assert.deepEqual([failed?.version, failed?.status, instead?.version, instead?.status], ["b@2", "timeout", "a@1", "timeout"]);
    assert.match(((await response.json()) as { error: { message: string } }).error.message, /did not complete the call within 600 ms/);
  });

  it("is not there unless the configuration says so", async (t) => {
    const { one, two, gateway } = await shielded(t, "none");
    two.answer = (_, response) => answerJson(response, {}, 500);
    assert.equal((await gateway.chat(ask())).status, 500);
    assert.equal(one.asked.length, 0);
  });
});
