import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import kafkajs from "kafkajs";
import { prepareKafkajs } from "../../src/runtime/codec.ts";
import { Serde } from "../../src/runtime/serde.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { type GateEvent, gateEvents } from "../../topics/index.ts";
import { valuesOf } from "../contract/arbitraries.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { pythonWith } from "../fixtures/python.ts";

const script = fileURLToPath(new URL("../../docs/examples/read_gate_events.py", import.meta.url));

/** A Python with what the script's own first line says it needs. */
function python(): string {
  return pythonWith(/pip install ([^"]+?)"""/.exec(readFileSync(script, "utf8"))?.[1]?.trim().split(" ") ?? []);
}

/** First line that a process prints; rejects with its error output when it ends without one. */
async function firstLine(child: ChildProcess): Promise<string> {
  let errors = "";
  child.stderr?.on("data", (chunk) => {
    errors += chunk;
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const ended = once(child, "close").then(() => Promise.reject(new Error(`no line was printed: ${errors}`)));
  ended.catch(() => undefined);
  const [line] = await Promise.race([once(lines, "line"), ended]);
  return line as string;
}

it("twenty lines of Python without headgate read a gate event and its CloudEvents headers", { timeout: 180_000 }, async (t) => {
  const { brokers, registryUrl } = await testCluster();
  const prefix = testPrefix();
  const options = { brokers: brokers.split(","), registryUrl, prefix };
  await applyTopics({ ...options, partitions: "small" });
  t.after(() => deletePrefix(options));
  const serde = await Serde.connect(registryUrl, prefix);
  await serde.prepare([gateEvents]);

  const [any] = fc.sample(valuesOf(gateEvents), { numRuns: 1, seed: 11 }) as [GateEvent];
  const event: GateEvent = {
    ...any,
    id: "ge-1",
    route: "support-answer",
    rollout: "r-1",
    action: "rolled_back",
    toPhase: "rolled_back",
    message: "schneller, aber schlechter",
  };
  const headers = {
    ce_specversion: "1.0",
    ce_id: event.id,
    ce_source: `/headgate/${prefix}/routes/support-answer`,
    ce_type: "headgate.rollout.rolled_back.v1",
    ce_time: "2026-11-25T00:00:00.000Z",
    ce_subject: event.rollout,
    "content-type": "application/avro",
  };
  prepareKafkajs();
  const { Kafka, CompressionTypes, logLevel } = kafkajs;
  const producer = new Kafka({ brokers: options.brokers, logLevel: logLevel.NOTHING }).producer({
    transactionalId: `${prefix}decider-0`,
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  t.after(() => producer.disconnect());
  const send = async (value: GateEvent, end: "commit" | "abort") => {
    const transaction = await producer.transaction();
    const messages = [{ partition: 0, key: value.route, headers, value: serde.encode(gateEvents, value) }];
    await transaction.send({ topic: `${prefix}gate-events`, acks: -1, compression: CompressionTypes.ZSTD, messages });
    await transaction[end]();
  };
  await send({ ...event, id: "never decided" }, "abort");
  await send(event, "commit");

  const child = spawn(python(), [script], {
    env: { PATH: process.env.PATH, KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, HEADGATE_PREFIX: prefix },
  });
  t.after(() => child.kill("SIGKILL"));
  assert.deepEqual(JSON.parse(await firstLine(child)), { headers, event: JSON.parse(JSON.stringify(event)) });
});
