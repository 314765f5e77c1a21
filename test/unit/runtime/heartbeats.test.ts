import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { it } from "node:test";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";

interface Member {
  memberId: string;
  groupId: string;
  generationId: number;
  coordinator: { heartbeat(): Promise<void> };
  lastRequest: number;
  heartbeat(about: { readonly interval: number }): Promise<void>;
}
type Members = new (options: object) => Member;
const used = createRequire(import.meta.url)("kafkajs/src/consumer/consumerGroup") as Members;

/** A member whose coordinator counts how often it is asked. */
function member(ConsumerGroup: Members) {
  let asked = 0;
  const made = new ConsumerGroup({
    instrumentationEmitter: { emit: () => undefined },
    topicConfigurations: {},
    topics: [],
    cluster: {},
    logger: { namespace: () => ({}) },
  });
  Object.assign(made, { memberId: "m", groupId: "g", generationId: 1, coordinator: { heartbeat: async () => void asked++ } });
  return { made, asked: () => asked };
}

it("a member of a group whose clock was set back by an hour goes on with its heartbeats, which kafkajs alone does an hour later", async (t) => {
  let wallMs = 1_800_000_000_000;
  t.mock.method(Date, "now", () => wallMs);
  const beats = async ({ made, asked }: ReturnType<typeof member>) => {
    wallMs -= 3_600_000;
    await made.heartbeat({ interval: 3_000 });
    assert.equal(asked(), 0, "not at once");
    wallMs += 3_000;
    await made.heartbeat({ interval: 3_000 });
    return asked();
  };
  assert.equal(await beats(member(unrepaired("kafkajs/src/consumer/consumerGroup"))), 0, "kafkajs itself has been mended: our repair can go");
  const { prepareKafkajs } = await import("../../../src/runtime/codec.ts");
  prepareKafkajs();
  assert.equal(await beats(member(used)), 1);
});
