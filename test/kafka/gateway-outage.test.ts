import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { freePort } from "../../src/dev/demo/processes.ts";
import { rangesFor } from "../../src/domain/routing/ranges.ts";
import { type Brake, brakes, type Request, requests } from "../../topics/index.ts";
import { callsOf, collected, deadlineMs, eventually, gatewayWorld, numbers, publish } from "../fixtures/gateway-world.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";
import { until } from "../unit/stages/1-gateway/harness.ts";

/** Everybody on the candidate. */
async function world(t: TestContext) {
  const made = await gatewayWorld(t);
  const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
  await publish(made.client, tableWith({ epoch: 1, ranges, staleAfterMs: 600_000, atMs: Date.now() }));
  return { ...made, seen: collected(t, made.client, requests) as Request[] };
}

describe("a gateway without Kafka", () => {
  it("goes on when it is cut off, restarts, is braked, and loses nothing: no call fails, each is recorded once, the brake reaches the topic", async (t) => {
    const { client, proxy, data, seen, start } = await world(t);
    const stops = collected(t, client, brakes) as Brake[];
    let sent = 0;
    const first = await start("gateway-1");
    await eventually("the table is obeyed", async () => (await first.state()).routes[0]?.epoch === 1);
    const calls = async (gateway: { chat: (id: string) => Promise<string | undefined> }, count: number, expected: string) => {
      for (let i = 0; i < count; i++) assert.equal(await gateway.chat(String(sent++)), expected);
    };
    await calls(first, 20, "from b");
    proxy.goDown();
    await calls(first, 20, "from b");
    await eventually("records go to disk", async () => (await first.state()).log.spooledBytes > 0);
    await calls(first, 20, "from b");
    await eventually("the loss is told", async () => (await first.state()).remarks.some(({ code }) => code === "disconnected"));
    assert.equal((await first.state()).connected, false);
    await first.stop();

    const second = await start("gateway-2");
    await calls(second, 20, "from b");
    assert.equal((await second.brake("support-answer")).status, 200);
    await calls(second, 20, "hello");
    assert.equal((await second.state()).connected, false);
    proxy.comeUp();
    await eventually("it has reconnected", async () => (await second.state()).connected);
    await calls(second, 20, "hello");
    await until("every call is in the topic", () => callsOf(seen).length >= sent, deadlineMs);
    assert.deepEqual(callsOf(seen), numbers(sent));
    await until("the brake is in the topic", () => stops.length > 0, deadlineMs);
    assert.deepEqual([stops[0]?.route, stops[0]?.rollout, stops[0]?.attempt, stops[0]?.reason], ["support-answer", "support-answer-b", 1, "it swears"]);
    await until("nothing is left on disk but its own place", () => readdirSync(join(data, "spool")).length === 1, deadlineMs);
  });

  it("writes all it kept when Kafka comes back in the middle of traffic, without a restart", async (t) => {
    const { proxy, seen, start } = await world(t);
    const gateway = await start("gateway-1");
    await eventually("the table is obeyed", async () => (await gateway.state()).routes[0]?.epoch === 1);
    let sent = 0;
    let isOver = false;
    const traffic = (async () => {
      while (!isOver) {
        assert.equal(await gateway.chat(String(sent++)), "from b");
        await new Promise((done) => setTimeout(done, 5));
      }
    })();
    for (let outage = 0; outage < 2; outage++) {
      await new Promise((done) => setTimeout(done, 500));
      proxy.goDown();
      await eventually("records go to disk", async () => (await gateway.state()).log.spooledBytes > 0);
      proxy.comeUp();
      await eventually("the disk is empty again", async () => (await gateway.state()).log.spooledBytes === 0);
    }
    isOver = true;
    await traffic;
    await gateway.stop();
    await until("every call is in the topic", () => callsOf(seen).length >= sent, deadlineMs);
    assert.deepEqual(callsOf(seen), numbers(sent));
  });

  it("serves when only the schema registry is away, and catches up when it is back", async (t) => {
    const { client, seen, start } = await world(t);
    assert.ok(client.prefix.length > 0);
    const gateway = await start("gateway-1", { registryUrl: `http://127.0.0.1:${await freePort()}` });
    for (let i = 0; i < 5; i++) assert.equal(await gateway.chat(String(i)), "hello");
    assert.equal((await gateway.state()).connected, false);
    await gateway.stop();
    const back = await start("gateway-2");
    await until("every call is in the topic", () => callsOf(seen).length >= 5, deadlineMs);
    await eventually("the table is obeyed", async () => (await back.state()).routes[0]?.epoch === 1);
    assert.equal(await back.chat("5"), "from b");
    await until("every call is in the topic", () => callsOf(seen).length >= 6, deadlineMs);
    assert.deepEqual(callsOf(seen), numbers(6));
  });
});
