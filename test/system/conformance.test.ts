import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import pino from "pino";
import { Children, freePort, waitForOk } from "../../src/dev/demo/processes.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import { applyTopics, deletePrefix } from "../../src/runtime/topic-admin.ts";
import { type Request, requests } from "../../topics/index.ts";
import { testCluster, testPrefix } from "../fixtures/cluster.ts";
import { type Results, runConformance } from "../fixtures/conformance.ts";
import { type AskedOf, OpenaiUpstream } from "../fixtures/openai-upstream.ts";
import { pythonWith } from "../fixtures/python.ts";
import { eventually } from "../fixtures/system.ts";

const script = fileURLToPath(new URL("../fixtures/conformance.py", import.meta.url));
const python = async (baseUrl: string): Promise<Results> => {
  const { stdout } = await promisify(execFile)(pythonWith(["openai==3.57.0"]), [script, baseUrl], { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as Results;
};

/** What belongs to the connection, or to whoever stands at its end; a trace of its own is what the gateway adds. */
const ofTheWay = new Set(["host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive", "traceparent", "tracestate"]);
const headersOf = ({ headers }: AskedOf) => Object.entries(headers).filter(([name]) => !ofTheWay.has(name));

/** A request as it came through the gateway, without the question for usage that the gateway puts into streams. */
function withoutQuestion({ text }: AskedOf, direct: string): string {
  if (text === direct) return text;
  return direct.includes('"include_usage":false')
    ? text.replace('"include_usage":true', '"include_usage":false')
    : text.replace('"stream_options":{"include_usage":true},', "");
}

/** A gateway process on a real Kafka, in front of the upstream, with everything that it records. */
async function gatewayBefore(t: TestContext, upstream: OpenaiUpstream) {
  const directory = mkdtempSync(join(tmpdir(), "headgate-conformance-"));
  const cluster = await testCluster();
  const connection = { brokers: cluster.brokers.split(","), registryUrl: cluster.registryUrl, prefix: testPrefix() };
  const log = pino({ level: "silent" });
  await applyTopics({ ...connection, partitions: "small", log });
  const client = await connectLog({ ...connection, clientId: "test", log });
  const crashed: string[] = [];
  const children = new Children(directory, ({ name }, how) => crashed.push(`${name}: ${how}`));
  t.after(async () => {
    await children.stopAll();
    await client.close();
    await deletePrefix(connection);
    await rm(directory, { recursive: true, force: true });
  });
  const records: Request[] = [];
  const follower = client.follow([requests], {
    from: "beginning",
    onRecord: ({ value }) => {
      if ((value as Request | null)?.kind === "call") records.push(value as Request);
    },
  });
  t.after(() => follower.close());
  const config = join(directory, "gateway.yaml");
  await writeFile(
    config,
    `upstreams: { local: { baseUrl: "${upstream.url}", passThroughKeys: true } }
routes: { conformance: { baseline: { version: only@1, upstream: local, model: conformance } } }`,
  );
  const port = await freePort();
  children.start("gateway", "src/cli/main.ts", ["gateway"], {
    ...{ KAFKA_BROKERS: cluster.brokers, SCHEMA_REGISTRY_URL: cluster.registryUrl, HEADGATE_PREFIX: connection.prefix },
    ...{ HEADGATE_GATEWAY_CONFIG: config, HEADGATE_GATEWAY_PORT: String(port), HEADGATE_SUBJECT_KEY: "a test key of some length" },
  });
  await waitForOk(`http://127.0.0.1:${port}/readyz`, 60_000, () => assert.deepEqual(crashed, [], "the gateway runs"));
  return { url: `http://127.0.0.1:${port}/v1`, records };
}

/** Runs a suite against an address, and waits until the upstream has heard of every caller that left. */
async function run(suite: (baseUrl: string) => Promise<Results>, url: string, upstream: OpenaiUpstream) {
  upstream.reset();
  const results = await suite(url);
  await eventually("the upstream hears that its callers left", 30_000, () => upstream.left.length === 3);
  return { results, asked: [...upstream.asked], left: [...upstream.left].sort() };
}

it("the official SDKs see through the gateway what they see without it, and the upstream is asked the same", { timeout: 600_000 }, async (t) => {
  const upstream = await new OpenaiUpstream().start();
  t.after(() => upstream.stop());
  const gateway = await gatewayBefore(t, upstream);
  let calls = 0;
  for (const [name, suite] of [
    ["Node", runConformance],
    ["Python", python],
  ] as const) {
    const direct = await run(suite, upstream.url, upstream);
    const through = await run(suite, gateway.url, upstream);
    assert.ok(Object.keys(direct.results).length >= 35, `${name} ran its whole suite`);
    for (const [what, seen] of Object.entries(direct.results)) assert.deepEqual(through.results[what], seen, `${name}: ${what}`);
    assert.deepEqual(Object.keys(through.results), Object.keys(direct.results));
    assert.deepEqual(through.left, direct.left);
    assert.equal(through.asked.length, direct.asked.length);
    for (const [i, asked] of direct.asked.entries()) {
      const same = through.asked[i];
      assert.ok(same !== undefined);
      assert.deepEqual([same.path, withoutQuestion(same, asked.text)], [asked.path, asked.text]);
      assert.deepEqual(headersOf(same), headersOf(asked));
    }
    calls += through.asked.length;
  }
  await eventually("every call is recorded", 60_000, () => gateway.records.length >= calls);
  assert.equal(gateway.records.length, calls);
  const answered = gateway.records.filter(({ status }) => status === "ok");
  assert.deepEqual(
    answered.filter(({ inputTokens, outputTokens }) => inputTokens === null || outputTokens === null).map(({ endpoint, stream }) => [endpoint, stream]),
    [],
    "tokens are recorded of every call that was answered, also where the caller did not ask for them",
  );
  assert.deepEqual([...new Set(answered.map(({ operation }) => operation))].sort(), ["chat", "embeddings", "text_completion"]);
  const states = new Map<string, number>();
  for (const { status } of gateway.records) states.set(status, (states.get(status) ?? 0) + 1);
  assert.equal(states.get("cancelled"), 6, "timeouts and aborts of callers");
  assert.equal(states.get("timeout"), undefined);
});
