import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import kafkajs, { Kafka, logLevel } from "kafkajs";
import { applyTopics } from "../../src/runtime/topic-admin.ts";
import type { CallRecord } from "../../src/stages/1-gateway/call/record.ts";
import { EventClock } from "../../src/stages/1-gateway/log/event-clock.ts";
import { markRecord } from "../../src/stages/1-gateway/log/mark-record.ts";
import { RequestLog } from "../../src/stages/1-gateway/log/request-log.ts";
import { type Request, requests } from "../../topics/index.ts";
import { until } from "../fixtures/until.ts";
import { Harness } from "../fixtures/worker-harness.ts";
import { silentLog } from "../unit/stages/1-gateway/harness.ts";

const limitBytes = 20_000;
const call = (id: string, bytes: number): CallRecord => {
  const { kind: _kind, instance: _instance, seq: _seq, markMs: _mark, endedAtMs: _ended, ...rest } = markRecord("", 0, 0);
  // What cannot be compressed: the broker looks at the compressed size.
  return { ...rest, requestId: id, subject: id, requestBody: randomBytes(bytes / 2).toString("hex") };
};
const outgoing = (id: string, bytes: number, partition = 0) => {
  const value: Request = { ...markRecord("g", 0, 1), ...call(id, bytes), kind: "call" };
  return { topic: requests, partition, key: id, value };
};

describe("a topic that takes less than its contract says", () => {
  let harness: Harness;
  before(async () => {
    harness = await Harness.start();
    const kafka = new Kafka({ brokers: [...harness.connection.brokers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    const name = `${harness.connection.prefix}${requests.name}`;
    const configEntries = [{ name: "max.message.bytes", value: String(limitBytes) }];
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name, configEntries }] });
    await admin.disconnect();
  });
  after(() => harness.close());

  it("refuses a record by the code of one that is too large, and not the records of others that were sent with it", async () => {
    const appender = harness.client.openAppender();
    const [small, large, other] = await Promise.allSettled([
      appender.append([outgoing("a", 10)]),
      appender.append([outgoing("b", 10), outgoing("c", 100_000)]),
      appender.append([outgoing("d", 10)]),
    ]);
    assert.deepEqual([small?.status, other?.status], ["fulfilled", "fulfilled"]);
    assert.equal(large?.status === "rejected" ? (large.reason as { code: string }).code : "", "RECORD_TOO_LARGE");
    await appender.append([outgoing("e", 10)]);
    await appender.close();
  });

  it("loses the gateway exactly the records that do not fit, which are counted and leave a gap; the log goes on", async () => {
    const drops: Record<string, number> = {};
    const records = new RequestLog({
      instance: "g-2",
      clock: new EventClock(),
      log: silentLog,
      maxRecords: 1_000,
      maxBytes: 1e9,
      onAppendFailure: () => undefined,
      onDrop: (reason, count) => {
        drops[reason] = (drops[reason] ?? 0) + count;
      },
    });
    records.connect({ appender: harness.client.openAppender(), partitions: 2, partitionOf: (subject) => Number(subject) % 2 });
    const seen: (Request & { partition: number })[] = [];
    const follower = harness.client.follow([requests], {
      from: "beginning",
      onRecord: ({ partition, value }) => {
        const request = value as Request;
        if (request.instance === "g-2") seen.push({ ...request, partition });
      },
    });
    for (let id = 0; id < 40; id++) records.push(call(String(id), id % 10 === 4 ? 100_000 : 100));
    await until("all that fit are in the topic", () => new Set(seen.flatMap(({ kind, requestId }) => (kind === "call" ? [requestId] : []))).size === 36);
    records.push(call("40", 100));
    await until("the next one too", () => seen.some(({ requestId }) => requestId === "40"));
    await records.stop(Date.now() + 5_000);
    await follower.close();
    assert.deepEqual(drops, { refused: 4 });
    const numbers = [...new Set(seen.filter(({ partition }) => partition === 0).map(({ seq }) => seq))];
    assert.equal(Math.max(...numbers) - numbers.length, 4);
  });
});

describe("a topic that is deleted while it is written", () => {
  it("is named as missing, and written again when it is there", async (t) => {
    const harness = await Harness.start();
    t.after(() => harness.close());
    const appender = harness.client.openAppender({ retryBudgetMs: 3_000 });
    await appender.append([outgoing("a", 10)]);
    const admin = new Kafka({ brokers: [...harness.connection.brokers], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [`${harness.connection.prefix}${requests.name}`] });
    await admin.disconnect();
    await assert.rejects(appender.append([outgoing("b", 10)]), { code: "TOPIC_MISSING", message: /requests does not exist/, fix: /topics apply/ });
    await applyTopics({ ...harness.connection, partitions: "small", log: silentLog });
    await until("it is written again", () =>
      appender.append([outgoing("c", 10)]).then(
        () => true,
        () => false,
      ),
    );
    await appender.close();
  });
});
