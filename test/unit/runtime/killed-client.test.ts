import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { pino } from "pino";
import { isOfKilledClient, openClient } from "../../../src/runtime/kafka/client.ts";
import { muteBroker } from "../../fixtures/mute-broker.ts";

describe("a client that is killed", () => {
  it("rejects what was under way with an error that is known as its own; others are not", async (t) => {
    const { broker } = await muteBroker(t);
    const { kafka, kill } = openClient({ brokers: [broker], clientId: "killed", log: pino({ level: "silent" }) }, { retries: 0 });
    const connecting = kafka.admin().connect();
    setTimeout(kill, 50);
    await assert.rejects(connecting, (error) => isOfKilledClient(error));
    assert.equal(isOfKilledClient(new Error("Connection error: read ECONNRESET")), false);
    assert.equal(isOfKilledClient(new Error("outer", { cause: new Error("Connection error: this client is closed") })), true);
  });

  it("does not end the process by a request that nobody waits for; any other such error does", async () => {
    const run = async (message: string) => {
      const program = `
        import { z } from "zod";
        import { runProgram } from "./src/runtime/run-program.ts";
        const program = {
          name: "test",
          configuration: z.object({}),
          async start() {
            setTimeout(() => void Promise.reject(new Error(${JSON.stringify(message)})), 20);
            setTimeout(() => process.kill(process.pid, "SIGTERM"), 300);
            const alive = setInterval(() => undefined, 1000);
            const finished = Promise.withResolvers();
            return { finished: finished.promise, async stop() { clearInterval(alive); finished.resolve(); } };
          },
        };
        process.exit(await runProgram(program, process.env));`;
      const env = { ...process.env, KAFKA_BROKERS: "127.0.0.1:1", SCHEMA_REGISTRY_URL: "http://127.0.0.1:1", LOG_LEVEL: "fatal" };
      const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], { env, stdio: ["ignore", "ignore", "pipe"] });
      const [code] = await once(child, "exit");
      return code as number;
    };
    assert.deepEqual([await run("Connection error: this client is closed"), await run("Connection error: read ECONNRESET")], [0, 3]);
  });
});
