import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultPoint } from "../../src/runtime/deps.ts";
import { commands } from "../../topics/index.ts";
import { until } from "../fixtures/until.ts";
import { assertExactlyOnce, command, Harness } from "../fixtures/worker-harness.ts";

describe("a role whose processes die", { concurrency: true }, () => {
  let harness: Harness;
  before(async () => {
    harness = await Harness.start();
    await harness.feed(400);
  });
  after(() => harness.close());

  const points: readonly `${FaultPoint}:${number}`[] = [
    "fenced:1",
    "committed-read:2",
    "started:1",
    "before-send:2",
    "after-send:2",
    "before-commit:3",
    "after-commit:2",
  ];
  for (const point of points) {
    it(`answers each record once when it is killed at ${point}`, async () => {
      const role = `kill-${point.replace(":", "-")}`;
      const victim = harness.worker("worker-echo", { WORKER_ROLE: role, FAIL_AT: point });
      assert.equal(await victim.ended, "SIGKILL", victim.output());
      const successor = harness.worker("worker-echo", { WORKER_ROLE: role });
      await harness.exactlyOnce(role);
      successor.child.kill("SIGTERM");
      assert.equal(await successor.ended, "0", successor.output());
    });
  }

  for (const point of ["before-send:2", "before-commit:2"] as const) {
    it(`answers each record once when a process is stopped at ${point} for longer than its session and goes on as a zombie`, async () => {
      const role = `zombie-${point.replace(":", "-")}`;
      const ids = [...harness.ids];
      const zombie = harness.worker("worker-echo", { WORKER_ROLE: role, FAIL_AT: point, FAIL_SIGNAL: "SIGSTOP" });
      await until("the first owner is stopped", () => zombie.output().includes("failing at"));
      const owner = harness.worker("worker-echo", { WORKER_ROLE: role });
      await until("the successor runs both tasks", () => owner.output().split("task running").length === 3);
      zombie.child.kill("SIGCONT");
      await until("the zombie learns that it is one", () => zombie.output().includes("another process took the task"));
      await harness.exactlyOnce(role, ids);
    });
  }
});

describe("the harness itself", () => {
  it("finds the repeated record of a worker that commits its offsets beside its outputs", async (t) => {
    const harness = await Harness.start();
    t.after(() => harness.close());
    const ids = ["a", "b", "c", "d"];
    await harness.client.openAppender().append(ids.map((id) => command(id, 0)));
    const { prefix } = harness.connection;
    const env = { WORKER_ROLE: `${prefix}naive`, FROM: prefix + commands.name, TO: `${prefix}commands.dlq` };
    assert.equal(await harness.worker("worker-naive", { ...env, DIE_AFTER: "2" }).ended, "SIGKILL");
    harness.worker("worker-naive", env);
    const counts = new Map<string, number>();
    await until("all are copied", async () => {
      counts.clear();
      for (const { key } of await harness.rawOf(`${prefix}commands.dlq`)) counts.set(String(key), (counts.get(String(key)) ?? 0) + 1);
      return ids.every((id) => counts.has(id));
    });
    assert.throws(() => assertExactlyOnce(counts, ids), /b x 2/);
  });
});

describe("a role with two processes of which one or the other is killed at random", () => {
  it("answers each record once", async (t) => {
    const harness = await Harness.start();
    t.after(() => harness.close());
    const role = "random";
    const start = () => harness.worker("worker-echo", { WORKER_ROLE: role });
    const workers = [start(), start()];
    for (let round = 0; round < 4; round++) {
      const before = (await harness.outputsOf(role)).size;
      await harness.feed(200);
      await until("work goes on", async () => (await harness.outputsOf(role)).size > before);
      await sleep(Math.random() * 300);
      const victim = workers.splice(Math.floor(Math.random() * 2), 1)[0];
      victim?.child.kill("SIGKILL");
      workers.push(start());
    }
    await harness.exactlyOnce(role);
  });
});
