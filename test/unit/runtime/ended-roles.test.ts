import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { freePort } from "../../../src/dev/demo/processes.ts";
import { answerJson, ask, completion, fileFor, testUpstream, until } from "../stages/1-gateway/harness.ts";

/** As a connection does that is not closed. */
const HOLDS_THE_PROCESS = "data:text/javascript,setInterval(()=>undefined,1000)";

/** `headgate gateway` without a log, as a process of its own that something keeps alive. */
async function heldGateway(t: TestContext, yaml: string) {
  const directory = mkdtempSync(join(tmpdir(), "headgate-ended-"));
  const file = join(directory, "gateway.yaml");
  writeFileSync(file, `${yaml}log: off\n`);
  const port = await freePort();
  const nowhere = { KAFKA_BROKERS: "127.0.0.1:9", SCHEMA_REGISTRY_URL: "http://127.0.0.1:9" };
  const env = { ...nowhere, PATH: process.env.PATH, HEADGATE_GATEWAY_PORT: String(port), HEADGATE_GATEWAY_CONFIG: file, NODE_NO_WARNINGS: "1" };
  const told = join(directory, "told");
  const child = spawn(process.execPath, ["--import", HOLDS_THE_PROCESS, "src/cli/main.ts", "gateway"], {
    env,
    stdio: ["ignore", openSync(told, "w"), "inherit"],
  });
  const output = () => readFileSync(told, "utf8");
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    rmSync(directory, { recursive: true, force: true });
  });
  await until("it listens", () => output().includes("gateway listens"), 60_000);
  return {
    child,
    ended: once(child, "exit"),
    output,
    chat: () => fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", body: JSON.stringify(ask()) }),
  };
}

describe("a role that has ended", () => {
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    it(`ends its process, whatever still holds it, after it has finished its calls: ${signal}`, async (t) => {
      const upstream = await testUpstream(t);
      let answer: () => void = () => undefined;
      upstream.answer = (_, response) => {
        answer = () => answerJson(response, completion("late"));
      };
      const gateway = await heldGateway(t, fileFor(upstream));
      const late = gateway.chat();
      await until("the call is under way", () => upstream.asked.length === 1);
      gateway.child.kill(signal);
      await until("it is stopping", () => gateway.output().includes('"msg":"stopping"'), 60_000);
      answer();
      assert.equal((await late).status, 200);
      assert.deepEqual(await gateway.ended, [0, null]);
      const lines = gateway.output().trimEnd().split("\n");
      assert.equal(JSON.parse(lines.at(-1) ?? "").msg, "ended");
      const times = lines.map((line) => Date.parse(JSON.parse(line).time));
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
    });
  }
});
