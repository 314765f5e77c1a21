import assert from "node:assert/strict";
import { createServer } from "node:http";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { RetryBudget } from "../../../../src/stages/1-gateway/call/retry-budget.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { type Answer, answerJson, ask, completion, type TestGateway, type TestUpstream, testGateway, testUpstream, until } from "./harness.ts";

const fileWith = (one: TestUpstream, two: TestUpstream, retries: string, shield = "none") => `
upstreams:
  one: { baseUrl: "${one.url}", retries: ${retries} }
  two: { baseUrl: "${two.url}", retries: ${retries} }
routes:
  support-answer: { shield: ${shield}, baseline: { version: a@1, upstream: one, model: model-a } }
`;
const everything = '{ max: 2, on: [connect, reset, "429", "5xx"], floorPerSecond: 10, maxWaitMs: 50 }';
const overloaded: Answer = (_, response) => answerJson(response, { error: { message: "overloaded", code: "overloaded" } }, 503);
const everybodyOnCandidate = (epoch = 7) =>
  tableWith({ epoch, ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 }) });

/** Answers as listed, one after the other, then as usual. */
function inTurn(upstream: TestUpstream, ...answers: Answer[]): void {
  const usual = upstream.answer;
  upstream.answer = (asked, response, request) => (answers.shift() ?? usual)(asked, response, request);
}

async function setUp(t: TestContext, retries: string, shield = "none") {
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  two.answer = (_, response) => answerJson(response, completion("from b"));
  return { one, two, gateway: await testGateway(t, fileWith(one, two, retries, shield)) };
}
const recordsOf = async (gateway: TestGateway, count = 1) => {
  await until("the calls are recorded", () => gateway.log.calls().length === count);
  return gateway.log.calls();
};

