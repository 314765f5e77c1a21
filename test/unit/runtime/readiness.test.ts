import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it, type TestContext } from "node:test";
import { Registry } from "prom-client";
import { Readiness, serveHealth } from "../../../src/runtime/process/health-server.ts";
import { program as gateway } from "../../../src/stages/1-gateway/main.ts";
import { program as control } from "../../../src/stages/6-control/main.ts";
import { until } from "../../fixtures/until.ts";

const ask = async (url: string) => {
  const answer = await fetch(`${url}/readyz`);
  return { status: answer.status, body: (await answer.json()) as unknown };
};

/** A role that decides by one table, on a clock that the test moves. */
async function world(t: TestContext, { mayBeStale }: { readonly mayBeStale: boolean }) {
  const state = { nowMs: 1_000_000, freshAtMs: 0 };
  const readiness = new Readiness({ mayBeStale, nowMs: () => state.nowMs });
  readiness.follow("decider", { brakes: { freshAtMs: () => state.freshAtMs } });
  const { port, close } = await serveHealth({ host: "127.0.0.1", port: 0, readiness, metrics: new Registry() });
  t.after(close);
  return { state, readiness, ready: () => ask(`http://127.0.0.1:${port}`) };
}

const staleSince = (ageSeconds: number | null) => [{ role: "decider", table: "brakes", ageSeconds }];

describe("/readyz of a role that decides by tables", () => {
  it("is 503 before the first fetch and from a minute after the last on, names the table and its age, and comes back by itself", async (t) => {
    const { state, ready } = await world(t, { mayBeStale: false });
    assert.deepEqual(await ready(), { status: 503, body: { ready: false, missing: [], stale: staleSince(null) } });
    state.freshAtMs = state.nowMs;
    assert.deepEqual(await ready(), { status: 200, body: { ready: true, missing: [], stale: [] } });
    state.nowMs += 59_999;
    assert.equal((await ready()).status, 200);
    state.nowMs += 15_500;
    assert.deepEqual(await ready(), { status: 503, body: { ready: false, missing: [], stale: staleSince(75) } });
    state.freshAtMs = state.nowMs - 10;
    assert.deepEqual(await ready(), { status: 200, body: { ready: true, missing: [], stale: [] } });
  });

  it("stays 200 where its process serves without Kafka, and tells the same; conditions count as ever", async (t) => {
    const { state, readiness, ready } = await world(t, { mayBeStale: true });
    state.freshAtMs = state.nowMs - 75_000;
    assert.deepEqual(await ready(), { status: 200, body: { ready: true, missing: [], stale: staleSince(75) } });
    readiness.set("routing", () => false);
    assert.deepEqual(await ready(), { status: 503, body: { ready: false, missing: ["routing"], stale: staleSince(75) } });
  });

  it("asks for the tables of the run that is under way", async (t) => {
    const { readiness, ready } = await world(t, { mayBeStale: false });
    readiness.follow("decider", {});
    assert.equal((await ready()).status, 200);
  });

  for (const servesWithoutKafka of [true, undefined]) {
    it(`is of the tables that a program names, which ${servesWithoutKafka ? "serves" : "does nothing"} without Kafka`, async (t) => {
      const source = `
        import { z } from "zod";
        import { runPrograms } from "./src/runtime/run-program.ts";
        const follows = {
          name: "follows",
          configuration: z.object({}),
          async start() {
            const { promise: finished, resolve } = Promise.withResolvers();
            return { finished, tables: { routing: { freshAtMs: () => performance.timeOrigin + performance.now() - 120_000 } }, stop: async () => resolve() };
          },
        };
        process.exit(await runPrograms([{ ...follows, servesWithoutKafka: ${servesWithoutKafka} }], process.env));`;
      const env = { ...process.env, KAFKA_BROKERS: "127.0.0.1:1", SCHEMA_REGISTRY_URL: "http://127.0.0.1:1", HEADGATE_PORT: "0" };
      const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", source], { env, stdio: ["ignore", "pipe", "inherit"] });
      t.after(() => child.kill("SIGKILL"));
      let output = "";
      child.stdout.on("data", (chunk) => (output += String(chunk)));
      const port = await until("it serves", () => /"port":(\d+),"msg":"health/.exec(output)?.[1]);
      const told = await until("it has started", async () => {
        const answer = await ask(`http://127.0.0.1:${port}`);
        return (answer.body as { readonly missing: readonly string[] }).missing.length === 0 && answer;
      });
      const ready = servesWithoutKafka ?? false;
      assert.deepEqual(told, {
        status: ready ? 200 : 503,
        body: { ready, missing: [], stale: [{ role: "follows", table: "routing", ageSeconds: 120 }] },
      });
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      assert.deepEqual(await ended, [0, null]);
    });
  }

  it("is never of gateway and control, whose callers must not be turned away", () => {
    assert.deepEqual([gateway.servesWithoutKafka, control.servesWithoutKafka], [true, true]);
  });
});
