import assert from "node:assert/strict";
import { describe, it } from "node:test";
import OpenAI, { APIConnectionError, APIError, NotFoundError, RateLimitError } from "openai";
import { answerJson, completion, fileFor, type TestUpstream, testGateway, testUpstream, until } from "./harness.ts";

const messages = [{ role: "user" as const, content: "hi" }];
const clientOf = (baseURL: string) => new OpenAI({ baseURL, apiKey: "sk-caller", maxRetries: 0 });

function answerStream(upstream: TestUpstream, contents: readonly string[]): void {
  const chunk = (delta: object, finish_reason: string | null = null) =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "model-a", choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  upstream.answer = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(chunk({ role: "assistant", content: "" }));
    for (const content of contents) response.write(chunk({ content }));
    response.end(`${chunk({}, "stop")}data: [DONE]\n\n`);
  };
}

describe("the official openai SDK", () => {
  it("sees through the gateway what it sees of the upstream itself, streamed and not", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const [through, direct] = [clientOf(`${gateway.url}/v1`), clientOf(one.url)];
    assert.deepEqual(
      await through.chat.completions.create({ model: "support-answer", messages }),
      await direct.chat.completions.create({ model: "model-a", messages }),
    );
    answerStream(one, ["Gr", "üß", "e 👋"]);
    const streamed = async (client: OpenAI, model: string) => {
      const chunks = [];
      for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) chunks.push(chunk);
      return chunks;
    };
    assert.deepEqual(await streamed(through, "support-answer"), await streamed(direct, "model-a"));
    const helper = through.chat.completions.stream({ model: "support-answer", messages });
    assert.equal((await helper.finalChatCompletion()).choices[0]?.message.content, "Grüße 👋");
  });

  it("lists the routes as models", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const ids = [];
    for await (const { id } of clientOf(`${gateway.url}/v1`).models.list()) ids.push(id);
    assert.deepEqual(ids, ["support-answer"]);
    assert.equal((await clientOf(`${gateway.url}/v1`).models.retrieve("support-answer")).id, "support-answer");
  });

  it("gets the errors that it knows", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const client = clientOf(`${gateway.url}/v1`);
    await assert.rejects(
      client.chat.completions.create({ model: "nobody", messages }),
      (error) => error instanceof NotFoundError && error.code === "model_not_found" && error.param === "model",
    );
    one.answer = (_, response) => answerJson(response, { error: { message: "slow down", type: "requests", param: null, code: "rate_limit_exceeded" } }, 429);
    await assert.rejects(
      client.chat.completions.create({ model: "support-answer", messages }),
      (error) => error instanceof RateLimitError && error.code === "rate_limit_exceeded",
    );
    one.answer = (_, response) => void response.destroy();
    await assert.rejects(
      client.chat.completions.create({ model: "support-answer", messages }),
      (error) => error instanceof APIError && error.status === 502 && error.code === "upstream_unreachable",
    );
  });

  it("retries a call as the SDK does, and each try is recorded", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    let tries = 0;
    one.answer = (_, response) => {
      if (tries++ === 0) answerJson(response, { error: { message: "again", type: "server_error", param: null, code: null } }, 500);
      else answerJson(response, completion("hello"));
    };
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "sk-caller", maxRetries: 1 });
    assert.equal((await client.chat.completions.create({ model: "support-answer", messages })).choices[0]?.message.content, "hello");
    await until("both are recorded", () => gateway.log.calls().length === 2);
    assert.deepEqual(
      gateway.log.calls().map(({ status }) => status),
      ["error", "ok"],
    );
  });

  it("can abort a call and can run out of time", async (t) => {
    const one = await testUpstream(t);
    one.answer = () => undefined;
    const gateway = await testGateway(t, fileFor(one));
    const client = clientOf(`${gateway.url}/v1`);
    const abort = new AbortController();
    const aborted = client.chat.completions.create({ model: "support-answer", messages }, { signal: abort.signal });
    await until("the upstream is asked", () => one.asked.length === 1);
    abort.abort();
    await assert.rejects(aborted, OpenAI.APIUserAbortError);
    await assert.rejects(client.chat.completions.create({ model: "support-answer", messages }, { timeout: 50 }), APIConnectionError);
    await until("both are recorded as cancelled", () => gateway.log.calls().filter(({ status }) => status === "cancelled").length === 2);
  });
});
