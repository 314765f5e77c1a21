import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { answerJson, ask, completion, type TestUpstream, testGateway, testUpstream, until } from "./harness.ts";

const route = "routes: { support-answer: { baseline: { version: a@1, upstream: one, model: model-a } } }";
const fileOf = ({ url }: TestUpstream, more = "") => `upstreams: { one: { baseUrl: "${url}"${more} } }\n${route}`;
const headers = { "content-type": "application/json", "retry-after": "7", "x-request-id": "upstream-1" };

/** Sends the head of an answer and a part of its body, and breaks off. */
function breakOff(response: ServerResponse, status: number, more: Record<string, string>, body: string): void {
  response.writeHead(status, { ...headers, ...more });
  response.flushHeaders();
  const destroy = () => setImmediate(() => response.socket?.destroySoon());
  if (body === "") destroy();
  else response.write(body, destroy);
}

describe("an error of an upstream that breaks off behind its head", () => {
  for (const [name, status, more, body] of [
    ["429 of a known length", 429, { "content-length": "1000" }, '{"error":{"mess'],
    ["429 of which no body came", 429, { "content-length": "1000" }, ""],
    ["503 in chunks", 503, {}, '{"error":{"mess'],
    ["400 in gzip", 400, { "content-encoding": "gzip", "content-length": "1000" }, ""],
  ] as const) {
    it(`${name}: the caller gets its status, its headers and what came`, async (t) => {
      const one = await testUpstream(t);
      one.answer = (_, response) => breakOff(response, status, more, body);
      const gateway = await testGateway(t, fileOf(one));
      const response = await gateway.chat(ask());
      assert.deepEqual([response.status, response.headers.get("retry-after"), response.headers.get("x-request-id")], [status, "7", "upstream-1"]);
      assert.equal(await response.text(), body);
      await until("the call is recorded", () => gateway.log.calls().length === 1);
      const [record] = gateway.log.calls();
      assert.deepEqual([record?.status, record?.errorType, record?.httpStatus, record?.attempts], ["error", String(status), status, 1]);
    });
  }

  it("stands also when the rest does not come in time", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => void response.writeHead(429, { ...headers, "content-length": "1000" }).write("some");
    const gateway = await testGateway(t, fileOf(one, ", timeouts: { totalMs: 200 }"));
    const response = await gateway.chat(ask());
    assert.deepEqual([response.status, response.headers.get("retry-after"), await response.text()], [429, "7", "some"]);
  });

  it("is repeated like one that came as a whole", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => {
      if (one.asked.length === 1) breakOff(response, 429, { "retry-after": "0", "content-length": "1000" }, "some");
      else answerJson(response, completion("hello"));
    };
    const gateway = await testGateway(t, fileOf(one, ', retries: { max: 1, on: ["429"], floorPerSecond: 10 }'));
    assert.deepEqual(await (await gateway.chat(ask())).json(), completion("hello"));
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const [record] = gateway.log.calls();
    assert.deepEqual([record?.status, record?.attempts, record?.firstErrorType], ["ok", 2, "429"]);
  });

  it("breaks off for the caller too when more came than is held back", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => breakOff(response, 500, { "content-length": "9000000" }, "x".repeat(3_000_000));
    const gateway = await testGateway(t, fileOf(one));
    await assert.rejects(gateway.chat(ask()).then((response) => response.text()));
  });
});

describe("an answer in gzip that has no body", () => {
  for (const more of [{ "content-length": "0" }, {}]) {
    it(`is an empty one ${"content-length" in more ? "of length 0" : "in chunks"}`, async (t) => {
      const one = await testUpstream(t);
      one.answer = (_, response) => void response.writeHead(404, { ...headers, "content-encoding": "gzip", ...more }).end();
      const gateway = await testGateway(t, fileOf(one));
      const response = await gateway.chat(ask());
      assert.deepEqual([response.status, response.headers.get("content-encoding"), await response.text()], [404, null, ""]);
      one.answer = (_, answered) => void answered.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(JSON.stringify(completion("hello"))));
      assert.deepEqual(await (await gateway.chat(ask())).json(), completion("hello"));
      await until("the calls are recorded", () => gateway.log.calls().length === 2);
      assert.deepEqual(
        gateway.log.calls().map(({ errorType }) => errorType),
        ["404", ""],
      );
    });
  }
});

describe("an answer with long headers", () => {
  it("is passed on up to 64 KiB of them", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileOf(one));
    const answered = async (bytes: number) => {
      one.answer = (_, response) => {
        response.setHeader("x-policy", "x".repeat(bytes));
        answerJson(response, completion("hello"));
      };
      const call = httpRequest(`${gateway.url}/v1/chat/completions`, { method: "POST", maxHeaderSize: 256 * 1024 });
      call.end(JSON.stringify(ask()));
      const [response] = (await once(call, "response")) as [IncomingMessage];
      let text = "";
      for await (const chunk of response) text += String(chunk);
      return [response.statusCode, response.headers["x-policy"]?.length, (JSON.parse(text) as { error?: { code: string } }).error?.code];
    };
    assert.deepEqual(await answered(60_000), [200, 60_000, undefined]);
    assert.deepEqual(await answered(70_000), [502, undefined, "upstream_unreachable"]);
  });
});
