import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, it } from "node:test";
import { prepareKafkajs } from "../../../src/runtime/codec.ts";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";

interface Coordinator {
  lookupRequest: () => (about: object) => object;
  addPartitionsToTxn(about: object): Promise<unknown>;
}
type Class = new (about: object) => Coordinator;

const busy = Object.assign(new Error("concurrent"), { type: "CONCURRENT_TRANSACTIONS" });

/** A broker that answers so, one answer after another, when `answer` is called; the names of what it was asked. */
function coordinator(KafkajsBroker: Class, answers: readonly (Error | "added")[]) {
  const asked: string[] = [];
  const waiting: (() => void)[] = [];
  const send = ({ about }: { about: { transactionalId: string } }) => {
    const answer = answers[asked.length] ?? "added";
    asked.push(about.transactionalId);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    waiting.push(() => (answer === "added" ? resolve(answer) : reject(answer)));
    return promise;
  };
  const broker = new KafkajsBroker({ connectionPool: { send }, logger: { namespace: () => ({}) } });
  broker.lookupRequest = () => (about) => ({ about });
  const answer = async () => {
    waiting.shift()?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
  return { asked, answer, add: (name: string) => broker.addPartitionsToTxn({ transactionalId: name }) };
}

const turn = () => new Promise(setImmediate);

describe("partitions that are added to a transaction", () => {
  const repaired = (): Class => {
    prepareKafkajs();
    return createRequire(import.meta.url)("kafkajs/src/broker") as Class;
  };

  it("are added one request after the other: kafkajs asks at once, which a coordinator refuses", async () => {
    const alone = coordinator(unrepaired<Class>("kafkajs/src/broker"), []);
    void alone.add("one");
    void alone.add("two");
    await turn();
    assert.deepEqual(alone.asked, ["one", "two"], "kafkajs itself has been mended: our repair can go");
    const { asked, answer, add } = coordinator(repaired(), []);
    const both = Promise.all([add("one"), add("two")]);
    await turn();
    assert.deepEqual(asked, ["one"]);
    await answer();
    assert.deepEqual(asked, ["one", "two"]);
    await answer();
    await both;
  });

  it("wait for a coordinator that is still busy with the transaction before", async () => {
    const { asked, answer, add } = coordinator(repaired(), [busy, busy, "added"]);
    const added = add("one");
    await turn();
    for (let i = 0; i < 3; i++) await answer();
    assert.equal(await added, "added");
    assert.deepEqual(asked, ["one", "one", "one"]);
  });

  it("fail with any other answer at once, and those after them are asked for all the same", async () => {
    const { asked, answer, add } = coordinator(repaired(), [Object.assign(new Error("fenced"), { type: "INVALID_PRODUCER_EPOCH" })]);
    const refused = assert.rejects(add("one"), /fenced/);
    const second = add("two");
    await turn();
    await answer();
    await refused;
    await answer();
    assert.equal(await second, "added");
    assert.deepEqual(asked, ["one", "two"]);
  });
});
