import assert from "node:assert/strict";
import { it } from "node:test";
import { pino } from "pino";
import { Registry } from "prom-client";
import type { ProgramContext } from "../../../../src/runtime/program.ts";
import { program } from "../../../../src/stages/6-control/main.ts";
import { FakeLog } from "./fake-log.ts";

/** Whose topics cannot be read: known at once, before anything listens. */
class UnreadableLog extends FakeLog {
  override openTable: FakeLog["openTable"] = (topic) => ({ ...super.openTable(topic), ready: Promise.reject(new Error("the topic is gone")) });
}

it("control that cannot read its topics while it begins to listen says so to whoever runs it, and does not end the process", async () => {
  const context = {
    // A name: that it is looked up takes a moment.
    env: { HEADGATE_CONTROL_HOST: "localhost", HEADGATE_CONTROL_PORT: "0" },
    log: pino({ level: "silent" }),
    metrics: new Registry(),
    instance: "control-1",
    connect: async () => new UnreadableLog(),
    readiness: () => undefined,
  } as unknown as ProgramContext;
  const running = await program.start(context);
  await assert.rejects(running.finished, /the topic is gone/);
  await running.stop();
});
