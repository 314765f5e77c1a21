import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { rangesFor } from "../../src/domain/routing/ranges.ts";
import { steadyNowMs } from "../../src/runtime/steady-clock.ts";
import { brakes, commands, type Request, requests, rollouts, routing } from "../../topics/index.ts";
import type { OwnBrokers } from "../fixtures/cluster.ts";
import { callsOf, collected, deadlineMs, eventually, gatewayWorld, numbers, publish } from "../fixtures/gateway-world.ts";
import { type KafkaTrio, kafkaTrio } from "../fixtures/kafka-trio.ts";
import { LossyProxy } from "../fixtures/lossy-proxy.ts";
import { until } from "../fixtures/until.ts";
import { echoRole, idOf } from "../fixtures/worker-echo-role.ts";
import { Harness } from "../fixtures/worker-harness.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";

/** A gateway on its first table, with everybody on the candidate, the usual limit of staleness, and calls that never stop. */
async function busyGateway(t: TestContext, brokers: OwnBrokers) {
  const made = await gatewayWorld(t, "", brokers);
  const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
  await publish(made.client, tableWith({ epoch: 1, ranges, staleAfterMs: 60_000, atMs: Date.now() }));
  const seen = collected(t, made.client, requests) as Request[];
  const gateway = await made.start("gateway-1");
  await eventually("the table is obeyed", async () => (await gateway.state()).routes[0]?.epoch === 1);
  const served = new Map<string | undefined, number>();
  let sent = 0;
  let isOver = false;
  const traffic = (async () => {
    while (!isOver) {
      const text = await gateway.chat(String(sent++));
      served.set(text, (served.get(text) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const finish = async () => {
    isOver = true;
    await traffic;
    return sent;
  };
  t.after(finish);
  return { gateway, seen, served, finish };
}

/** A role of two inputs, and records that never stop. */
async function busyRole(t: TestContext, brokers: OwnBrokers) {
  const harness = await Harness.start(brokers);
  const running = await (await harness.connect()).runRole(echoRole("echo"));
  let isOver = false;
  const traffic = (async () => {
    while (!isOver) {
      await harness.feed(10).catch(() => undefined); // no acknowledgement in time: the same ids come again
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  const finish = async () => {
    isOver = true;
    await traffic;
  };
  t.after(async () => {
    await finish().catch(() => undefined);
    await running.stop();
    await harness.close();
  });
  return { harness, running, finish };
}

/** An append whose acknowledgement a broker took with it is in the log as often as it was tried; a role takes each record once. */
async function comesOutAsOften(harness: Harness, role: string): Promise<void> {
  const fed = new Map<string, number>();
  const follower = harness.client.follow([commands, rollouts], {
    from: "beginning",
    onRecord: (record) => void fed.set(idOf(record), (fed.get(idOf(record)) ?? 0) + 1),
  });
  await follower.caughtUp;
  await follower.close();
  assert.deepEqual(new Set(fed.keys()), new Set(harness.ids));
  let answered = new Map<string, number>();
  const isWhole = async () => {
    answered = await harness.outputsOf(role);
    return answered.size === fed.size;
  };
  await until("all inputs are answered", isWhole, deadlineMs).catch(() => undefined);
  assert.deepEqual(answered, fed);
}

describe("on three brokers", () => {
  let trio: KafkaTrio;
  before(async () => {
    trio = await kafkaTrio();
  });
  after(() => trio.stop());

  /** Everything runs while the brokers change; then each call and record must have come out once, and nobody may have been put on the baseline. */
  async function survives(t: TestContext, brokers: OwnBrokers, change: (settled: (what: string) => Promise<void>) => Promise<void>): Promise<void> {
    const role = await busyRole(t, brokers);
    const { gateway, seen, served, finish } = await busyGateway(t, brokers);
    const table = role.harness.client.openTable(routing);
    await table.ready;
    let ended: unknown;
    role.running.finished.catch((error: unknown) => {
      ended = error;
    });
    await change(async (what) => {
      const sinceMs = steadyNowMs();
      await until(`a table is fresh after ${what}`, () => table.freshAtMs() > sinceMs + 5_000, deadlineMs);
      await eventually(`the gateway obeys after ${what}`, async () => (await gateway.state()).routes[0]?.hold === null);
    });
    const sent = await finish();
    await role.finish();
    await until("every call is in the topic", () => callsOf(seen).length >= sent, deadlineMs);
    assert.deepEqual(callsOf(seen), numbers(sent));
    await comesOutAsOften(role.harness, "echo");
    assert.equal(ended, undefined, "the role went on");
    assert.deepEqual([...served.keys()], ["from b"], "each call was served as the table says");
  }

  it("all brokers are restarted, one after the other, by TLS and with logins that end: nothing ends, is lost, repeated, or taken for stale", async (t) => {
    await survives(t, trio.secured, async (settled) => {
      for (const index of trio.brokers.keys()) {
        await trio.leave(index);
        await settled(`broker ${index} left`);
        await trio.start(index);
        await settled(`broker ${index} is back`);
        await trio.inSync();
      }
    });
  });

  it("one broker is down at the start, comes back, and another dies: nothing ends, is lost or repeated", async (t) => {
    await trio.leave(0);
    await survives(t, { brokers: trio.brokers }, async (settled) => {
      await trio.start(0);
      await settled("broker 0 is back");
      await trio.inSync();
      await trio.kill(1);
      await settled("broker 1 died");
      await trio.start(1);
      await settled("broker 1 is back");
    });
  });

  it("a table follows a leadership that moves while all brokers run, without being interrupted, though the former leader goes on answering", async (t) => {
    const told: string[] = [];
    const log = pino({ level: "warn" }, { write: (line: string) => void told.push(line) });
    const harness = await Harness.start({ brokers: trio.brokers });
    t.after(() => harness.close());
    const proxy = await LossyProxy.start();
    t.after(() => proxy.close());
    const table = (await harness.connect({ log, socketFactory: proxy.socketFactory })).openTable(brakes);
    await table.ready;
    await until("it is fresh", () => table.freshAtMs() > 0, deadlineMs);
    // A broker that has the question while it loses the leadership says so; one that is asked afterwards answers as a follower may.
    proxy.hold("fetch");
    await trio.moveLeader(`${harness.connection.prefix}${brakes.name}`);
    proxy.release();
    const movedAtMs = steadyNowMs();
    await until("it is fresh again", () => table.freshAtMs() > movedAtMs + 12_000, deadlineMs);
    assert.deepEqual(told, []);
  });
});
