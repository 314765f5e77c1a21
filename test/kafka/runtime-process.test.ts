import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort } from "../../src/dev/demo/processes.ts";
import { until } from "../fixtures/until.ts";
import { Harness, type Worker } from "../fixtures/worker-harness.ts";

describe("a role's process", () => {
  let harness: Harness;
  const directory = mkdtempSync(join(tmpdir(), "headgate-process-"));
  const canary = "canary-7b1f";
  before(async () => {
    harness = await Harness.start();
    writeFileSync(join(directory, "secret"), `${canary}\n`);
  });
  after(async () => {
    await harness.close();
    rmSync(directory, { recursive: true });
  });

  const start = (env: Readonly<Record<string, string>>) => {
    const { brokers, registryUrl } = harness.connection;
    return harness.worker("worker-program", { KAFKA_BROKERS: brokers.join(","), SCHEMA_REGISTRY_URL: registryUrl, HEADGATE_PORT: "0", ...env });
  };
  const urlOf = async (worker: Worker) => {
    const port = () => /"port":(\d+),"msg":"health/.exec(worker.output())?.[1];
    await until("it serves", () => port() !== undefined);
    return `http://127.0.0.1:${port()}`;
  };
  const statusOf = async (url: string) => (await fetch(url)).status;

  it("serves health, readiness and metrics, reads secrets from files, logs none of them, and ends with 0 on SIGTERM", async () => {
    const worker = start({ PROGRAMS: "one,two", WORKER_SECRET_FILE: join(directory, "secret") });
    const url = await urlOf(worker);
    await until("it is ready", async () => (await statusOf(`${url}/readyz`)) === 200);
    assert.equal(await statusOf(`${url}/healthz`), 200);
    assert.equal(await statusOf(`${url}/nothing`), 404);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    for (const name of ["process_cpu_seconds_total", "headgate_transactions_total", "headgate_task_lag_records"]) assert.match(metrics, new RegExp(name));
    worker.child.kill("SIGTERM");
    assert.equal(await worker.ended, "0", worker.output());
    assert.match(worker.output(), /one stopped.*two stopped|two stopped.*one stopped/s);
    assert.match(worker.output(), new RegExp(`secret has ${canary.length} characters`));
    assert.doesNotMatch(worker.output() + metrics, new RegExp(`${canary}|a secret text`));
  });

  it("starts a program again that fails beside others, which are not touched", async () => {
    const worker = start({ PROGRAMS: "one,two", FAILURES_OF_TWO: "3" });
    const url = await urlOf(worker);
    const begun = (name: string) => worker.output().split(`${name} begins\n`).length - 1;
    await until("the second runs at last", async () => begun("two") === 4 && (await statusOf(`${url}/readyz`)) === 200);
    assert.equal(begun("one"), 1);
    assert.match(worker.output(), /a program cannot go on/);
    assert.match(await (await fetch(`${url}/metrics`)).text(), /^run_of_one 3$.*^run_of_two 0$/ms);
    worker.child.kill("SIGTERM");
    assert.equal(await worker.ended, "0", worker.output());
  });

  it("ends with 2 and names every wrong variable when it is configured wrongly", async () => {
    const worker = start({ KAFKA_BROKERS: "nowhere", WORKER_SIZE: "many", KAFKA_SSL: "perhaps" });
    assert.equal(await worker.ended, "2");
    assert.match(worker.output(), /CONFIG_INVALID.*KAFKA_BROKERS is not valid.*KAFKA_SSL is not valid/s);
  });

  it("ends with 2 when the topics are not there", async () => {
    const missing = start({ HEADGATE_PREFIX: "hgtest-nowhere." });
    assert.equal(await missing.ended, "2");
    assert.match(missing.output(), /error TOPIC_MISSING.*topics apply/s);
  });

  for (const [what, variable, code] of [
    ["the brokers", "KAFKA_BROKERS", "KAFKA_UNREACHABLE"],
    ["the registry", "SCHEMA_REGISTRY_URL", "REGISTRY_UNREACHABLE"],
  ] as const) {
    it(`waits in its process for ${what}, and works once there is an answer`, async (t) => {
      const { brokers, registryUrl } = harness.connection;
      const there = variable === "KAFKA_BROKERS" ? (brokers[0] ?? "") : registryUrl;
      const [, host = "", behind = ""] = /([\d.]+):(\d+)/.exec(there) ?? [];
      const port = await freePort();
      const worker = start({ [variable]: there.replace(`${host}:${behind}`, `127.0.0.1:${port}`) });
      await until("it waits", () => worker.output().includes(code) || worker.child.exitCode !== null);
      const door = createServer((socket) => {
        const inner = connect(Number(behind), host);
        for (const [one, other] of [
          [socket, inner],
          [inner, socket],
        ] as const) {
          one.on("error", () => other.destroy());
          one.on("close", () => other.destroy());
          one.pipe(other);
        }
      });
      t.after(() => door.close());
      door.listen(port, "127.0.0.1");
      const url = await urlOf(worker);
      await until("it is ready", async () => (await statusOf(`${url}/readyz`)) === 200);
      worker.child.kill("SIGTERM");
      assert.equal(await worker.ended, "0", worker.output());
    });
  }

  it("ends with 3 when a program cannot go on, and stops the others", async () => {
    const worker = start({ BEHAVIOUR: "fail" });
    assert.equal(await worker.ended, "3");
    assert.match(worker.output(), /error GAP: records are gone/);
    assert.match(worker.output(), /one stopped/);
  });

  it("ends with 3 at once on an error that nobody handles", async () => {
    const worker = start({ BEHAVIOUR: "forget" });
    assert.equal(await worker.ended, "3");
    assert.match(worker.output(), /nobody handles this/);
  });

  it("ends with 3 when it is asked a second time to stop", async () => {
    const worker = start({ BEHAVIOUR: "hang" });
    const url = await urlOf(worker);
    await until("it is ready", async () => (await statusOf(`${url}/readyz`)) === 200);
    worker.child.kill("SIGTERM");
    await until("it stops", () => worker.output().includes("stopping"));
    assert.equal(await statusOf(`${url}/readyz`), 503);
    worker.child.kill("SIGTERM");
    assert.equal(await worker.ended, "3");
  });
});
