import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { freePort } from "../../../src/dev/demo/processes.ts";
import { answerJson, ask, completion, fileFor, testUpstream, until } from "../stages/1-gateway/harness.ts";

/** A role as a process of its own, where no broker and no registry answers. */
function start(t: TestContext, role: string, more: Readonly<Record<string, string>> = {}) {
  const env = { KAFKA_BROKERS: "127.0.0.1:9", SCHEMA_REGISTRY_URL: "http://127.0.0.1:9", PATH: process.env.PATH, NODE_NO_WARNINGS: "1", ...more };
  const child = spawn(process.execPath, ["src/cli/main.ts", role], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  t.after(() => child.kill("SIGKILL"));
  return { child, ended: once(child, "exit"), output: () => output };
}

describe("a role that starts while Kafka is away", () => {
  it("waits in its process, says what for and what to do, is alive but not ready, and ends with 0 when asked to", async (t) => {
    const role = start(t, "sampler", { HEADGATE_PORT: "0" });
    const waits = /"level":"warn"[^\n]*"code":"KAFKA_UNREACHABLE"[^\n]*"fix":"check KAFKA_BROKERS[^\n]*127\.0\.0\.1:9 did not answer[^\n]*waiting/;
    await until("it waits", () => waits.test(role.output()) || role.child.exitCode !== null, 60_000);
    assert.equal(role.child.exitCode, null, role.output());
    const url = `http://127.0.0.1:${/"port":(\d+),"msg":"health/.exec(role.output())?.[1]}`;
    assert.deepEqual([(await fetch(`${url}/healthz`)).status, (await fetch(`${url}/readyz`)).status], [200, 503]);
    role.child.kill("SIGTERM");
    assert.deepEqual(await role.ended, [0, null], role.output());
  });

  it("does not keep the gateway of its process from serving", async (t) => {
    const upstream = await testUpstream(t);
    upstream.answer = (_, response) => answerJson(response, completion("served"));
    const directory = mkdtempSync(join(tmpdir(), "headgate-waiting-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const [file, port] = [join(directory, "gateway.yaml"), await freePort()];
    writeFileSync(file, fileFor(upstream));
    const role = start(t, "up", { HEADGATE_GATEWAY_CONFIG: file, HEADGATE_GATEWAY_PORT: String(port), HEADGATE_JUDGE_MODEL: "judge" });
    const isWaiting = () => /"role":"sampler"[^\n]*waiting/.test(role.output());
    await until("another role waits", () => isWaiting() || role.child.exitCode !== null, 60_000);
    const call = () => fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", body: JSON.stringify(ask()) });
    assert.deepEqual([role.child.exitCode, (await call()).status], [null, 200], role.output());
    role.child.kill("SIGTERM");
    assert.deepEqual(await role.ended, [0, null], role.output());
  });
});
