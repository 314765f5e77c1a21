import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { describe, it, type TestContext } from "node:test";
import { ask, completion, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const event = `data: ${JSON.stringify({ ...completion(""), choices: [{ index: 0, delta: { content: "x".repeat(64_000) } }] })}\n\n`;
/** More than the buffers of two connections hold. */
const EVENTS = 250;

/** A stream that is long and comes at once, and its caller, that has not read anything but the head. */
async function unread(t: TestContext, more: { upstream?: string; extra?: string }) {
  const one = await testUpstream(t);
  let sent = 0;
  one.answer = async (_, response) => {
    response.on("error", () => undefined);
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (; sent < EVENTS && !response.destroyed; sent++) if (!response.write(event)) await Promise.race([once(response, "drain"), once(response, "close")]);
    response.end("data: [DONE]\n\n");
  };
  const gateway = await testGateway(t, fileFor(one, one, more.extra ?? "").replace("one: {", `one: { ${more.upstream ?? ""}`));
  const { promise, resolve } = Promise.withResolvers<IncomingMessage>();
  const sending = request(`${gateway.url}/v1/chat/completions`, { method: "POST", agent: false }, resolve);
  sending.on("error", () => undefined);
  sending.end(JSON.stringify(ask("hi", { stream: true, stream_options: { include_usage: true } })));
  const response = await promise;
  response.on("error", () => undefined);
  t.after(() => sending.destroy());
  return { gateway, response, sent: () => sent };
}
const recordOf = async (gateway: TestGateway) => {
  await until("the call is recorded", () => gateway.log.calls().length === 1);
  return gateway.log.calls()[0];
};

describe("a caller that reads slowly", () => {
  it("adds nothing to the version's time, and takes none of its total time", async (t) => {
    const beganAt = performance.now();
    // Long, so that a busy machine has time for what is sent before and after the pause.
    const { gateway, response, sent } = await unread(t, { upstream: "timeouts: { totalMs: 6000 }," });
    let stalledAt = performance.now();
    for (let last = -1; performance.now() - beganAt < 6_500; await new Promise((resolve) => setTimeout(resolve, 50))) {
      if (sent() !== last) stalledAt = performance.now();
      last = sent();
    }
    const stalledMs = performance.now() - stalledAt;
    let bytes = 0;
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    assert.equal(bytes, EVENTS * event.length + "data: [DONE]\n\n".length);
    const record = await recordOf(gateway);
    assert.deepEqual([record?.status, record?.errorType], ["ok", ""]);
    assert.ok((record?.latencyMs ?? 0) < performance.now() - beganAt - stalledMs / 2, `${record?.latencyMs} ms`);
  });

  it("is left when it takes nothing for too long: its call is cancelled, and no failure of the version", async (t) => {
    const { gateway, sent } = await unread(t, { extra: "callerIdleMs: 200\n" });
    const record = await recordOf(gateway);
    assert.deepEqual([record?.status, record?.errorType, record?.firstErrorType], ["cancelled", "cancelled", ""]);
    assert.ok(sent() < EVENTS);
    const isFree = async () => /headgate_gateway_in_flight 0\n/.test(await gateway.registry.metrics());
    for (const end = Date.now() + 60_000; !(await isFree()); await new Promise((resolve) => setTimeout(resolve, 20)))
      assert.ok(Date.now() < end, "its place is free");
  });

  it("cannot hold its call for ever by reading a little now and then", async (t) => {
    // Long against what a busy machine needs to fill all buffers: until then the time is the version's.
    const { gateway, response } = await unread(t, { upstream: "timeouts: { totalMs: 3000 }," });
    const sips = setInterval(() => void response.read(1_000), 50);
    t.after(() => clearInterval(sips));
    const record = await recordOf(gateway);
    assert.deepEqual([record?.status, record?.errorType], ["cancelled", "cancelled"]);
  });
});
