import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { answerJson, ask, completion, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const errorOf = async (response: Response) => [response.status, ((await response.json()) as { error: Record<string, unknown> }).error] as const;
const sse = (values: readonly unknown[]) => values.map((value) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`);
const chunk = (delta: object, finish: string | null = null) => ({
  id: "c",
  object: "chat.completion.chunk",
  model: "model-a",
  choices: [{ index: 0, delta, finish_reason: finish }],
});

describe("a proxied call", () => {
  it("reaches the upstream as the caller sent it but for the model, and comes back unchanged with headgate's headers", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const text = '{"messages":[{"role":"user","content":"hé"}], "seed":12345678901234567890,\n "unknown_field":{"x":[1]},"model":"support-answer"}';
    const response = await gateway.chat(text);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), completion("hello"));
    assert.equal(one.asked[0]?.text, text.replace("support-answer", "model-a"));
    assert.equal(one.asked[0]?.path, "/v1/chat/completions");
    assert.equal(response.headers.get("x-request-id"), "upstream-1");
    assert.equal(response.headers.get("x-headgate-route"), "support-answer");
    assert.match(response.headers.get("x-headgate-request-id") ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  it("is recorded with everything that is known of it", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const format = { type: "json_object" };
    const body = ask("hi", { user: "u-1", response_format: format });
    const response = await gateway.chat(body, {
      headers: {
        "x-headgate-reference": Buffer.from("42 °", "utf8").toString("latin1"),
        "x-headgate-slices": "long",
        traceparent: `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`,
      },
    });
    await response.text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    assert.ok(record !== undefined);
    const { requestId, subject, latencyMs, startedAtMs, endedAtMs, seq, markMs, ...rest } = record;
    assert.equal(requestId, response.headers.get("x-headgate-request-id"));
    assert.match(subject, /^[0-9a-f]{32}$/);
    assert.ok(latencyMs >= 0 && endedAtMs >= startedAtMs && seq >= 1 && markMs === endedAtMs);
    assert.deepEqual(rest, {
      kind: "call",
      route: "support-answer",
      rollout: "",
      attempt: 0,
      step: -1,
      epoch: 0,
      arm: "none",
      version: "a@1",
      exposure: "served",
      traceId: "ab".repeat(16),
      slices: ["long"],
      paneMs: 60_000,
      samplePpm: 0,
      instance: "gateway-1",
      turn: 0,
      endpoint: "/v1/chat/completions",
      operation: "chat",
      stream: false,
      status: "ok",
      errorType: "",
      httpStatus: 200,
      finishReason: "stop",
      ttftMs: null,
      inputTokens: 11,
      outputTokens: 3,
      costUsd: (11 * 2 + 3 * 10) / 1e6,
      attempts: 1,
      firstErrorType: "",
      shieldedBy: "",
      pinned: false,
      caller: "",
      traceState: "",
      upstream: "one",
      upstreamModel: "model-a",
      bodies: "full",
      cut: false,
      wholeChecks: null,
      requestBody: JSON.stringify(body),
      responseBody: JSON.stringify(completion("hello")),
      responseFormat: JSON.stringify(format),
      reference: "42 °",
      twin: null,
    });
  });

  it("leaves no trace of bodies where the route says none", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, `${fileFor(one)}  quiet: { baseline: { version: q@1, upstream: one, model: m }, bodies: none }\n`);
    await (await gateway.chat(ask("secret", { model: "quiet" }), { headers: { "x-headgate-reference": "secret" } })).text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    assert.deepEqual([record?.bodies, record?.outputTokens, record?.cut], ["none", 3, false]);
    assert.ok(!JSON.stringify(record).includes("secret") && !JSON.stringify(record).includes("hello"));
  });

  it("merges the version's parameters and system template", async (t) => {
    const one = await testUpstream(t);
    const extra = "  strict: { baseline: { version: s@1, upstream: one, model: m, parameters: { temperature: 0, seed: null }, systemTemplate: Be brief. } }\n";
    const gateway = await testGateway(t, fileFor(one, one, extra));
    await (await gateway.chat(ask("hi", { model: "strict", temperature: 1, seed: 3, top_p: 0.5 }))).text();
    assert.deepEqual(one.asked[0]?.body, {
      model: "m",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "hi" },
      ],
      temperature: 0,
      top_p: 0.5,
    });
  });

  it("forwards no connection, headgate or credential headers; keys go on only where the configuration says so", async (t) => {
    const one = await testUpstream(t);
    const open = await testUpstream(t);
    const file = `
upstreams:
  one: { baseUrl: "${one.url}", apiKeyEnv: ONE_KEY, headers: { X-Team: search } }
  open: { baseUrl: "${open.url}", passThroughKeys: true }
routes:
  keyed: { baseline: { version: a@1, upstream: one, model: m } }
  open: { baseline: { version: b@1, upstream: open, model: m } }`;
    const gateway = await testGateway(t, file, { env: { ONE_KEY: "sk-upstream" } });
    const headers = {
      authorization: "Bearer sk-caller",
      "x-api-key": "k",
      cookie: "c=1",
      "x-headgate-subject": "s",
      "x-headgate-other": "o",
      "x-custom": "kept",
      te: "trailers",
    };
    for (const model of ["keyed", "open"]) await (await gateway.chat(ask("hi", { model }), { headers })).text();
    const [keyed, passed] = [one.asked[0]?.headers, open.asked[0]?.headers];
    assert.deepEqual([keyed?.authorization, keyed?.["x-api-key"], keyed?.["x-team"], keyed?.["x-custom"]], ["Bearer sk-upstream", undefined, "search", "kept"]);
    assert.deepEqual([passed?.authorization, passed?.["x-api-key"]], ["Bearer sk-caller", "k"]);
    for (const seen of [keyed, passed]) {
      for (const name of ["cookie", "x-headgate-subject", "x-headgate-other", "te"]) assert.equal(seen?.[name], undefined);
      assert.equal(seen?.["accept-encoding"], "identity");
    }
  });

  it("passes an upstream's error on as it is and records it", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => answerJson(response, { error: { message: "slow down", type: "rate_limit", param: null, code: "limit" } }, 429);
    const gateway = await testGateway(t, fileFor(one));
    assert.deepEqual(await errorOf(await gateway.chat(ask())), [429, { message: "slow down", type: "rate_limit", param: null, code: "limit" }]);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    assert.deepEqual([record?.status, record?.errorType, record?.httpStatus], ["error", "429", 429]);
  });
});

describe("a streamed call", () => {
  it("passes bytes through unchanged as they come, and records the joined answer", async (t) => {
    const one = await testUpstream(t);
    const parts = sse([
      chunk({ role: "assistant", content: "" }),
      chunk({ content: "Grüße 👋" }),
      chunk({ content: "!" }),
      chunk({}, "stop"),
      { id: "c", choices: [], usage: { prompt_tokens: 4, completion_tokens: 2 } },
      "[DONE]",
    ]);
    const whole = Buffer.from(`: ping\r\n\r\n${parts.join("")}`);
    let sendRest: () => void = () => undefined;
    one.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
      // Cut within the four bytes of the emoji.
      const cut = whole.indexOf(Buffer.from("👋")) + 2;
      response.write(whole.subarray(0, cut));
      sendRest = () => response.end(whole.subarray(cut));
    };
    const gateway = await testGateway(t, fileFor(one));
    const response = await gateway.chat(ask("hi", { stream: true, stream_options: { include_usage: true } }));
    assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
    const reader = response.body?.getReader();
    const first = await reader?.read();
    assert.ok(Buffer.from(first?.value ?? []).includes("Grüße"), "the first part arrives while the upstream still holds the rest");
    sendRest();
    const chunks = [Buffer.from(first?.value ?? [])];
    for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) chunks.push(Buffer.from(next.value));
    assert.ok(Buffer.concat(chunks).equals(whole));
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    const answer = JSON.parse(record?.responseBody ?? "null");
    assert.equal(answer.choices[0].message.content, "Grüße 👋!");
    assert.deepEqual([record?.status, record?.stream, record?.finishReason, record?.inputTokens, record?.outputTokens], ["ok", true, "stop", 4, 2]);
    assert.ok((record?.ttftMs ?? Number.NaN) <= (record?.latencyMs ?? 0));
  });

  it("that breaks off breaks off for the caller too, and is recorded as an error", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(sse([chunk({ content: "half" })]).join(""), () => response.destroy());
    };
    const gateway = await testGateway(t, fileFor(one));
    const response = await gateway.chat(ask("hi", { stream: true }));
    await assert.rejects(response.text());
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    assert.deepEqual([record?.status, record?.httpStatus], ["error", 200]);
    assert.equal(JSON.parse(record?.responseBody ?? "null").choices[0].message.content, "half");
  });

  it("left by its caller after its last event is a whole answer, though the upstream has not ended it", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`${sse([chunk({ content: "whole" })]).join("")}data: [DONE]\n\n`);
    };
    const gateway = await testGateway(t, fileFor(one));
    const abort = new AbortController();
    const response = await gateway.chat(ask("hi", { stream: true }), { signal: abort.signal });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; !text.includes("[DONE]"); ) text += (await reader?.read())?.value ?? assert.fail("the stream ended");
    abort.abort();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.deepEqual([gateway.log.calls()[0]?.status, gateway.log.calls()[0]?.errorType], ["ok", ""]);
  });

  it("given up by its caller is given up upstream and recorded as cancelled", async (t) => {
    const one = await testUpstream(t);
    let upstreamClosed = false;
    one.answer = (_, response) => {
      response.on("close", () => {
        upstreamClosed = true;
      });
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(sse([chunk({ content: "half" })]).join(""));
    };
    const gateway = await testGateway(t, fileFor(one));
    const abort = new AbortController();
    const response = await gateway.chat(ask("hi", { stream: true }), { signal: abort.signal });
    await response.body?.getReader().read();
    abort.abort();
    await until("the upstream call is cancelled", () => upstreamClosed);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.deepEqual([gateway.log.calls()[0]?.status, gateway.log.calls()[0]?.errorType], ["cancelled", "cancelled"]);
  });
});

describe("errors of the gateway itself have OpenAI's shape", () => {
  it("for what a caller can do wrong", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, `${fileFor(one)}defaults: { limits: { maxBodyBytes: 1000 } }\n`);
    const codeOf = async (response: Response) => {
      const [status, { code, param, type, message }] = await errorOf(response);
      assert.ok(typeof message === "string" && message.length > 10);
      return [status, code, param, type];
    };
    assert.deepEqual(await codeOf(await gateway.chat(ask("hi", { model: "nobody" }))), [404, "model_not_found", "model", "invalid_request_error"]);
    assert.deepEqual(await codeOf(await gateway.chat('{"model": "secret prompt')), [400, "invalid_json", null, "invalid_request_error"]);
    assert.deepEqual(await codeOf(await gateway.chat("[1]")), [400, "invalid_body", null, "invalid_request_error"]);
    assert.deepEqual(await codeOf(await gateway.chat({ messages: [] })), [400, "invalid_body", "model", "invalid_request_error"]);
    assert.deepEqual(await codeOf(await gateway.chat(ask("x".repeat(1_000)))), [413, "request_too_large", null, "invalid_request_error"]);
    assert.deepEqual(await codeOf(await fetch(`${gateway.url}/v1/nothing`)), [404, "unknown_url", null, "invalid_request_error"]);
    assert.deepEqual(await codeOf(await fetch(`${gateway.url}/v1/chat/completions`)), [405, "method_not_allowed", null, "invalid_request_error"]);
    assert.equal(one.asked.length, 0);
  });

  it("for an upstream that cannot be reached", async (t) => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const port = (closed.address() as AddressInfo).port;
    await new Promise((resolve) => closed.close(resolve));
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor({ ...one, url: `http://127.0.0.1:${port}/v1` }));
    const [status, error] = await errorOf(await gateway.chat(ask()));
    assert.deepEqual([status, error.code, error.type], [502, "upstream_unreachable", "upstream_error"]);
    assert.match(String(error.message), /'one'.*ECONNREFUSED/);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.deepEqual([gateway.log.calls()[0]?.status, gateway.log.calls()[0]?.errorType, gateway.log.calls()[0]?.httpStatus], ["error", "ECONNREFUSED", 502]);
  });

  it("for an upstream that does not answer in time", async (t) => {
    const one = await testUpstream(t);
    one.answer = () => undefined;
    const file = `
upstreams:
  one: { baseUrl: "${one.url}", timeouts: { totalMs: 50 } }
  slow: { baseUrl: "${one.url}", timeouts: { headersMs: 50 } }
routes:
  total: { baseline: { version: a@1, upstream: one, model: m } }
  headers: { baseline: { version: a@1, upstream: slow, model: m } }`;
    const gateway = await testGateway(t, file);
    for (const [model, message] of [
      ["total", /did not complete the call within 50 ms/],
      ["headers", /no response within 50 ms/],
    ] as const) {
      const [status, error] = await errorOf(await gateway.chat(ask("hi", { model })));
      assert.deepEqual([status, error.code], [504, "upstream_timeout"]);
      assert.match(String(error.message), message);
    }
    await until("both are recorded", () => gateway.log.calls().length === 2);
    assert.deepEqual(
      gateway.log.calls().map(({ status, errorType }) => [status, errorType]),
      [
        ["timeout", "timeout"],
        ["timeout", "timeout"],
      ],
    );
  });

  it("for too many calls, per route and in total, with Retry-After", async (t) => {
    const one = await testUpstream(t);
    const waiting: (() => void)[] = [];
    one.answer = (_, response) => void waiting.push(() => answerJson(response, completion("late")));
    const extra = "  narrow: { baseline: { version: n@1, upstream: one, model: m }, limits: { maxInFlight: 1 } }\nmaxInFlight: 2\n";
    const gateway = await testGateway(t, fileFor(one, one, extra).replace("one: {", "one: { maxInFlight: 2,"));
    const first = gateway.chat(ask("1", { model: "narrow" }));
    await until("the first call runs", () => waiting.length === 1);
    const busy = await gateway.chat(ask("2", { model: "narrow" }));
    assert.equal(busy.headers.get("retry-after"), "1");
    assert.deepEqual(
      (await errorOf(busy)).map((part) => (typeof part === "number" ? part : part.code)),
      [429, "route_concurrency_exceeded"],
    );
    const second = gateway.chat(ask("3"));
    await until("the second call runs", () => waiting.length === 2);
    const full = await gateway.chat(ask("4"));
    assert.equal(full.headers.get("retry-after"), "1");
    assert.deepEqual(
      (await errorOf(full)).map((part) => (typeof part === "number" ? part : part.code)),
      [503, "gateway_overloaded"],
    );
    for (const answer of waiting) answer();
    assert.deepEqual([(await first).status, (await second).status], [200, 200]);
    one.answer = (_, response) => answerJson(response, completion("hello"));
    assert.equal((await gateway.chat(ask("5", { model: "narrow" }))).status, 200);
  });
});

describe("the gateway's other endpoints", () => {
  it("list the routes, tell health and readiness, and give metrics without subjects or bodies", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    await (await gateway.chat(ask("secret prompt", { user: "secret user" }))).text();
    const get = async (path: string) => await fetch(`${gateway.url}${path}`);
    const models = (await (await get("/v1/models")).json()) as { object: string; data: { id: string; object: string }[] };
    assert.deepEqual([models.object, models.data.map(({ id, object }) => [id, object])], ["list", [["support-answer", "model"]]]);
    assert.equal((await get("/v1/models/support-answer")).status, 200);
    assert.equal((await get("/v1/models/other")).status, 404);
    assert.equal((await get("/healthz")).status, 200);
    assert.equal((await get("/readyz")).status, 200);
    const metrics = await (await get("/metrics")).text();
    assert.match(metrics, /headgate_gateway_calls_total\{route="support-answer",version="a@1",arm="none",exposure="served",status="ok"\} 1/);
    assert.ok(!metrics.includes("secret"));
  });
});