describe("retries", () => {
  it("repeat a failed attempt of the same version; the caller sees the answer, the record counts once and tells the failure", async (t) => {
    const { one, gateway } = await setUp(t, everything);
    inTurn(one, overloaded, (_, response) => answerJson(response, { error: {} }, 429));
    const response = await gateway.chat(ask());
    assert.deepEqual([response.status, await response.json()], [200, completion("hello")]);
    const [record] = await recordsOf(gateway);
    assert.deepEqual([record?.status, record?.attempts, record?.firstErrorType, record?.httpStatus], ["ok", 3, "503", 200]);
    assert.equal(one.asked.length, 3);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_retries_total\{route="support-answer",version="a@1"\} 2/);
  });

  it("end at their limit with the last failure as the upstream told it", async (t) => {
    const { one, gateway } = await setUp(t, everything);
    one.answer = overloaded;
    const response = await gateway.chat(ask());
    assert.deepEqual([response.status, await response.json()], [503, { error: { message: "overloaded", code: "overloaded" } }]);
    const [record] = await recordsOf(gateway);
    assert.deepEqual([record?.status, record?.attempts, record?.firstErrorType, record?.errorType], ["error", 3, "503", "503"]);
  });

  it("hold nothing of a caller that leaves in the pause before one, however the failure came", async (t) => {
    const { one, gateway } = await setUp(t, '{ max: 2, on: ["5xx"], floorPerSecond: 10, maxWaitMs: 5000 }');
    const { promise: told, resolve: tell } = Promise.withResolvers<void>();
    one.answer = (_, response) => {
      response.writeHead(500, { "content-type": "application/json", "retry-after": "4" });
      // In two pieces: what is held of it is written piece by piece to whoever is there.
      response.write('{"error":{"message":"a');
      setTimeout(() => response.end('b"}}', tell), 20);
    };
    const leaving = new AbortController();
    const left = gateway.chat(ask(), { signal: leaving.signal }).catch(() => "left");
    await told;
    leaving.abort();
    assert.equal(await left, "left");
    const [record] = await recordsOf(gateway);
    assert.equal(record?.attempts, 1);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_in_flight 0\n/);
  });

  it("are by default not made once the upstream may have read the call: it can have done what it was asked for", async (t) => {
    const { one, gateway } = await setUp(t, "{}");
    inTurn(one, (_, response) => void response.destroy());
    assert.equal((await gateway.chat(ask())).status, 502);
    inTurn(one, overloaded);
    assert.equal((await gateway.chat(ask())).status, 503);
    const records = await recordsOf(gateway, 2);
    assert.deepEqual(
      records.map(({ attempts, errorType }) => [attempts, errorType]),
      [
        [1, "UND_ERR_SOCKET"],
        [1, "503"],
      ],
    );
    assert.equal(one.asked.length, 2);
  });

  it("are made of a connection that broke before an answer, where `reset` says so, and of none that could not be made", async (t) => {
    const { one, gateway } = await setUp(t, "{ on: [reset] }");
    inTurn(one, (_, response) => void response.destroy(), overloaded);
    assert.equal((await gateway.chat(ask())).status, 503);
    const [record] = await recordsOf(gateway);
    assert.deepEqual([record?.attempts, record?.firstErrorType, record?.errorType], [2, "UND_ERR_SOCKET", "503"]);
    const nobody = { ...one, url: "http://127.0.0.1:1/v1" };
    for (const [on, attempts] of [
      ["reset", 1],
      ["connect", 2],
    ] as const) {
      const away = await testGateway(t, fileWith(nobody, one, `{ on: [${on}], maxWaitMs: 10 }`));
      assert.equal((await away.chat(ask())).status, 502);
      assert.equal((await recordsOf(away))[0]?.attempts, attempts);
    }
  });

  it("wait as long as the upstream asks, and are not made when that is too long or it says no", async (t) => {
    const { one, gateway } = await setUp(t, everything);
    const limited =
      (headers: Record<string, string>): Answer =>
      (_, response) => {
        response.writeHead(429, { "content-type": "application/json", ...headers });
        response.end("{}");
      };
    inTurn(one, limited({ "retry-after": "9" }));
    assert.equal((await gateway.chat(ask())).status, 429);
    inTurn(one, limited({ "x-should-retry": "false" }));
    assert.equal((await gateway.chat(ask())).status, 429);
    inTurn(one, limited({ "retry-after-ms": "20" }));
    const beganAt = performance.now();
    assert.equal((await gateway.chat(ask())).status, 200);
    assert.ok(performance.now() - beganAt >= 19);
    assert.equal(one.asked.length, 4);
  });

  it("are not made once the caller has seen a byte, nor for what the caller did wrong", async (t) => {
    const { one, gateway } = await setUp(t, everything);
    one.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"he"}}]}\n\n', () => response.destroy());
    };
    await assert.rejects(async () => (await gateway.chat(ask("hi", { stream: true }))).text());
    one.answer = (_, response) => answerJson(response, { error: {} }, 400);
    assert.equal((await gateway.chat(ask())).status, 400);
    assert.equal(one.asked.length, 2);
  });

  it("repeat a stream that broke before its first byte", async (t) => {
    const { one, gateway } = await setUp(t, everything);
    inTurn(one, (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      setTimeout(() => response.destroy(), 20);
    });
    assert.equal((await gateway.chat(ask())).status, 200);
    assert.equal((await recordsOf(gateway))[0]?.attempts, 2);
  });

  it("reach a server that comes back", async (t) => {
    const one = await testUpstream(t);
    const server = createServer((request, response) => {
      request.resume();
      answerJson(response, completion("back"));
    });
    // Not one that the system gives out, or a connection of another test could have it by then.
    const port = 20_000 + (process.pid % 10_000);
    const away = { ...one, url: `http://127.0.0.1:${port}/v1` };
    const late = await testGateway(t, fileWith(away, one, "{ max: 10, on: [connect], floorPerSecond: 100, maxWaitMs: 400 }"));
    const answered = late.chat(ask());
    server.listen(port, "127.0.0.1");
    t.after(() => server.close());
    assert.equal((await answered).status, 200);
  });

  it("are not made by a version that may not serve the call any more", async (t) => {
    const { one, two, gateway } = await setUp(t, '{ max: 5, on: ["5xx"], floorPerSecond: 10, maxWaitMs: 5000 }');
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    two.answer = (_, response) => {
      gateway.log.tables.routing.put("support-answer", tableWith({ epoch: 8, ranges: [{ arm: "none", version: "a@1", from: 0, to: 10_000 }] }));
      response.writeHead(503, { "retry-after-ms": "10" });
      response.end();
    };
    const response = await gateway.chat(ask());
    await response.text();
    assert.deepEqual([response.status, two.asked.length, one.asked.length], [503, 1, 0]);
  });
});

describe("the budget of retries", () => {
  it("bounds them to a share of the calls and the floor, whatever happens", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ afterMs: fc.nat(500), calls: fc.nat(5), retries: fc.nat(8) }), { maxLength: 200 }), (steps) => {
        let nowMs = 0;
        const budget = new RetryBudget({ budgetPercent: 10, floorPerSecond: 2 }, () => nowMs);
        let [calls, granted] = [0, 0];
        for (const step of steps) {
          nowMs += step.afterMs;
          for (let i = 0; i < step.calls; i++, calls++) budget.deposit();
          for (let i = 0; i < step.retries; i++) if (budget.withdraw()) granted++;
          assert.ok(granted <= calls * 0.1 + 2 * 10 + (nowMs / 1000) * 2 + 1e-6);
        }
      }),
    );
  });

  it("of less than one retry in ten seconds saves up for one", () => {
    let nowMs = 0;
    const budget = new RetryBudget({ budgetPercent: 0, floorPerSecond: 0.05 }, () => nowMs);
    const granted = [budget.withdraw(), budget.withdraw()];
    for (let i = 0; i < 20; i++) {
      nowMs += 1_000;
      granted.push(budget.withdraw());
    }
    assert.deepEqual(granted, [true, ...Array(20).fill(false), true]);
  });

  it("is one retry in ten calls when there is no floor", () => {
    const budget = new RetryBudget({ budgetPercent: 10, floorPerSecond: 0 }, () => 0);
    let granted = 0;
    for (let i = 0; i < 1_000; i++) {
      budget.deposit();
      if (budget.withdraw()) granted++;
    }
    assert.equal(granted, 100);
  });
});
