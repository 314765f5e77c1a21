import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Registry } from "prom-client";
import { runtimeMetrics } from "../../../src/runtime/metrics.ts";
import { until } from "../../fixtures/until.ts";

/** Two roles in one process, of which the second fails twice. */
const program = `
  import { z } from "zod";
  import { runPrograms } from "./src/runtime/run-program.ts";
  let failures = 0;
  const role = (name, fails) => ({
    name,
    configuration: z.object({}),
    async start() {
      const finished = Promise.withResolvers();
      if (fails && failures++ < 2) finished.reject(new Error("it cannot go on"));
      return { finished: finished.promise, async stop() { finished.resolve(); } };
    },
  });
  process.exit(await runPrograms([role("steady", false), role("shaky", true)], process.env));`;

describe("metrics of roles", () => {
  it("count how often each of several in a process was started again", async (t) => {
    const env = { ...process.env, KAFKA_BROKERS: "127.0.0.1:1", SCHEMA_REGISTRY_URL: "http://127.0.0.1:1", HEADGATE_PORT: "0" };
    const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], { env, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    let output = "";
    child.stdout.on("data", (chunk) => (output += String(chunk)));
    const port = await until("it serves", () => /"port":(\d+),"msg":"health/.exec(output)?.[1]);
    const restarts = async () => (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).match(/^headgate_role_restarts_total.*$/gm);
    await until("it was started again twice", async () => (await restarts())?.includes('headgate_role_restarts_total{role="shaky"} 2'));
    assert.deepEqual(await restarts(), ['headgate_role_restarts_total{role="steady"} 0', 'headgate_role_restarts_total{role="shaky"} 2']);
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
  });

  it("are in docs/install.md with their labels, those of all roles and no others", async () => {
    const registry = new Registry();
    runtimeMetrics(registry);
    const told = registry.getMetricsAsArray().map((metric) => {
      const { name, labelNames } = metric as unknown as { readonly name: string; readonly labelNames: readonly string[] };
      return `${name}${labelNames.length === 0 ? "" : `{${labelNames}}`}`;
    });
    const page = readFileSync(new URL("../../../docs/install.md", import.meta.url), "utf8");
    const table = page.split("Metrics of all roles")[1]?.split("\n## ")[0] ?? "";
    const listed = [...table.matchAll(/`(headgate_[a-z_]+(?:\{[a-z,]+\})?)`/g)].map(([, name]) => name);
    assert.deepEqual(listed.toSorted(), [...told, "headgate_role_restarts_total{role}"].sort());
  });
});
