import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Batch, type EachBatchPayload, Kafka } from "kafkajs";
import { echoRole } from "../fixtures/worker-echo-role.ts";
import { Harness } from "../fixtures/worker-harness.ts";

/** A batch cut to its first record, as another broker could have answered a fetch from the same place. */
function cut(batch: Batch): Batch {
  const [first] = batch.messages;
  return Object.create(batch, { messages: { value: [first] }, lastOffset: { value: () => first?.offset } }) as Batch;
}

describe("a role whose partition moves to another broker while it is fetched", () => {
  let harness: Harness;
  before(async () => {
    harness = await Harness.start();
  });
  after(() => harness.close());

  it("takes each record once, and sees no gap, when what the one has answered comes after what the other has", async (t) => {
    const open = Kafka.prototype.consumer;
    let late = 0;
    t.mock.method(Kafka.prototype, "consumer", function (this: Kafka, config: Parameters<typeof open>[0]) {
      const consumer = open.call(this, config);
      const run = consumer.run.bind(consumer);
      const earlier = new Map<string, EachBatchPayload>();
      const eachBatch = (take: (payload: EachBatchPayload) => Promise<void>) => async (payload: EachBatchPayload) => {
        const place = `${payload.batch.topic} ${payload.batch.partition}`;
        const before = earlier.get(place);
        if (before !== undefined) {
          late++;
          await take({ ...before, batch: cut(before.batch) });
        }
        await take(payload);
        if (payload.batch.messages.length > 1) earlier.set(place, payload);
      };
      return Object.assign(consumer, {
        run: (about: Parameters<typeof run>[0]) => run({ ...about, ...(about?.eachBatch ? { eachBatch: eachBatch(about.eachBatch) } : {}) }),
      });
    });
    const running = await (await harness.connect()).runRole(echoRole("late"));
    let ended: unknown;
    running.finished.catch((error: unknown) => {
      ended = error;
    });
    for (let i = 0; i < 5; i++) {
      await harness.feed(40);
      await Promise.race([harness.exactlyOnce("late"), running.finished.then(() => undefined)]).catch((error: unknown) => {
        ended ??= error;
      });
      assert.equal(ended, undefined, String(ended));
    }
    assert.ok(late > 0, "batches came late");
    await running.stop();
  });
});
