import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isKafka } from "../../../src/runtime/kafka/errors.ts";
import { requireAcknowledged, SendUnsureError, sendOnce } from "../../../src/runtime/kafka/sent-once.ts";

const load = createRequire(import.meta.url);
const createSendMessages = load("kafkajs/src/producer/sendMessages") as (
  about: object,
) => (request: object) => Promise<{ topicName: string; partition: number }[]>;
const createEosManager = load("kafkajs/src/producer/eosManager") as (about: object) => object;
const createRetry = load("kafkajs/src/retry") as (options: object) => unknown;
const { KafkaJSProtocolError } = load("kafkajs/src/errors") as { KafkaJSProtocolError: new (error: object) => Error };

type Shares = Parameters<typeof sendOnce>[0];
type Produce = (shares: Shares) => Promise<void>;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const notLeader = () => new KafkaJSProtocolError({ type: "NOT_LEADER_FOR_PARTITION", code: 6, retriable: true, message: "it is not the leader" });

/** kafkajs's own way of sending, over two brokers that do as they are told. Partition n is led by broker `leaders[n]`. */
function cluster(leaders: number[], produces: readonly Produce[]) {
  const received: string[] = [];
  const broker = (nodeId: number) => ({
    nodeId,
    produce: async ({ topicData }: { topicData: Shares }) => {
      await produces[nodeId]?.(topicData);
      const topics = topicData.map(({ topic, partitions }) => ({
        topicName: topic,
        partitions: partitions.map(({ partition }) => ({ partition, errorCode: 0 })),
      }));
      for (const { partitions } of topics) for (const { partition } of partitions) received.push(`${partition} at ${nodeId}`);
      return { topics };
    },
  });
  const brokers = [broker(0), broker(1)];
  const fake = {
    refreshMetadataIfNecessary: async () => undefined,
    refreshMetadata: async () => undefined,
    addMultipleTargetTopics: async () => undefined,
    isConnected: () => true,
    removeBroker: () => undefined,
    findTopicPartitionMetadata: () => leaders.map((leader, partitionId) => ({ partitionId, leader })),
    findLeaderForPartitions: (_topic: string, partitions: readonly string[]) => {
      const perLeader: Record<number, number[]> = {};
      for (const partition of partitions.map(Number)) {
        const leader = leaders[partition] ?? 0;
        perLeader[leader] = [...(perLeader[leader] ?? []), partition];
      }
      return perLeader;
    },
    findBroker: async ({ nodeId }: { nodeId: string }) => brokers[Number(nodeId)],
  };
  const send = createSendMessages({
    logger: silent,
    cluster: fake,
    partitioner: ({ message }: { message: { partition: number } }) => message.partition,
    eosManager: createEosManager({ logger: silent, cluster: fake, transactional: false, transactionTimeout: 1_000 }),
    retrier: createRetry({ initialRetryTime: 20, maxRetryTime: 20, retries: 3 }),
  });
  const messages = leaders.map((_, partition) => ({ partition, key: null, value: Buffer.from("v"), headers: {} }));
  return { received, send: () => send({ acks: -1, topicMessages: [{ topic: "t", messages }] }) };
}

const records = [0, 1].map((partition) => ({ topic: "t", partition, key: null, value: null, headers: {}, maxBytes: 1 }));

describe("a send to several brokers while a leader moves", () => {
  it("says so when a partition was not sent, which kafkajs takes for a success", async () => {
    const leaders = [0, 1];
    const { received, send } = cluster(leaders, [
      async () => undefined,
      async () => {
        await sleep(10); // the other has answered
        leaders[1] = 0;
        throw notLeader();
      },
    ]);
    const answers = await send();
    assert.deepEqual(received, ["0 at 0"], "kafkajs itself has been mended: the check can go");
    assert.throws(() => requireAcknowledged(records, answers), { name: "SendUnsureError", message: /t\[1\] were not/ });
  });

  it("sends nothing a second time that is under way, which kafkajs does", async () => {
    const world = (isGuarded: boolean) => {
      let failed = false;
      const slowly = () => sleep(150);
      return cluster(
        [0, 1],
        [
          async () => {
            if (failed) return;
            failed = true;
            throw notLeader();
          },
          (shares) => (isGuarded ? sendOnce(shares, slowly) : slowly()),
        ],
      );
    };
    const alone = world(false);
    await alone.send();
    await sleep(200);
    assert.equal(alone.received.filter((what) => what === "1 at 1").length, 2, "kafkajs itself has been mended: the guard can go");
    const guarded = world(true);
    await assert.rejects(
      guarded.send(),
      (error: Error) => isKafka(error) && /would be sent twice/.test(`${error.message} ${(error.cause as Error | undefined)?.message}`),
    );
    await sleep(200);
    assert.equal(guarded.received.filter((what) => what === "1 at 1").length, 1);
  });

  it("sends again what has failed", async () => {
    const shares = [{ topic: "t", partitions: [{ partition: 0, messages: [{}] }] }];
    await assert.rejects(
      sendOnce(shares, async () => Promise.reject(notLeader())),
      /not the leader/,
    );
    assert.equal(await sendOnce(shares, async () => "sent"), "sent");
    await assert.rejects(
      sendOnce(shares, async () => "again"),
      SendUnsureError,
    );
  });

  it("is content with an acknowledgement of each partition", () => {
    requireAcknowledged(
      records,
      [0, 1].map((partition) => ({ topicName: "t", partition })),
    );
    assert.throws(() => requireAcknowledged(records, [{ topicName: "u", partition: 0 }]), SendUnsureError);
  });
});
