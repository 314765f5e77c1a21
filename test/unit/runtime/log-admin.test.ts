import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { LogAdmin } from "../../../src/runtime/kafka/admin.ts";
import { isKafka } from "../../../src/runtime/kafka/errors.ts";
import { Freshness } from "../../../src/runtime/kafka/freshness.ts";
import { StallWatch } from "../../../src/runtime/stall-watch.ts";
import { muteBroker } from "../../fixtures/mute-broker.ts";
import { METADATA, metadataOf, smallBroker, topicsOf } from "../../fixtures/small-broker.ts";
import { until } from "../../fixtures/until.ts";

const connectionTo = (broker: string) => ({ brokers: [broker], clientId: "test", log: pino({ level: "silent" }) });

/**
 * A cluster of one broker in which `missing` is no topic. What is asked about `slow` waits until the test lets it go, and what begins with `mute` is never answered.
 */
async function cluster(t: TestContext, deadlineMs?: number) {
  let isAsked = false;
  const unanswered: string[] = [];
  let address = "";
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { broker, opened } = await smallBroker(t, {
    [METADATA]: async (body) => {
      const topics = topicsOf(body);
      const mute = topics.find((name) => name.startsWith("mute"));
      if (mute !== undefined) {
        unanswered.push(mute);
        return null;
      }
      if (topics.includes("slow")) {
        isAsked = true;
        await released;
      }
      return metadataOf(
        [address],
        1,
        topics.map((name) => ({ name, ...(name === "missing" ? { error: 3 } : {}) })),
      );
    },
  });
  address = broker;
  const admin = new LogAdmin(connectionTo(broker), deadlineMs);
  t.after(() => admin.close());
  return { admin, opened, unanswered, release, slowIsAsked: () => until("it is asked", () => isAsked) };
}

describe("questions to a cluster, which share a connection", () => {
  it("are not disturbed by one that was answered with an error", async (t) => {
    const { admin, opened, release, slowIsAsked } = await cluster(t);
    const slow = admin.partitionCounts(["slow"]);
    await slowIsAsked();
    assert.deepEqual(await admin.partitionCounts(["missing"]), new Map());
    release();
    assert.deepEqual(await slow, new Map([["slow", 1]]));
    assert.equal(opened(), 1, "on one connection");
  });

  it("are asked once more when the connection is given up for another", async (t) => {
    const { admin, opened, release, slowIsAsked } = await cluster(t, 2_000);
    const mute = assert.rejects(admin.partitionCounts(["mute"]), /no answer/);
    await sleep(1_000);
    const slow = admin.partitionCounts(["slow"]);
    await slowIsAsked();
    await mute;
    release();
    assert.deepEqual(await slow, new Map([["slow", 1]]));
    assert.equal(opened(), 2);
  });

  it("end when there is no answer in time, and the next is asked on a new connection", async (t) => {
    const { admin, opened } = await cluster(t, 300);
    await assert.rejects(admin.partitionCounts(["mute"]), (error: Error) => {
      assert.match(error.message, /no answer within 0\.3 s/);
      assert.ok(isKafka(error), "an outage, not a bug");
      return true;
    });
    assert.deepEqual(await admin.partitionCounts(["there"]), new Map([["there", 1]]));
    assert.equal(opened(), 2);
  });

  it("end with the client, as an outage, and are not asked after it", async (t) => {
    const { admin, opened, slowIsAsked } = await cluster(t);
    const slow = assert.rejects(admin.partitionCounts(["slow"]), isKafka);
    await slowIsAsked();
    await admin.close();
    await slow;
    await assert.rejects(admin.partitionCounts(["there"]), isKafka);
    assert.equal(opened(), 1);
  });

  it("end also while the connection is made, with it", async (t) => {
    const mute = await muteBroker(t);
    const admin = new LogAdmin(connectionTo(mute.broker), 200);
    await assert.rejects(admin.reach(), /did not answer \(.*no answer within 0\.2 s/);
    await until("the connection is closed", () => mute.closed() === mute.opened());
    await admin.close();
  });

  it("end in time also for who asks now and then, and asks again", async (t) => {
    const { admin, unanswered } = await cluster(t, 100);
    let nowMs = 0;
    const freshness = new Freshness(admin, ["mute table"], () => nowMs);
    freshness.joined();
    const watch = new StallWatch(
      10,
      async () => void (await admin.partitionCounts(["mute"])),
      () => nowMs,
    );
    nowMs = 20;
    await watch.look();
    await until("it is asked again", () => {
      freshness.fetched("1");
      return unanswered.filter((name) => name === "mute table").length > 1;
    });
    nowMs = 40;
    assert.equal(await watch.look(), false, "it asks, and is answered that Kafka is away");
  });
});
