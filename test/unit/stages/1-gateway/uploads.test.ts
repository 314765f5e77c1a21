import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { InFlight } from "../../../../src/stages/1-gateway/call/in-flight.ts";
import { Uploads } from "../../../../src/stages/1-gateway/http/uploads.ts";
import { ask, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

/** A caller that sends the head of a request and some of its body. */
function halfSent(
  t: TestContext,
  gateway: TestGateway,
  sizes: { of: number; sent: number },
  path = "/v1/chat/completions",
): { socket: Socket; text: () => string } {
  const { port, hostname } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => undefined);
  socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${sizes.of}\r\n\r\n${" ".repeat(sizes.sent)}`);
  t.after(() => socket.destroy());
  return { socket, text: () => text };
}
const gauge = async (gateway: TestGateway, name: string) => Number(new RegExp(`^${name} (\\d+)`, "m").exec(await gateway.registry.metrics())?.[1]);
const untilGauge = (gateway: TestGateway, name: string, value: number) => until(`${name} is ${value}`, async () => (await gauge(gateway, name)) === value);
const untilServed = (gateway: TestGateway) =>
  until("a whole request is served", async () => {
    const response = await gateway.chat(ask());
    const { error } = (await response.json()) as { error?: { code: string } };
    if (response.status === 200) return true;
    assert.deepEqual([response.status, error?.code, response.headers.get("retry-after")], [503, "gateway_overloaded", "1"]);
    return false;
  });
function assertTimedOut(text: string): void {
  const [head = "", body = ""] = text.split("\r\n\r\n");
  assert.match(head, /^HTTP\/1\.1 408 /);
  assert.match(head, /connection: close/i);
  const { error } = JSON.parse(body) as { error: object };
  assert.deepEqual({ ...error, message: "" }, { message: "", type: "invalid_request_error", param: null, code: "request_timeout" });
}

describe("half-sent requests", () => {
  it("give their memory to whoever sends a whole one", async (t) => {
    const gateway = await testGateway(t, fileFor(await testUpstream(t), undefined, "maxBodyBytesInFlight: 1000000\n"));
    const bodies = Array.from({ length: 4 }, () => halfSent(t, gateway, { of: 250_001, sent: 250_000 }));
    await untilGauge(gateway, "headgate_gateway_in_flight_body_bytes", 1_000_000);
    // They are no calls yet.
    assert.equal(await gauge(gateway, "headgate_gateway_in_flight"), 0);
    await untilServed(gateway);
    await until("one of them is told", () => bodies.some(({ text }) => text() !== ""));
    assertTimedOut(bodies.map(({ text }) => text()).find((text) => text !== "") ?? "");
    for (const { socket } of bodies) socket.destroy();
  });

  it("give their place up too, when only heads have come", async (t) => {
    const gateway = await testGateway(t, fileFor(await testUpstream(t), undefined, "maxInFlight: 2\nuploads: { max: 3 }\n"));
    const heads = Array.from({ length: 3 }, () => halfSent(t, gateway, { of: 100, sent: 0 }));
    await untilGauge(gateway, "headgate_gateway_uploads", 3);
    await untilServed(gateway);
    await until("one of them is told", () => heads.some(({ text }) => text() !== ""));
    for (const { socket } of heads) socket.destroy();
  });

  it("of outcomes take no place of whole ones", async (t) => {
    const tokens = { seal: () => "", open: () => null } as never;
    const gateway = await testGateway(t, fileFor(await testUpstream(t)), { tokens });
    const half = Array.from({ length: 70 }, () => halfSent(t, gateway, { of: 100, sent: 10 }, "/v1/outcomes"));
    await untilGauge(gateway, "headgate_gateway_uploads", 70);
    const response = await fetch(`${gateway.url}/v1/outcomes`, { method: "POST", body: "{}" });
    assert.equal(response.status, 400);
    for (const { socket } of half) socket.destroy();
  });

  for (const path of ["/v1/chat/completions", "/v1/outcomes"]) {
    it(`are answered 408 when they stay silent, in OpenAI's shape, and closed: ${path}`, async (t) => {
      const tokens = { seal: () => "", open: () => null } as never;
      const gateway = await testGateway(t, fileFor(await testUpstream(t), undefined, "uploads: { idleMs: 50 }\n"), { tokens });
      const { socket, text } = halfSent(t, gateway, { of: 100, sent: 10 }, path);
      await until("it is closed", () => socket.closed);
      assertTimedOut(text());
      assert.equal((await gateway.chat(ask())).status, 200);
      assert.equal(await gauge(gateway, "headgate_gateway_uploads"), 0);
    });
  }
});

describe("bodies that are read", () => {
  const limits = { max: 2, idleMs: 30_000, minBytesPerSecond: 1_000 };
  function setUp() {
    let now = 0;
    const inFlight = new InFlight(10, 1_000_000);
    const uploads = new Uploads(limits, () => now);
    const begin = () => {
      const stream = new PassThrough();
      const read = uploads.read(Object.assign(stream, { headers: {} }) as unknown as IncomingMessage, 1_000_000, inFlight.openRoom(""));
      return { stream, read };
    };
    const passes = async (ms: number, ...writes: { stream: PassThrough; bytes: number }[]) => {
      now += ms;
      for (const { stream, bytes } of writes) stream.write(Buffer.alloc(bytes));
      await new Promise((resolve) => setImmediate(resolve));
      uploads.review();
    };
    return { uploads, inFlight, begin, passes };
  }

  it("may take as long as they need while they keep up a rate, and no longer", async () => {
    const { uploads, inFlight, begin, passes } = setUp();
    const [slow, steady] = [begin(), begin()];
    for (let s = 0; s < 30; s++) await passes(1_000, { stream: slow.stream, bytes: 10 }, { stream: steady.stream, bytes: 2_000 });
    assert.equal(uploads.running, 2);
    await passes(1_000, { stream: slow.stream, bytes: 10 }, { stream: steady.stream, bytes: 2_000 });
    assert.deepEqual([await slow.read, uploads.running, inFlight.bytes], [{ kind: "too_slow" }, 1, 62_000]);
    for (let s = 0; s < 60; s++) await passes(1_000, { stream: steady.stream, bytes: 2_000 });
    steady.stream.end();
    const read = await steady.read;
    assert.equal(read.kind === "read" && read.bytes.length, 182_000);
    assert.equal(uploads.running, 0);
  });

  it("are as many as may be; the longest silent one gives way, none that sends", async () => {
    const { uploads, begin, passes } = setUp();
    const [first, second] = [begin(), begin()];
    await passes(999, { stream: second.stream, bytes: 1 });
    assert.deepEqual(await begin().read, { kind: "too_many" });
    await passes(1);
    const third = begin();
    assert.deepEqual([await first.read, uploads.running], [{ kind: "too_slow" }, 2]);
    second.stream.end();
    third.stream.end("{}");
    assert.deepEqual([(await second.read).kind, (await third.read).kind], ["read", "read"]);
  });

  it("of one caller leave room for others'", () => {
    const inFlight = new InFlight(10, 100, 50);
    const [one, more, other, unknown] = [inFlight.openRoom("a"), inFlight.openRoom("a"), inFlight.openRoom("b"), inFlight.openRoom("")];
    assert.deepEqual([one.take(40), more.take(20), more.take(10), other.take(50), unknown.take(1)], ["taken", "caller_full", "taken", "taken", "full"]);
    one.leave();
    one.leave();
    assert.deepEqual([inFlight.bytes, unknown.take(40), more.take(1), inFlight.bytes], [60, "taken", "full", 100]);
  });
});
