import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Outgoing, TaskRole } from "../../src/runtime/port.ts";
import { brakes, commands, type FleetReport, fleet, routing } from "../../topics/index.ts";
import { LossyProxy } from "../fixtures/lossy-proxy.ts";
import { until } from "../fixtures/until.ts";
import { echo, idOf } from "../fixtures/worker-echo-role.ts";
import { command, Harness } from "../fixtures/worker-harness.ts";
import { RegistryGate } from "../fixtures/worker-registry-gate.ts";

function report(instance: string, atMs = 0): Outgoing<typeof fleet> {
  const value: FleetReport = { instance, role: "test", url: "", atMs, routes: [], upstreams: [], droppedRecords: 0, stopping: false };
  return { topic: fleet, partition: 0, key: instance, value };
}

describe("a table", () => {
  let harness: Harness;
  before(async () => {
    harness = await Harness.start();
  });
  after(() => harness.close());

  it("is ready at once when its topic is empty", async () => {
    for (const topic of [brakes, routing]) {
      const table = harness.client.openTable(topic);
      await table.ready;
      assert.equal(table.size, 0);
      await until("it has been fetched", () => table.freshAtMs() > 0);
      await table.close();
    }
  });

  it("is restored when the log ends with markers of transactions, committed and aborted ones", async () => {
    const role: TaskRole = {
      name: "reporter",
      inputs: [commands],
      flushEveryMs: 20,
      flushRecords: 1,
      createTask: () => {
        let outputs: Outgoing[] = [];
        return {
          start: () => undefined,
          take: (record) => void outputs.push(report(idOf(record))),
          flush: () => {
            const batch = { outputs };
            outputs = [];
            return batch.outputs.length === 0 ? null : batch;
          },
        };
      },
    };
    let failures = 0;
    const client = await harness.connect({
      faults: (point) => {
        // The transaction that a failed task leaves open is aborted by its successor: its records stay in the log.
        if (point === "before-commit" && ++failures <= 2) throw new Error("injected");
      },
    });
    const ids = Array.from({ length: 12 }, (_, i) => `instance-${i % 6}`);
    await harness.client.openAppender().append(ids.map((id) => command(id, 0)));
    const running = await client.runRole(role);
    const table = harness.client.openTable(fleet);
    await until("all is reported", () => table.size === 6);
    await running.stop();
    const restored = harness.client.openTable(fleet, { fields: ["instance"] });
    await restored.ready;
    assert.deepEqual([...restored.entries()].map(([key]) => key).sort(), [...new Set(ids)].sort());
    assert.deepEqual(restored.get("instance-0"), { instance: "instance-0" }, "only the fields that were asked for");
    await Promise.all([table.close(), restored.close()]);
  });

  it("tells of changes and deletions in order", async () => {
    const appender = harness.client.openAppender();
    const table = harness.client.openTable(fleet);
    await table.ready;
    const changes: unknown[] = [];
    table.onChange((key, value) => changes.push([key, value?.atMs]));
    await appender.append([report("x", 1), report("x", 2), { topic: fleet, partition: 0, key: "x", value: null }]);
    await until("the changes are seen", () => changes.length === 3);
    assert.deepEqual(changes, [
      ["x", 1],
      ["x", 2],
      ["x", undefined],
    ]);
    assert.equal(table.get("x"), undefined);
    await table.close();
  });

  it("keeps its values while the brokers are gone, knows how old they are, and follows again", async () => {
    const proxy = await LossyProxy.start();
    const client = await harness.connect({ socketFactory: proxy.socketFactory });
    const appender = harness.client.openAppender();
    await appender.append([report("steady", 1)]);
    const table = client.openTable(fleet);
    await table.ready;
    await until("it is fresh", () => table.freshAtMs() > 0);
    proxy.goDown();
    const goneAtMs = Date.now();
    await appender.append([report("steady", 2)]);
    await until("a second has passed without an answer", () => Date.now() - table.freshAtMs() > 1_000);
    assert.ok(table.freshAtMs() <= goneAtMs + 100, "it does not look fresh while nothing answers");
    assert.equal(table.get("steady")?.atMs, 1);
    proxy.comeUp();
    await until("it follows again", () => table.get("steady")?.atMs === 2 && table.freshAtMs() > goneAtMs);
    await client.close();
    await proxy.close();
  });

  it("waits for a registry that is out of reach and then has every value", async () => {
    const { gate, url } = await RegistryGate.before(harness.connection.registryUrl);
    const client = await harness.connect({ registryUrl: url });
    await harness.client.openAppender().append([report("late", 7)]);
    gate.state = "refuse";
    const table = client.openTable(fleet);
    await until("it has been fetched", () => table.freshAtMs() > 0);
    assert.equal(table.size, 0);
    gate.state = "open";
    await table.ready;
    assert.equal(table.get("late")?.atMs, 7);
    await client.close();
    await gate.close();
  });
});

describe("a follower", () => {
  let harness: Harness;
  before(async () => {
    harness = await Harness.start();
  });
  after(() => harness.close());

  it("delivers what was there, or only what comes after it has caught up, each record once", async () => {
    const appender = harness.client.openAppender();
    await appender.append([echo("f", "old-0", 0), echo("f", "old-1", 1)]);
    const all: string[] = [];
    const fresh: string[] = [];
    const topics = [echo("f", "", 0).topic];
    const from = (kind: "beginning" | "end", into: string[]) =>
      harness.client.follow(topics, { from: kind, onRecord: ({ key }) => into.push(String(key)), onError: (error) => assert.fail(error) });
    const followers = [from("beginning", all), from("end", fresh)];
    await Promise.all(followers.map(({ caughtUp }) => caughtUp));
    await appender.append([echo("f", "new-0", 0), echo("f", "new-1", 1)]);
    await until("both have seen the new ones", () => all.length === 4 && fresh.length === 2);
    assert.deepEqual(all.toSorted(), ["new-0", "new-1", "old-0", "old-1"]);
    assert.deepEqual(fresh.toSorted(), ["new-0", "new-1"]);
    await Promise.all(followers.map((follower) => follower.close()));
  });
});
