import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, type KafkaMessage, logLevel } from "kafkajs";
import { ParkError, type TaskRole } from "../../src/runtime/port.ts";
import { commands } from "../../topics/index.ts";
import { until } from "../fixtures/until.ts";
import { echo, echoRole, idOf } from "../fixtures/worker-echo-role.ts";
import { assertExactlyOnce, command, Harness } from "../fixtures/worker-harness.ts";
import { RegistryGate } from "../fixtures/worker-registry-gate.ts";

/**
 * Reads on but never commits more than the first offset: all it has done is in its metadata, as with a judge that waits
 * for one slow answer. After each restart it sees everything again.
 */
function holdingRole(name: string, parked: string[]): TaskRole {
  return {
    name,
    inputs: [commands],
    flushEveryMs: 20,
    flushRecords: 10,
    createTask: ({ partition }) => {
      let done = 0;
      let next = 0;
      let pending: string[] = [];
      return {
        start: (committed) => {
          done = Number(committed.get(commands.name)?.metadata || "0");
          return undefined;
        },
        take: (record) => {
          const id = idOf(record);
          if (id.startsWith("park")) throw new ParkError("this one is not wanted");
          next = record.offset + 1;
          if (record.offset >= done) pending.push(id);
        },
        parked: (_topic, offset) => {
          parked.push(`${partition}@${offset}`);
          next = offset + 1;
        },
        flush: () => {
          if (pending.length === 0 && next <= done) return null;
          const outputs = pending.map((id) => echo(name, id, partition));
          pending = [];
          done = Math.max(done, next);
          return { outputs, offsets: { [commands.name]: { offset: 0, metadata: String(done) } } };
        },
      };
    },
  };
}

const header = (message: KafkaMessage | undefined, name: string) => String(message?.headers?.[name]);

describe("a record that cannot be processed", () => {
  let harness: Harness;
  before(async () => {
    harness = await Harness.start();
  });
  after(() => harness.close());

  it("goes to the dead-letter topic once, untouched, also when the task reads it again after each restart", async () => {
    const topic = harness.connection.prefix + commands.name;
    const kafka = new Kafka({ brokers: [...harness.connection.brokers], clientId: "poisoner", logLevel: logLevel.NOTHING });
    const poisoner = kafka.producer();
    await poisoner.connect();
    const appender = harness.client.openAppender();
    const ids: string[] = [];
    const bad: Buffer[] = [];
    for (let session = 0; session < 3; session++) {
      const good = Array.from({ length: 5 }, (_, i) => `good-${session}-${i}`);
      const poison = [Buffer.from([9, 9, session]), Buffer.from([0, 0, 0, 255, 255 - session, 1, 2]), Buffer.from([])];
      await appender.append(good.slice(0, 3).map((id) => command(id, 0)));
      await poisoner.send({ topic, messages: poison.map((value) => ({ partition: 0, key: `bad-${session}`, value, headers: { trace: "t-1" } })) });
      await appender.append([command(`park-${session}`, 0), ...good.slice(3).map((id) => command(id, 0))]);
      ids.push(...good);
      bad.push(...poison);
      const client = await harness.connect();
      const role = await client.runRole(holdingRole("holding", []));
      await until("the good ones came out", async () => (await harness.outputsOf("holding")).size === ids.length);
      await until("the bad ones are parked", async () => (await harness.rawOf(`${topic}.dlq`)).length >= bad.length + session + 1);
      await role.stop();
      await client.close();
    }
    await poisoner.disconnect();
    assertExactlyOnce(await harness.outputsOf("holding"), ids);
    const parked = await harness.rawOf(`${topic}.dlq`);
    const untouched = parked.filter((message) => String(message.key).startsWith("bad"));
    assert.deepEqual(
      untouched.map(({ value }) => value),
      bad,
    );
    assert.equal(parked.length, bad.length + 3, "each is there once");
    assert.equal(new Set(parked.map((message) => header(message, "x-dlq-offset"))).size, parked.length);
    const [first] = untouched;
    assert.equal(header(first, "trace"), "t-1");
    assert.equal(header(first, "x-dlq-topic"), topic);
    assert.equal(header(first, "x-dlq-partition"), "0");
    assert.equal(header(first, "x-dlq-role"), "holding");
    assert.match(header(first, "x-dlq-error"), /commands/);
    const refused = parked.find((message) => String(message.key).startsWith("park"));
    assert.match(header(refused, "x-dlq-error"), /not wanted/);
  });
});

describe("a registry out of reach", () => {
  it("makes tasks wait, and sends nothing to a dead-letter topic", async (t) => {
    const harness = await Harness.start();
    const { gate, url } = await RegistryGate.before(harness.connection.registryUrl);
    t.after(async () => {
      await harness.close();
      await gate.close();
    });
    await harness.feed(20);
    const { prefix } = harness.connection;
    for (const state of ["refuse", "error", "page"] as const) {
      gate.state = "open";
      const role = `registry-${state}`;
      const client = await harness.connect({ registryUrl: url });
      gate.state = state;
      const running = await client.runRole(echoRole(role));
      await until("the tasks run", () => running.owned().length === 2);
      await sleep(700); // time enough to do the wrong thing; what is asserted is that it was not done
      assert.equal((await harness.outputsOf(role)).size, 0);
      gate.state = "open";
      await harness.exactlyOnce(role);
      await running.stop();
    }
    for (const name of ["commands", "rollouts"]) assert.deepEqual(await harness.rawOf(`${prefix}${name}.dlq`), []);
  });
});
