import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { ask, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

/** What a connection answers to bytes, until it is closed. */
function answered(gateway: TestGateway, bytes: string): Promise<string> {
  const { port, hostname } = new URL(gateway.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });
}

describe("what is no request", () => {
  it("is refused in OpenAI's shape all the same", async (t) => {
    const gateway = await testGateway(t, fileFor(await testUpstream(t)));
    for (const [bytes, status, code] of [
      [`GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, 431, "headers_too_large"],
      ["NONSENSE\r\n\r\n", 400, "invalid_http"],
      ["GET / HTTP/1.1\r\n\r\n", 400, "invalid_http"],
      ["POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "invalid_http"],
      ["POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400, "invalid_http"],
      ["POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\n{}", 417, "unknown_expectation"],
      [
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        415,
        "unsupported_encoding",
      ],
    ] as const) {
      const [head = "", body = ""] = (await answered(gateway, bytes)).split("\r\n\r\n");
      assert.match(head, new RegExp(`^HTTP/1.1 ${status} `), bytes.slice(0, 40));
      assert.match(head, /content-type: application\/json/i);
      const { error } = JSON.parse(body) as { error: { message: string } };
      assert.deepEqual({ ...error, message: "" }, { message: "", type: "invalid_request_error", param: null, code });
      assert.ok(error.message.length > 0);
      assert.match(await gateway.registry.metrics(), new RegExp(`rejected_total\\{code="${code}"\\}`));
    }
    assert.equal((await gateway.chat(ask())).status, 200);
  });
});

describe("a target in absolute form", () => {
  it("is that of its path", async (t) => {
    const gateway = await testGateway(t, fileFor(await testUpstream(t)));
    const text = JSON.stringify(ask());
    const call = `POST http://gateway.example:80/v1/chat/completions?a=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
    assert.match(await answered(gateway, call), /^HTTP\/1.1 200 /);
    assert.match(await answered(gateway, "GET http:/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), /^HTTP\/1.1 40[04] /);
  });
});

describe("what is no request behind others on their connection", () => {
  const post = (body: object) => {
    const text = JSON.stringify(body);
    return `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  };

  it("is never answered within an answer that runs, and closes the connection", { timeout: 20_000 }, async (t) => {
    const upstream = await testUpstream(t);
    const left: Promise<unknown>[] = [];
    const begun = Promise.withResolvers<void>();
    upstream.answer = (asked, response) => {
      left.push(once(response, "close"));
      // The other call has no answer at all yet.
      if (asked.body.stream !== true) return;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "first" } }] })}\n\n`);
    };
    const gateway = await testGateway(t, fileFor(upstream));
    const { port, hostname } = new URL(gateway.url);
    const socket = connect(Number(port), hostname, () => socket.write(post(ask("hi", { stream: true }))));
    let text = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (text.includes("first")) begun.resolve();
    });
    await begun.promise;
    socket.write(post(ask("behind it")));
    await until("the second call runs", () => upstream.asked.length === 2);
    socket.write("NONSENSE\r\n\r\n");
    await once(socket, "close");
    assert.equal(text.match(/HTTP\/1\.1/g)?.length, 1, text);
    await Promise.all(left);
  });

  it("is not answered in the place of a call that has no answer yet", { timeout: 20_000 }, async (t) => {
    const upstream = await testUpstream(t);
    upstream.answer = () => undefined;
    const gateway = await testGateway(t, fileFor(upstream));
    assert.equal(await answered(gateway, `${post(ask())}NONSENSE\r\n\r\n`).catch(() => ""), "");
  });

  it("is told of when the answers before it are complete", { timeout: 20_000 }, async (t) => {
    const gateway = await testGateway(t, fileFor(await testUpstream(t)));
    const { port, hostname } = new URL(gateway.url);
    const socket = connect(Number(port), hostname, () => socket.write(post(ask())));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (text.endsWith("}}") && !text.includes("invalid_http")) socket.write("NONSENSE\r\n\r\n");
    });
    await once(socket, "close");
    assert.deepEqual(
      [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
      ["200", "400"],
    );
  });
});

describe("a redirect of an upstream", () => {
  it("is not shown to the caller, and is the version's error", async (t) => {
    const upstream = await testUpstream(t);
    upstream.answer = (_, response) => void response.writeHead(307, { location: "http://elsewhere.test/?key=secret" }).end("go there");
    const gateway = await testGateway(t, fileFor(upstream));
    const response = await gateway.chat(ask());
    const { error } = (await response.json()) as { error: { message: string; code: string; type: string } };
    assert.deepEqual([response.status, error.code, error.type], [502, "upstream_redirected", "upstream_error"]);
    assert.equal(response.headers.get("location"), null);
    assert.doesNotMatch(error.message, /elsewhere|secret/);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const [record] = gateway.log.calls();
    assert.deepEqual([record?.status, record?.errorType, record?.httpStatus, record?.attempts], ["error", "upstream_redirected", 307, 1]);
  });
});
