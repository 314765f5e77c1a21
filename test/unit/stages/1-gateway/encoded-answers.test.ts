import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { brotliCompressSync, constants, createGzip, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { answerJson, ask, completion, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const answer = Buffer.from(JSON.stringify(completion("hello")));

function answerEncoded(response: ServerResponse, encoding: string, body: Buffer, { status = 200, type = "application/json" } = {}): void {
  response.writeHead(status, { "content-type": type, "content-encoding": encoding, "content-length": String(body.length) });
  response.end(body);
}

describe("an answer in an encoding that was not asked for", () => {
  for (const [encoding, encoded] of [
    ["gzip", gzipSync(answer)],
    ["x-gzip", gzipSync(answer)],
    ["br", brotliCompressSync(answer)],
    ["deflate", deflateSync(answer)],
    ["zstd", zstdCompressSync(answer)],
    ["gzip, br", brotliCompressSync(gzipSync(answer))],
  ] as const) {
    it(`${encoding}: is decoded for the caller and for the log`, async (t) => {
      const one = await testUpstream(t);
      one.answer = (_, response) => answerEncoded(response, encoding, encoded);
      const gateway = await testGateway(t, fileFor(one));
      const response = await gateway.chat(ask());
      assert.deepEqual(await response.json(), completion("hello"));
      assert.equal(response.headers.get("content-encoding"), null);
      await until("the call is recorded", () => gateway.log.calls().length === 1);
      const [record] = gateway.log.calls();
      assert.deepEqual(
        [record?.status, record?.responseBody, record?.inputTokens, record?.outputTokens, record?.cut],
        ["ok", answer.toString("utf8"), 11, 3, false],
      );
    });
  }

  it("a stream: event after event, and the usage that its caller did not ask for is hidden", async (t) => {
    const one = await testUpstream(t);
    const chunk = (more: object) => `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "m", ...more })}\n\n`;
    const { promise: seen, resolve: sawFirst } = Promise.withResolvers<void>();
    one.answer = async (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" });
      const gzip = createGzip();
      gzip.pipe(response);
      gzip.write(chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "hel" }, finish_reason: null }] }));
      gzip.flush(constants.Z_SYNC_FLUSH);
      // The rest is sent when the first event has come through.
      await seen;
      gzip.write(chunk({ choices: [{ index: 0, delta: { content: "lo" }, finish_reason: "stop" }] }));
      gzip.end(`${chunk({ choices: [], usage: { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 } })}data: [DONE]\n\n`);
    };
    const gateway = await testGateway(t, fileFor(one));
    const response = await gateway.chat(ask("hi", { stream: true }));
    let text = "";
    for await (const bytes of response.body ?? []) {
      text += Buffer.from(bytes).toString("utf8");
      if (text.includes("hel")) sawFirst();
    }
    assert.equal(text.includes("usage"), false);
    assert.ok(text.endsWith("data: [DONE]\n\n"));
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const [record] = gateway.log.calls();
    assert.deepEqual([record?.status, record?.errorType, record?.inputTokens, record?.outputTokens], ["ok", "", 11, 3]);
    assert.equal(JSON.parse(record?.responseBody ?? "").choices[0].message.content, "hello");
  });

  it("of a failure: it is repeated as any other, and shown decoded when no attempt is left", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => answerEncoded(response, "gzip", gzipSync('{"error":{"message":"busy","code":"busy"}}'), { status: 503 });
    const retries = '{ max: 2, on: ["5xx"], floorPerSecond: 10, maxWaitMs: 50 }';
    const route = "support-answer: { baseline: { version: a@1, upstream: one, model: model-a } }";
    const gateway = await testGateway(t, `upstreams: { one: { baseUrl: "${one.url}", retries: ${retries} } }\nroutes: { ${route} }`);
    const response = await gateway.chat(ask());
    assert.equal(response.status, 503);
    assert.deepEqual(await response.json(), { error: { message: "busy", code: "busy" } });
    assert.equal(one.asked.length, 3);
  });

  for (const [name, bytes] of [
    ["is no such encoding", answer],
    ["is cut short", gzipSync(answer).subarray(0, -12)],
  ] as const) {
    it(`whose body ${name} is the version's failure`, async (t) => {
      const one = await testUpstream(t);
      one.answer = (_, response) => answerEncoded(response, "gzip", bytes);
      const gateway = await testGateway(t, fileFor(one));
      const answered = await gateway.chat(ask()).then(
        (response) => response.text().then((text) => [response.status, text]),
        () => ["broken", ""],
      );
      assert.notDeepEqual(answered, [200, answer.toString("utf8")]);
      await until("the call is recorded", () => gateway.log.calls().length === 1);
      const [record] = gateway.log.calls();
      assert.equal(record?.status, "error");
      assert.match(record?.errorType ?? "", /^Z_/);
    });
  }

  it("that nobody here can decode goes to the caller as it is, and counts as cut", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => answerEncoded(response, "compress", Buffer.from([1, 2, 3]));
    const gateway = await testGateway(t, fileFor(one));
    const response = await gateway.chat(ask());
    assert.equal(response.headers.get("content-encoding"), "compress");
    assert.deepEqual([...Buffer.from(await response.arrayBuffer())], [1, 2, 3]);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.deepEqual([gateway.log.calls()[0]?.responseBody, gateway.log.calls()[0]?.cut], [null, true]);
  });

  it("is read no faster than its caller takes it, however small it was sent", { timeout: 120_000 }, async (t) => {
    const one = await testUpstream(t);
    // 512 MiB in half a MiB.
    const member = gzipSync(Buffer.alloc(64 * 1024 * 1024, " "));
    const bomb = Buffer.concat(Array.from({ length: 8 }, () => member));
    one.answer = (_, response) => answerEncoded(response, "gzip", bomb);
    const gateway = await testGateway(t, fileFor(one));
    const before = process.memoryUsage();
    const call = httpRequest(`${gateway.url}/v1/chat/completions`, { method: "POST" });
    call.end(JSON.stringify(ask()));
    const [response] = await once(call, "response");
    response.pause();
    // Whoever reads on regardless has the whole of it in memory within this many turns.
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setTimeout(resolve, 5));
    const after = process.memoryUsage();
    call.destroy();
    const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
    assert.ok(grown < 200 * 1024 * 1024, `memory grew by ${grown} bytes`);
    await until("the call is over", () => gateway.log.calls().length === 1);
    assert.equal(gateway.log.calls()[0]?.status, "cancelled");
    one.answer = (_, answered) => answerJson(answered, completion("still here"));
    assert.equal((await gateway.chat(ask())).status, 200);
  });
});
