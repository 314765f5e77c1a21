import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { freePort } from "../../../../src/dev/demo/processes.ts";
import { answerJson, ask, completion, fileFor, testUpstream, until } from "./harness.ts";

const deadlineMs = 60_000;

interface Running {
  readonly process: ChildProcess;
  readonly url: string;
  readonly healthUrl: string;
  /** Process ids of the workers that have listened, in that order. */
  listened(): number[];
  /** How many times a worker said that it stops. */
  stopping(): number;
  chat(headers?: Readonly<Record<string, string>>): Promise<Response>;
}

/** `headgate gateway --workers 2` as a process of its own, with a Kafka that is not there. */
async function running(t: TestContext, yaml: string): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-workers-"));
  const file = join(directory, "gateway.yaml");
  writeFileSync(file, yaml);
  const [port, health] = [await freePort(), await freePort()];
  const env = {
    PATH: process.env.PATH,
    KAFKA_BROKERS: "127.0.0.1:9",
    SCHEMA_REGISTRY_URL: "http://127.0.0.1:9",
    HEADGATE_PORT: String(health),
    HEADGATE_GATEWAY_PORT: String(port),
    HEADGATE_GATEWAY_CONFIG: file,
    HEADGATE_GATEWAY_DATA: join(directory, "data"),
    NODE_NO_WARNINGS: "1",
  };
  const child = spawn(process.execPath, ["src/cli/main.ts", "gateway", "--workers", "2"], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    rmSync(directory, { recursive: true, force: true });
  });
  const listened = () => [...output.matchAll(/"pid":(\d+)[^\n]*"gateway listens"/g)].map(([, pid]) => Number(pid));
  const url = `http://127.0.0.1:${port}`;
  return {
    process: child,
    url,
    healthUrl: `http://127.0.0.1:${health}`,
    listened,
    stopping: () => output.split('"msg":"stopping"').length - 1,
    chat: (headers = {}) =>
      fetch(`${url}/v1/chat/completions`, { method: "POST", headers: { connection: "close", ...headers }, body: JSON.stringify(ask("hi", { user: "u" })) }),
  };
}

describe("a gateway of several processes", () => {
  it("shares its port, starts again who dies, adds up its metrics and finishes its calls when it is stopped", async (t) => {
    const upstream = await testUpstream(t);
    const gateway = await running(t, fileFor(upstream));
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    for (let i = 0; i < 6; i++) assert.equal((await gateway.chat()).status, 200);
    const metrics = await (await fetch(`${gateway.healthUrl}/metrics`)).text();
    assert.match(metrics, /headgate_gateway_calls_total\{.*status="ok"\} 6\n/);
    assert.equal((await fetch(`${gateway.healthUrl}/readyz`)).status, 200);

    const [first = 0] = gateway.listened();
    process.kill(first, "SIGKILL");
    await until("a new worker listens", () => gateway.listened().length === 3, deadlineMs);
    assert.equal((await gateway.chat()).status, 200);

    let answer: () => void = () => undefined;
    upstream.answer = (_, response) => {
      answer = () => answerJson(response, completion("late"));
    };
    const before = upstream.asked.length;
    const late = gateway.chat();
    await until("the call is under way", () => upstream.asked.length > before, deadlineMs);
    const ended = once(gateway.process, "exit");
    gateway.process.kill("SIGTERM");
    gateway.process.kill("SIGTERM");
    await until("all workers are stopping", () => gateway.stopping() >= 2, deadlineMs);
    answer();
    assert.equal((await late).status, 200);
    assert.deepEqual(await ended, [0, null]);
  });

  it("holds a caller's rate over all of its processes, also when one of them has died and is back", async (t) => {
    const upstream = await testUpstream(t);
    const keyHash = createHash("sha256").update("sk-caller").digest("hex");
    const gateway = await running(t, fileFor(upstream, upstream, `callers: [{ name: ann, keyHash: ${keyHash}, ratePerMinute: 4 }]\n`));
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    const startedAtMs = performance.now();
    const statuses: number[] = [];
    // Each on a connection of its own: they come to both workers.
    const calls = async (count: number) => {
      for (let i = 0; i < count; i++) statuses.push((await gateway.chat({ authorization: "Bearer sk-caller" })).status);
    };
    await calls(20);
    process.kill(gateway.listened()[0] ?? 0, "SIGKILL");
    await until("a new worker listens", () => gateway.listened().length === 3, deadlineMs);
    await calls(20);
    const refilled = Math.floor((performance.now() - startedAtMs) / 15_000);
    const served = statuses.filter((status) => status === 200).length;
    assert.ok(served >= 4 && served <= 4 + refilled, `${served} calls served`);
    assert.deepEqual(new Set(statuses), new Set([200, 429]));
    const ended = once(gateway.process, "exit");
    gateway.process.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
  });

  it("ends with 2 when its configuration is wrong, instead of starting again and again", async (t) => {
    const gateway = await running(t, "upstreams: {}");
    assert.deepEqual(await once(gateway.process, "exit"), [2, null]);
  });
});
