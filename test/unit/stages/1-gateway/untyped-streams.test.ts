import assert from "node:assert/strict";
import { describe, it } from "node:test";
import OpenAI from "openai";
import { answerJson, ask, completion, fileFor, type TestUpstream, testGateway, testUpstream, until } from "./harness.ts";

const event = (more: object) => `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "m", ...more })}\n\n`;
const first = event({ choices: [{ index: 0, delta: { role: "assistant", content: "hel" }, finish_reason: null }] });
const second = event({ choices: [{ index: 0, delta: { content: "lo" }, finish_reason: "stop" }] });
const usage = event({ choices: [], usage: { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 } });
const done = "data: [DONE]\n\n";

/** Streams under a content type, null: without one. The rest comes when `seen` says that the first event has come through. */
function streams(upstream: TestUpstream, type: string | null, seen: Promise<void>): void {
  upstream.answer = async (_, response) => {
    response.writeHead(200, type === null ? {} : { "content-type": type });
    response.write(first);
    await seen;
    response.end(`${second}${usage}${done}`);
  };
}

/** Reads an answer to its end and tells when its first event is there. */
async function read(response: Response, sawFirst: () => void): Promise<string> {
  let text = "";
  for await (const bytes of response.body ?? []) {
    text += Buffer.from(bytes).toString("utf8");
    if (text.includes("hel")) sawFirst();
  }
  return text;
}

describe("a stream that its upstream does not declare as one", () => {
  for (const type of [null, "text/plain", "application/octet-stream"]) {
    it(`${type ?? "without a type"}: is passed on event after event, read, and its usage hidden`, { timeout: 20_000 }, async (t) => {
      const one = await testUpstream(t);
      const { promise: seen, resolve: sawFirst } = Promise.withResolvers<void>();
      streams(one, type, seen);
      const gateway = await testGateway(t, fileFor(one));
      const response = await gateway.chat(ask("hi", { stream: true }));
      assert.equal(await read(response, sawFirst), `${first}${second}${done}`);
      assert.equal(response.headers.get("content-type"), type);
      await until("the call is recorded", () => gateway.log.calls().length === 1);
      const [record] = gateway.log.calls();
      assert.deepEqual([record?.status, record?.errorType, record?.inputTokens, record?.outputTokens], ["ok", "", 11, 3]);
      assert.equal(JSON.parse(record?.responseBody ?? "").choices[0].message.content, "hello");
    });
  }

  it("is passed on byte for byte to whoever asked for its usage, and read all the same", { timeout: 20_000 }, async (t) => {
    const one = await testUpstream(t);
    const { promise: seen, resolve: sawFirst } = Promise.withResolvers<void>();
    streams(one, null, seen);
    const gateway = await testGateway(t, fileFor(one));
    const response = await gateway.chat(ask("hi", { stream: true, stream_options: { include_usage: true } }));
    assert.equal(await read(response, sawFirst), `${first}${second}${usage}${done}`);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.deepEqual([gateway.log.calls()[0]?.status, gateway.log.calls()[0]?.inputTokens], ["ok", 11]);
  });

  it("is read by OpenAI's SDK, in each chunk of which it looks for a choice", async (t) => {
    const one = await testUpstream(t);
    streams(one, null, Promise.resolve());
    const gateway = await testGateway(t, fileFor(one));
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "none", maxRetries: 0 });
    const stream = await client.chat.completions.create({ model: "support-answer", messages: [{ role: "user", content: "hi" }], stream: true });
    const contents: unknown[] = [];
    for await (const { choices } of stream) contents.push(choices[0]?.delta.content);
    assert.deepEqual(contents, ["hel", "lo"]);
  });

  it("is none where its type says JSON, where it failed, or where nobody asked for one", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const recorded = async (body: unknown) => {
      const before = gateway.log.calls().length;
      await (await gateway.chat(body)).text();
      await until("the call is recorded", () => gateway.log.calls().length === before + 1);
      const { status, errorType, inputTokens } = gateway.log.calls()[before] ?? {};
      return [status, errorType, inputTokens];
    };
    one.answer = (_, response) => answerJson(response, completion("hello"));
    assert.deepEqual(await recorded(ask("hi", { stream: true })), ["ok", "", 11]);
    one.answer = (_, response) =>
      void response.writeHead(200, { "content-type": "application/vnd.api+json; charset=utf-8" }).end(JSON.stringify(completion("a")));
    assert.deepEqual(await recorded(ask("hi", { stream: true })), ["ok", "", 11]);
    one.answer = (_, response) => void response.writeHead(200).end(JSON.stringify(completion("a")));
    assert.deepEqual(await recorded(ask('say "stream": true', { metadata: { stream: true } })), ["ok", "", 11]);
    one.answer = (_, response) => void response.writeHead(400).end('{"error":{"message":"no"}}');
    assert.deepEqual(await recorded(ask("hi", { stream: true })), ["error", "400", null]);
  });
});
