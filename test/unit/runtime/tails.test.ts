import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import type { RuntimeDeps } from "../../../src/runtime/deps.ts";
import type { Bounds } from "../../../src/runtime/kafka/admin.ts";
import { Tail } from "../../../src/runtime/kafka/tail.ts";
import { smallBroker } from "../../fixtures/small-broker.ts";
import { until } from "../../fixtures/until.ts";

/** A tail of one topic, with what the cluster says of its bounds, and what it warns of. */
async function tailOf(t: TestContext, bounds: () => Promise<Map<number, Bounds>>) {
  const { broker, opened } = await smallBroker(t, {});
  const warnings: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => warnings.push((JSON.parse(line) as { error: string }).error) });
  const deps = { connection: { brokers: [broker], clientId: "test", log }, admin: { bounds }, log, prefix: "", sessionTimeoutMs: 10_000 };
  const options = { topics: ["routing"], partitionsOf: () => 1, from: "beginning", maxWaitMs: 100, onRecord: () => undefined } as const;
  const tail = new Tail(deps as unknown as RuntimeDeps, options, async () => undefined);
  t.after(() => tail.close());
  return { tail, opened, warnings };
}

describe("a tail", () => {
  it("that is closed before it knows where to begin does not begin", async (t) => {
    const { promise, resolve } = Promise.withResolvers<Map<number, Bounds>>();
    const { tail, opened } = await tailOf(t, () => promise);
    const closed = tail.close();
    resolve(new Map([[0, { low: 0, high: 3 }]]));
    await closed;
    assert.equal(opened(), 0);
  });

  it("tells each reason of an outage once, also when they come in turn", async (t) => {
    let asked = 0;
    const { warnings } = await tailOf(t, async () => {
      throw new Error(`broker ${asked++ % 2} is away`);
    });
    await until("it has asked four times", () => asked >= 4);
    assert.deepEqual(warnings, ["Error: broker 0 is away", "Error: broker 1 is away"]);
  });
});
