import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { answerJson, ask, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const post = (gateway: TestGateway, path: string, body: object) =>
  fetch(`${gateway.url}/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "support-answer", ...body }),
  });

const events = (values: readonly Record<string, unknown>[]) =>
  values.map((value) => `${value.type === undefined ? "" : `event: ${value.type}\n`}data: ${JSON.stringify(value)}\n\n`).join("");

/** What a caller gets and what is recorded when the upstream answers with these events. */
async function streamed(t: TestContext, path: string, body: object, text: string) {
  const one = await testUpstream(t);
  one.answer = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "content-length": String(Buffer.byteLength(text)) });
    response.end(text);
  };
  const gateway = await testGateway(t, fileFor(one));
  const seen = await (await post(gateway, path, { stream: true, ...body })).text();
  await until("the call is recorded", () => gateway.log.calls().length === 1);
  return { seen, record: gateway.log.calls()[0], asked: one.asked[0] };
}

const message = { type: "message", id: "msg_1", role: "assistant", status: "completed", content: [{ type: "output_text", text: "Grüße", annotations: [] }] };
const response = (more: object) => ({ id: "resp_1", object: "response", model: "model-a", output: [], ...more });
const completed = response({ status: "completed", output: [message], usage: { input_tokens: 4, output_tokens: 2, total_tokens: 6 } });
const begun = [
  { type: "response.created", response: response({ status: "in_progress" }) },
  { type: "response.output_item.added", output_index: 0, item: { ...message, content: [] } },
  { type: "response.output_text.delta", output_index: 0, content_index: 0, delta: "Grü" },
  { type: "response.output_text.delta", output_index: 0, content_index: 0, delta: "ße" },
];

describe("POST /v1/responses", () => {
  it("is passed through and recorded with its usage, its form and why it ended", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, to) => answerJson(to, { ...completed, status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
    const gateway = await testGateway(t, fileFor(one));
    const text = { format: { type: "json_schema", name: "x", schema: { type: "object" } } };
    const answer = (await (await post(gateway, "/responses", { input: "hi", text })).json()) as { id: string };
    assert.equal(answer.id, "resp_1");
    assert.deepEqual([one.asked[0]?.path, one.asked[0]?.body], ["/v1/responses", { model: "model-a", input: "hi", text }]);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    assert.deepEqual(
      [record?.endpoint, record?.operation, record?.finishReason, record?.inputTokens, record?.outputTokens, record?.responseFormat],
      ["/v1/responses", "chat", "max_output_tokens", 4, 2, JSON.stringify(text.format)],
    );
  });

  it("streams as it comes; the whole response at its end is what is recorded", async (t) => {
    const text = events([...begun, { type: "response.completed", response: completed }]);
    const { seen, record, asked } = await streamed(t, "/responses", { input: "hi" }, text);
    assert.equal(seen, text);
    assert.deepEqual(asked?.body, { stream: true, input: "hi", model: "model-a" });
    assert.deepEqual([record?.status, record?.finishReason, record?.inputTokens, record?.outputTokens], ["ok", "completed", 4, 2]);
    assert.deepEqual(JSON.parse(record?.responseBody ?? "null"), completed);
    assert.ok(record?.ttftMs !== null);
  });

  it("that breaks off is an error, recorded as far as it came", async (t) => {
    const { record } = await streamed(t, "/responses", { input: "hi" }, events(begun));
    assert.deepEqual([record?.status, record?.errorType], ["error", "incomplete_stream"]);
    const { output } = JSON.parse(record?.responseBody ?? "null") as { output: [{ content: [{ text: string }] }] };
    assert.equal(output[0].content[0].text, "Grüße");
  });

  it("that fails is an error, in a stream and as a body", async (t) => {
    const failed = response({ status: "failed", error: { code: "server_error", message: "secret" } });
    const { record } = await streamed(t, "/responses", { input: "hi" }, events([{ type: "response.failed", response: failed }]));
    assert.deepEqual([record?.status, record?.errorType], ["error", "server_error"]);
    const one = await testUpstream(t);
    one.answer = (_, to) => answerJson(to, failed);
    const gateway = await testGateway(t, fileFor(one));
    await (await post(gateway, "/responses", { input: "hi" })).text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.deepEqual([gateway.log.calls()[0]?.status, gateway.log.calls()[0]?.errorType], ["error", "server_error"]);
  });

  it("joins calls of tools, refusals and items that were finished", async (t) => {
    const call = { type: "function_call", id: "fc_1", call_id: "call_1", name: "weather", arguments: "" };
    const { record } = await streamed(
      t,
      "/responses",
      { input: "hi" },
      events([
        { type: "response.created", response: response({}) },
        { type: "response.output_item.added", output_index: 1, item: call },
        { type: "response.function_call_arguments.delta", output_index: 1, delta: '{"city"' },
        { type: "response.function_call_arguments.delta", output_index: 1, delta: ':"Bern"}' },
        { type: "response.output_item.done", output_index: 0, item: message },
        { type: "response.refusal.delta", output_index: 2, content_index: 0, delta: "no" },
      ]),
    );
    assert.deepEqual((JSON.parse(record?.responseBody ?? "null") as { output: unknown[] }).output, [
      message,
      { ...call, arguments: '{"city":"Bern"}' },
      { type: "message", role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
    ]);
  });

  it("refuses what could only be fetched later", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const refused = await post(gateway, "/responses", { input: "hi", background: true });
    const { error } = (await refused.json()) as { error: { code: string; param: string } };
    assert.deepEqual([refused.status, error.code, error.param, one.asked.length], [400, "unsupported_parameter", "background", 0]);
  });
});

describe("POST /v1/completions", () => {
  const chunk = (text: string, finish_reason: string | null = null) => ({
    id: "cmpl-1",
    object: "text_completion",
    choices: [{ index: 0, text, finish_reason }],
  });

  it("streams without the usage that the gateway asked for, and is recorded with it", async (t) => {
    const chunks = [chunk("once "), chunk("upon"), chunk("", "stop")];
    const usage = { id: "cmpl-1", object: "text_completion", choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } };
    const sent = `${events(chunks.map((each) => ({ ...each, usage: null })))}${events([usage])}data: [DONE]\n\n`;
    const { seen, record, asked } = await streamed(t, "/completions", { prompt: "tell" }, sent);
    assert.equal(seen, `${events(chunks)}data: [DONE]\n\n`);
    assert.deepEqual(asked?.body, { stream_options: { include_usage: true }, model: "model-a", stream: true, prompt: "tell" });
    assert.deepEqual(
      [record?.operation, record?.status, record?.finishReason, record?.inputTokens, record?.outputTokens],
      ["text_completion", "ok", "stop", 3, 2],
    );
    assert.equal(JSON.parse(record?.responseBody ?? "null").choices[0].text, "once upon");
  });
});

describe("POST /v1/embeddings", () => {
  it("is passed through; its tokens are recorded, its vectors are not", async (t) => {
    const one = await testUpstream(t);
    const answer = { object: "list", data: [{ object: "embedding", index: 0, embedding: "AAAA" }], usage: { prompt_tokens: 5, total_tokens: 5 } };
    one.answer = (_, to) => answerJson(to, answer);
    const gateway = await testGateway(t, fileFor(one));
    assert.deepEqual(await (await post(gateway, "/embeddings", { input: ["a", "b"] })).json(), answer);
    assert.equal(one.asked[0]?.path, "/v1/embeddings");
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    assert.deepEqual([record?.operation, record?.status, record?.inputTokens, record?.outputTokens], ["embeddings", "ok", 5, 0]);
    assert.deepEqual([record?.responseBody, record?.cut, record?.costUsd], [null, false, 1e-5]);
  });
});

describe("the usage of a chat stream", () => {
  it("is recorded though the caller did not ask, and not asked for where the upstream refuses that", async (t) => {
    const one = await testUpstream(t);
    const file = `${fileFor(one).replace('baseUrl: "', 'usageInStreams: false, baseUrl: "')}`;
    for (const [yaml, options] of [
      [fileFor(one), { include_usage: true }],
      [file, undefined],
    ] as const) {
      const gateway = await testGateway(t, yaml);
      await (await gateway.chat(ask("hi", { stream: true }))).text();
      assert.deepEqual(one.asked.at(-1)?.body.stream_options, options);
    }
  });
});

describe("a model that callers name past the routes", () => {
  it("is passed through where its upstream allows that, with nothing changed but its name, and leaves no record", async (t) => {
    const one = await testUpstream(t);
    const two = await testUpstream(t);
    const file = fileFor(one, two, "  two/routed: { baseline: { version: r@1, upstream: one, model: routed } }\n").replace(
      `"${two.url}" }`,
      `"${two.url}", direct: true }`,
    );
    const gateway = await testGateway(t, file);
    const answer = await post(gateway, "/chat/completions", { model: "two/org/model-x", messages: [], stream: false, vendor: 1 });
    assert.deepEqual([answer.status, answer.headers.has("x-headgate-request-id"), answer.headers.has("x-headgate-route")], [200, true, false]);
    assert.equal(two.asked[0]?.text, '{"model":"org/model-x","messages":[],"stream":false,"vendor":1}');
    // A route of that name wins, and is recorded.
    await (await post(gateway, "/chat/completions", { model: "two/routed", messages: [] })).text();
    await until("the routed call is recorded", () => gateway.log.calls().length > 0);
    assert.deepEqual([gateway.log.calls().map(({ route }) => route), one.asked[0]?.body.model], [["two/routed"], "routed"]);
    const metrics = await gateway.registry.metrics();
    assert.match(metrics, /headgate_gateway_direct_calls_total\{upstream="two",status="ok"\} 1/);
  });

  it("is unknown where its upstream does not, and an upstream that fails is told like any other", async (t) => {
    const one = await testUpstream(t);
    const two = await testUpstream(t);
    two.answer = (_, response) => void response.destroy();
    const gateway = await testGateway(t, fileFor(one, two).replace(`"${two.url}" }`, `"${two.url}", direct: true, retries: { max: 0 } }`));
    const codeOf = async (model: string) => {
      const response = await post(gateway, "/chat/completions", { model, messages: [] });
      return [response.status, ((await response.json()) as { error: { code: string } }).error.code];
    };
    assert.deepEqual(await codeOf("one/model-a"), [404, "model_not_found"]);
    assert.deepEqual(await codeOf("two/"), [404, "model_not_found"]);
    assert.deepEqual(await codeOf("two/model-a"), [502, "upstream_unreachable"]);
  });
});
