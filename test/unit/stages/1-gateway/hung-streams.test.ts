import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ask, completion, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const deadlineMs = 60_000;

/** What a caller has of a call. */
interface Opened {
  readonly request: ClientRequest;
  readonly response: IncomingMessage;
  /** Resolves when the response is over, whole or broken. */
  readonly over: Promise<void>;
}

/** A call on a connection of its own; resolves when the head of the answer is here. */
async function open(gateway: TestGateway, body: object | string): Promise<Opened> {
  const { promise, resolve, reject } = Promise.withResolvers<Opened>();
  const headers = { "content-type": "application/json" };
  const sent = request(`${gateway.url}/v1/chat/completions`, { method: "POST", agent: false, headers }, (response) => {
    const over = new Promise<void>((done) => response.once("close", done));
    response.on("error", () => undefined);
    resolve({ request: sent, response, over });
  });
  sent.once("error", reject);
  sent.end(typeof body === "string" ? body : JSON.stringify(body));
  return promise;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/** On a connection of its own, which is closed then. */
async function get(gateway: TestGateway, path: string): Promise<{ status: number | undefined; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request(`${gateway.url}${path}`, { agent: false }, resolve).once("error", reject).end();
  const response = await promise;
  return { status: response.statusCode, text: await textOf(response) };
}

/** A call that the gateway refuses: status, code and Retry-After, in OpenAI's shape. */
async function refused(gateway: TestGateway, body: object): Promise<{ status: number; code: string; retryAfter: string | null }> {
  const { response } = await open(gateway, body);
  const { error } = JSON.parse(await textOf(response)) as { error: { message: string } };
  assert.deepEqual(Object.keys(error).toSorted(), ["code", "message", "param", "type"]);
  assert.ok(error.message.length > 0);
  const { "retry-after": retryAfter = null } = response.headers;
  return { status: response.statusCode ?? 0, code: (error as { code?: string }).code ?? "", retryAfter };
}

async function metric(gateway: TestGateway, name: string): Promise<number> {
  const { text } = await get(gateway, "/metrics");
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

/** A caller that reads as it comes. */
function flowing(opened: Opened): Opened {
  opened.response.resume();
  return opened;
}

/** Accepts connections, reads them and never says a word. */
async function silentServer(t: TestContext): Promise<{ readonly port: number; readonly sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

describe("an upstream that is dead or hangs", () => {
  const route = (name: string, upstream: string) => `  ${name}: { baseline: { version: ${name}@1, upstream: ${upstream}, model: m } }\n`;

  it("holds up no call of another route, and its own calls fail for what they are", async (t) => {
    const one = await testUpstream(t);
    const silent = await silentServer(t);
    const yaml = `
upstreams:
  one: { baseUrl: "${one.url}" }
  dead: { baseUrl: "http://127.0.0.1:1/v1", retries: { max: 0 } }
  silent: { baseUrl: "http://127.0.0.1:${silent.port}/v1" }
  handshake: { baseUrl: "https://127.0.0.1:${silent.port}/v1", timeouts: { connectMs: 100 }, retries: { max: 0 } }
routes:
${["one", "dead", "silent", "handshake"].map((name) => route(name, name)).join("")}`;
    const gateway = await testGateway(t, yaml);
    const left = new AbortController();
    // As many as the route's limit lets in.
    const hung = Array.from({ length: 512 }, () => gateway.chat(ask("hi", { model: "silent" }), { signal: left.signal }).catch(() => null));
    await until("all hang at the upstream", () => silent.sockets.size === 512, deadlineMs);
    assert.deepEqual(await refused(gateway, ask("hi", { model: "silent" })), { status: 429, code: "route_concurrency_exceeded", retryAfter: "1" });
    for (let i = 0; i < 50; i++) {
      const [live, dead] = await Promise.all([gateway.chat(ask("hi", { model: "one" })), refused(gateway, ask("hi", { model: "dead" }))]);
      assert.deepEqual((await live.json()) as unknown, completion("hello"));
      assert.deepEqual(dead, { status: 502, code: "upstream_unreachable", retryAfter: null });
    }
    assert.equal((await refused(gateway, ask("hi", { model: "handshake" }))).code, "upstream_timeout");
    assert.equal(await metric(gateway, "headgate_gateway_in_flight"), 512);
    assert.equal((await get(gateway, "/readyz")).status, 200);
    left.abort();
    assert.deepEqual(new Set(await Promise.all(hung)), new Set([null]));
    await until("the upstream is left alone", () => silent.sockets.size === 0, deadlineMs);
    await until("every call is recorded", () => gateway.log.calls().length === 512 + 50 + 50 + 1, deadlineMs);
    assert.equal(await metric(gateway, "headgate_gateway_in_flight"), 0);
  });
});

/** An upstream that begins a stream and then waits until the test says how each ends, by the name that its caller gave as `user`. */
async function hangingUpstream(t: TestContext) {
  const one = await testUpstream(t);
  const waiting = new Map<string, ServerResponse>();
  const event = `data: ${JSON.stringify({ ...completion(""), object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: "so" } }] })}\n\n`;
  one.answer = ({ body }, response) => {
    response.writeHead(200, { "content-type": "text/event-stream", connection: "close" });
    response.write(event);
    waiting.set(String(body.user), response);
  };
  return { one, waiting };
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Sockets and timers that keep this process alive. */
function handles(): { sockets: number; timers: number } {
  const all = process.getActiveResourcesInfo();
  return { sockets: all.filter((name) => name === "TCPSocketWrap").length, timers: all.filter((name) => name === "Timeout").length };
}

/** Warnings of this process from now on: Node gives one where listeners pile up. */
function warnings(t: TestContext): string[] {
  const seen: string[] = [];
  const onWarning = (warning: Error) => void seen.push(`${warning.name}: ${warning.message}`);
  process.on("warning", onWarning);
  t.after(() => process.off("warning", onWarning));
  return seen;
}

describe("thousands of streams that hang", () => {
  const narrow = (extra: string) => `  narrow: { baseline: { version: n@1, upstream: one, model: m }, limits: { maxInFlight: 500 } }
defaults: { limits: { maxInFlight: 5000 } }\n${extra}`;

  it("are bounded per route and in total, take little memory each, and leave nothing behind however they end", async (t) => {
    const { one, waiting } = await hangingUpstream(t);
    const gateway = await testGateway(t, fileFor(one, one, narrow("maxInFlight: 2000\n")).replace("one: {", "one: { maxInFlight: 2000,"));
    const warned = warnings(t);
    const openAll = (count: number, model: string) =>
      Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const user = `${model} ${i}`;
          return { user, ...flowing(await open(gateway, ask("x".repeat(1_000), { model, user, stream: true }))) };
        }),
      );
    await metric(gateway, "headgate_gateway_in_flight");
    const [before, bytesBefore] = [handles(), heldBytes()];

    const streams = await openAll(500, "narrow");
    assert.deepEqual(await refused(gateway, ask("hi", { model: "narrow" })), { status: 429, code: "route_concurrency_exceeded", retryAfter: "1" });
    streams.push(...(await openAll(1_500, "support-answer")));
    assert.deepEqual(new Set(streams.map(({ response }) => response.statusCode)), new Set([200]));
    assert.equal(waiting.size, 2_000);
    for (const model of ["narrow", "support-answer"]) {
      assert.deepEqual(await refused(gateway, ask("hi", { model })), { status: 503, code: "gateway_overloaded", retryAfter: "1" });
    }
    assert.equal(await metric(gateway, "headgate_gateway_in_flight"), 2_000);
    assert.equal((await get(gateway, "/healthz")).status, 200);
    // With caller and upstream, which run in this process too.
    const perStream = (heldBytes() - bytesBefore) / 2_000;
    assert.ok(perStream < 150_000, `${Math.round(perStream)} bytes per stream`);

    // A third ends, a third is left by its callers, a third is broken by the upstream.
    for (const [i, { user, request }] of streams.entries()) {
      if (i % 3 === 0) waiting.get(user)?.end("data: [DONE]\n\n");
      else if (i % 3 === 1) request.destroy();
      else waiting.get(user)?.destroy();
    }
    await Promise.all(streams.map(({ over }) => over));
    waiting.clear();
    await until("every call is recorded", () => gateway.log.calls().length === 2_000, deadlineMs);
    assert.equal(await metric(gateway, "headgate_gateway_in_flight"), 0);
    const ends = Object.entries(Object.groupBy(gateway.log.calls(), ({ status }) => status)).map(([status, calls]) => [status, calls?.length]);
    assert.deepEqual(Object.fromEntries(ends), { ok: 667, cancelled: 667, error: 666 });

    const again = await openAll(500, "narrow");
    assert.deepEqual(new Set(again.map(({ response }) => response.statusCode)), new Set([200]));
    assert.equal((await refused(gateway, ask("hi", { model: "narrow" }))).status, 429);
    for (const response of waiting.values()) response.end("data: [DONE]\n\n");
    await Promise.all(again.map(({ over }) => over));
    await until("no socket is left", () => handles().sockets <= before.sockets, deadlineMs);
    await until("no timer is left", () => handles().timers <= before.timers, deadlineMs);
    assert.deepEqual(warned, []);
  });

  it("hold request bodies up to a limit in bytes: a few large ones count as much as many small ones", async (t) => {
    const { one, waiting } = await hangingUpstream(t);
    const gateway = await testGateway(t, fileFor(one, one, "maxBodyBytesInFlight: 1000000\n"));
    const large = (user: string) => ask("x".repeat(400_000), { user, stream: true });
    const overloaded = { status: 503, code: "gateway_overloaded", retryAfter: "1" };
    const [first, second] = [flowing(await open(gateway, large("1"))), flowing(await open(gateway, large("2")))];
    assert.deepEqual(await refused(gateway, large("3")), overloaded);
    assert.equal(flowing(await open(gateway, ask("small", { user: "4", stream: true }))).response.statusCode, 200);
    // What is still being uploaded counts too, as far as it has come.
    const upload = request(`${gateway.url}/v1/chat/completions`, { method: "POST", agent: false, headers: { "content-length": "300000" } });
    upload.on("error", () => undefined);
    await new Promise<void>((done) => upload.write("x".repeat(150_000), () => done()));
    await until("the next call is refused", async () => {
      const opened = await open(gateway, ask("x".repeat(100_000), { user: "5", stream: true }));
      if (opened.response.statusCode === 503) return true;
      opened.request.destroy();
      return false;
    });
    upload.destroy();
    waiting.get("1")?.end("data: [DONE]\n\n");
    await first.over;
    await until("the bodies are let go", () => gateway.log.calls().length > 0, deadlineMs);
    assert.equal(flowing(await open(gateway, large("6"))).response.statusCode, 200);
    for (const response of waiting.values()) response.end("data: [DONE]\n\n");
    await second.over;
  });
});
