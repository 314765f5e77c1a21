import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { KnownError } from "../../src/errors/known-error.ts";
import type { LogClient } from "../../src/runtime/port.ts";
import { type EvidenceEntry, evidence } from "../../topics/index.ts";
import { type Api, LossyProxy } from "../fixtures/lossy-proxy.ts";
import { until } from "../fixtures/until.ts";
import { counterRole } from "../fixtures/worker-counter-role.ts";
import { echo } from "../fixtures/worker-echo-role.ts";
import { assertExactlyOnce, Harness } from "../fixtures/worker-harness.ts";

describe("a task whose acknowledgements are lost", () => {
  let harness: Harness;
  let proxy: LossyProxy;
  before(async () => {
    harness = await Harness.start();
    proxy = await LossyProxy.start();
    const client = await harness.connect({ socketFactory: proxy.socketFactory });
    await harness.feed(8);
    await client.runRole(counterRole("counter"));
    await harness.exactlyOnce("counter");
  });
  after(async () => {
    await harness.close();
    await proxy.close();
  });

  const apis: readonly Api[] = ["produce", "addPartitionsToTxn", "addOffsetsToTxn", "txnOffsetCommit", "endTxn", "initProducerId"];
  for (const api of apis) {
    for (const times of [1, 3]) {
      it(`answers each record once when ${times} of ${api} in a row are lost`, async () => {
        const lost = proxy.lost[api] ?? 0;
        proxy.lose(api, times);
        // A task asks for its producer id only when it starts anew.
        if (api === "initProducerId") proxy.lose("endTxn");
        for (let round = 0; (proxy.lost[api] ?? 0) < lost + times; round++) {
          assert.ok(round < 100, "the acknowledgement was never lost: the test proves nothing");
          await harness.feed(8);
          await until("it has come out, or an acknowledgement is lost", async () => (await harness.outputsOf("counter")).size === harness.ids.length);
        }
        await harness.exactlyOnce("counter");
      });
    }
  }

  it("has given each number once: state in the commit metadata went along with the offsets", async () => {
    const numbers = new Map<number, number[]>([
      [0, []],
      [1, []],
    ]);
    const follower = harness.client.follow([evidence], {
      from: "beginning",
      onRecord: ({ partition, value }) => {
        const { input, seq } = value as EvidenceEntry;
        if (input === "counter") numbers.get(partition)?.push(seq);
      },
    });
    await follower.caughtUp;
    await follower.close();
    for (const [partition, given] of numbers) {
      assert.deepEqual(
        given,
        given.map((_, i) => i + 1),
        `partition ${partition}`,
      );
    }
    assert.equal((numbers.get(0)?.length ?? 0) + (numbers.get(1)?.length ?? 0), harness.ids.length);
  });

  it("goes on by itself after the brokers were gone", async () => {
    proxy.goDown();
    await harness.feed(20);
    await sleep(1_500); // how long the outage lasts, not what the test waits for
    proxy.comeUp();
    await harness.exactlyOnce("counter");
  });
});

describe("an appender", () => {
  let harness: Harness;
  let proxy: LossyProxy;
  let client: LogClient;
  before(async () => {
    harness = await Harness.start();
    proxy = await LossyProxy.start();
    client = await harness.connect({ socketFactory: proxy.socketFactory });
  });
  after(async () => {
    await harness.close();
    await proxy.close();
  });

  it("writes each of many concurrent records once, in order per partition, when acknowledgements are lost in between", async () => {
    const appender = client.openAppender();
    const order: number[] = [];
    for (let round = 0; round < 6; round++) {
      proxy.lose("produce", 1 + (round % 2));
      await Promise.all(Array.from({ length: 50 }, (_, i) => appender.append([echo("appender", `${round * 50 + i}`, 0)])));
    }
    const follower = client.follow([evidence], {
      from: "beginning",
      onRecord: ({ value }) => {
        if ((value as EvidenceEntry).input === "appender") order.push(Number((value as EvidenceEntry).route));
      },
    });
    await follower.caughtUp;
    await follower.close();
    assert.ok((proxy.lost.produce ?? 0) >= 9, "acknowledgements were lost");
    assert.deepEqual(
      order,
      Array.from({ length: 300 }, (_, i) => i),
    );
  });

  it("gives up after its budget, and a new producer writes what comes after", async () => {
    const appender = client.openAppender({ retryBudgetMs: 800 });
    await appender.append([echo("budget", "first", 0)]);
    proxy.goDown();
    await assert.rejects(appender.append([echo("budget", "unknown", 0)]));
    proxy.comeUp();
    await appender.append([echo("budget", "second", 0)]);
    const counts = await harness.outputsOf("budget");
    counts.delete("unknown");
    assertExactlyOnce(counts, ["first", "second"]);
  });

  it("refuses a record that does not fit its contract or its topic, and writes the others of the same turn", async () => {
    const appender = client.openAppender();
    const wrong = echo("refused", "x", 0);
    const invalid = { ...wrong, value: { ...wrong.value, seq: -1 } as EvidenceEntry };
    const large = { ...wrong, value: { ...wrong.value, gateEventIds: ["x".repeat(1_100_000)] } as EvidenceEntry };
    const [first, second, third] = await Promise.allSettled([
      appender.append([invalid]),
      appender.append([large]),
      appender.append([echo("refused", "good", 1)]),
    ]);
    assert.ok(first?.status === "rejected" && first.reason instanceof KnownError && first.reason.code === "RECORD_INVALID");
    assert.match(first.reason.message, /seq/);
    assert.ok(second?.status === "rejected" && second.reason instanceof KnownError && second.reason.code === "RECORD_TOO_LARGE");
    assert.equal(third?.status, "fulfilled");
    assertExactlyOnce(await harness.outputsOf("refused"), ["good"]);
  });

  it("writes more at once than one batch of a topic may hold", async () => {
    const ids = Array.from({ length: 12 }, (_, i) => `big-${i}`);
    const text = "x".repeat(200_000);
    await client.openAppender().append(
      ids.map((id) => {
        const record = echo("big", id, 0);
        return { ...record, value: { ...record.value, gateEventIds: [text] } as EvidenceEntry };
      }),
    );
    assertExactlyOnce(await harness.outputsOf("big"), ids);
  });
});
