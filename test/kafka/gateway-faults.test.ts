import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { it, type TestContext } from "node:test";
import { pino } from "pino";
import { run } from "../../src/cli/run.ts";
import { freePort } from "../../src/dev/demo/processes.ts";
import { rangesFor } from "../../src/domain/routing/ranges.ts";
import { connectLog } from "../../src/runtime/log-client.ts";
import { decider } from "../../src/stages/5-decider/main.ts";
import { type Brake, brakes, fleet, type GateEvent, gateEvents, type Request, type RolloutSpec, requests, rollouts } from "../../topics/index.ts";
import { adminToken, callsOf, collected, deadlineMs, eventually, gatewayAt, gatewayWorld, numbers, publish, subjectKey } from "../fixtures/gateway-world.ts";
import { deps, spec, taskRubric } from "../fixtures/rollout-world.ts";
import { fakeCli } from "../unit/cli/fake-cli.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";
import { until } from "../unit/stages/1-gateway/harness.ts";

const route = "support-answer";

/** A command line whose calls of admin ports are real. */
const cliFor = (env: Record<string, string>, files: Record<string, string> = {}) => ({ ...fakeCli({ env, files }), fetch });

function temporary(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "headgate-faults-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

type GatewayWorld = Awaited<ReturnType<typeof gatewayWorld>>;

/** A gateway in a process of its own, which reaches Kafka through the proxy and can be killed. */
async function startChild(t: TestContext, { connection, proxy, data, file }: GatewayWorld) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const env = {
    PATH: process.env.PATH,
    PROXY_PORT: String(proxy.port),
    KAFKA_BROKERS: connection.brokers.join(","),
    SCHEMA_REGISTRY_URL: connection.registryUrl,
    HEADGATE_PREFIX: connection.prefix,
    HEADGATE_GATEWAY_CONFIG: file,
    HEADGATE_GATEWAY_DATA: data,
    HEADGATE_GATEWAY_PORT: String(port),
    HEADGATE_GATEWAY_ADMIN_PORT: String(adminPort),
    HEADGATE_GATEWAY_ADMIN_TOKEN: adminToken,
    HEADGATE_SUBJECT_KEY: subjectKey,
    NODE_NO_WARNINGS: "1",
  };
  const program = resolve(import.meta.dirname, "../fixtures/die-behind-proxy.ts");
  const child = spawn(process.execPath, [program], { env, stdio: ["ignore", "pipe", "inherit"] });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  t.after(kill);
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => {
      throw new Error("the gateway ended before it was ready");
    }),
  ]);
  return { ...gatewayAt(port, adminPort), kill };
}

/** A rollout that serves its candidate from the start. */
const canary = (): RolloutSpec =>
  spec({
    route,
    baseline: "a@1",
    candidate: "b@2",
    versions: { "a@1": { upstream: "one", model: "model-a" }, "b@2": { upstream: "two", model: "model-b" } },
    shadow: { share: 0 },
    ladder: [5, 50, 100],
  });

it("a brake at a gateway's own port is obeyed there with Kafka cut off; when Kafka is back the rollout ends and every gateway obeys", async (t) => {
  const world = await gatewayWorld(t);
  const { connection, client, proxy, start } = world;
  const [stops, events] = [brakes, gateEvents].map((topic) => collected(t, client, topic)) as [Brake[], GateEvent[]];
  const direct = () => connectLog({ ...connection, clientId: "gateway", log: pino({ level: "silent" }) });
  const [cut, other] = [await startChild(t, world), await start("gateway-other", { connect: direct, data: temporary(t) })];
  const views = { brakes: client.openTable(brakes), fleet: client.openTable(fleet) };
  const role = await client.runRole(decider(client, { ...views, cap: null, deps, onDecision: () => undefined }));
  t.after(() => role.stop());

  const text = JSON.stringify(canary());
  const declared = { route, spec: text, digest: createHash("sha256").update(text).digest("hex"), rubrics: taskRubric, actor: "ann", atMs: Date.now() };
  const appender = client.openAppender();
  await appender.append([{ topic: rollouts, partition: client.partitionFor(rollouts, route), key: route, value: declared }]);
  await appender.close();
  await until("the decider has spoken", () => events.length > 0, deadlineMs);
  assert.deepEqual([events[0]?.action, events[0]?.toPhase], ["started", "canary"], events[0]?.message);
  for (const gateway of [cut, other]) await eventually("the table is obeyed", async () => ((await gateway.state()).routes[0]?.epoch ?? 0) > 0);
  // Five in a hundred get the candidate: one who does, at both gateways.
  let user = "";
  for (let i = 0; user === "" && i < 500; i++) if ((await cut.chat("x", `u${i}`)) === "from b") user = `u${i}`;
  assert.equal(await other.chat("x", user), "from b");

  proxy.goDown();
  const cli = cliFor({ HEADGATE_GATEWAY_ADMIN_TOKEN: adminToken, USER: "ann" });
  assert.equal(await run(["brake", route, "--gateway", cut.adminUrl, "--reason", "it swears"], cli), 0, cli.lines.err.join("\n"));
  assert.equal(await cut.chat("x", user), "hello");
  assert.equal(await other.chat("x", user), "from b");
  assert.deepEqual([stops.length, events.filter(({ action }) => action === "rolled_back").length], [0, 0]);

  proxy.comeUp();
  await until("the brake is written", () => stops.length > 0, deadlineMs);
  assert.deepEqual([stops[0]?.route, stops[0]?.attempt, stops[0]?.reason, stops[0]?.actor], [route, 1, "it swears", "ann"]);
  await until("the rollout has ended", () => events.some(({ action }) => action === "rolled_back"), deadlineMs);
  const ended = events.find(({ action }) => action === "rolled_back");
  assert.deepEqual([ended?.reasons, ended?.toPhase, ended?.actor], [["brake"], "rolled_back", "ann"]);
  for (const gateway of [cut, other]) {
    await eventually("the end is obeyed", async () => (await gateway.state()).routes[0]?.epoch === ended?.epoch);
    assert.equal(await gateway.chat("x", user), "hello");
  }
});

it("kill -9 in an outage, and again while what was kept is being written, loses no call that was on disk and counts none twice", async (t) => {
  const world = await gatewayWorld(t);
  const { client, proxy, data } = world;
  const seen = collected(t, client, requests) as Request[];
  await publish(client, tableWith({ epoch: 1, staleAfterMs: 600_000, atMs: Date.now() }));
  let sent = 0;
  const calls = async (gateway: Awaited<ReturnType<typeof startChild>>, count: number) => {
    for (let i = 0; i < count; i++) await gateway.chat(String(sent++), `u${sent % 7}`);
  };
  /** Nothing is only in memory, by the gateway's own metrics. */
  const onDisk = (gateway: Awaited<ReturnType<typeof startChild>>) =>
    eventually("all records are on disk", async () => {
      const metrics = await gateway.metrics();
      const of = (name: string) => Number(new RegExp(`^headgate_gateway_${name} (\\d+)$`, "m").exec(metrics)?.[1]);
      return of("queued_records") === 0 && of("spooled_bytes") > 0;
    });

  const first = await startChild(t, world);
  await eventually("the table is obeyed", async () => (await first.state()).routes[0]?.epoch === 1);
  await calls(first, 50);
  await until("what was before the outage is written", () => callsOf(seen).length === sent, deadlineMs);
  proxy.goDown();
  await calls(first, 300);
  await onDisk(first);
  await first.kill();

  const second = await startChild(t, world);
  assert.equal((await second.state()).connected, false);
  await calls(second, 50);
  await onDisk(second);
  const before = seen.length;
  proxy.comeUp();
  await until("the first of what was kept is written", () => seen.length > before, deadlineMs);
  await second.kill();

  const third = await startChild(t, world);
  await calls(third, 10);
  await until("every call is in the topic", () => callsOf(seen).length >= sent, deadlineMs);
  // Numbers without gaps and each call once, per instance: `callsOf` fails otherwise.
  assert.deepEqual(callsOf(seen), numbers(sent));
  assert.equal(new Set(seen.map(({ instance }) => instance)).size, 3);
  await until("nothing is left on disk but its own place", () => readdirSync(join(data, "spool")).length === 1, deadlineMs);
  assert.doesNotMatch(await third.metrics(), /headgate_gateway_dropped_records_total\{.*\} [1-9]/);
});

it("the file that export static writes serves what routing has without Kafka; an older one is told by the metric and by doctor", async (t) => {
  const { connection, client, file, start } = await gatewayWorld(t);
  const ranges = rangesFor({ baseline: "b@2", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 });
  await publish(client, tableWith({ epoch: 3, phase: "done", rollout: "", baseline: "b@2", ranges, atMs: Date.now() }));
  const doctor = async (adminUrl: string) => {
    const cli = cliFor({ HEADGATE_GATEWAY_ADMIN_TOKEN: adminToken });
    return { code: await run(["doctor", "--gateway", adminUrl], cli), out: cli.lines.out.join("\n") };
  };
  const old = await start("gateway-old", { data: temporary(t) });
  await eventually("the table is obeyed", async () => (await old.state()).routes[0]?.epoch === 3);
  assert.match(await old.metrics(), /^headgate_gateway_static_outdated\{route="support-answer"\} 1$/m);
  const told = await doctor(old.adminUrl);
  assert.equal(told.code, 1);
  assert.match(told.out, /error static_outdated: route support-answer: the gateway's file has the baseline a@1, routing has b@2/);

  const { brokers, registryUrl, prefix } = connection;
  const env = { KAFKA_BROKERS: brokers.join(","), SCHEMA_REGISTRY_URL: registryUrl, HEADGATE_PREFIX: prefix };
  const cli = cliFor(env, { "gateway.yaml": readFileSync(file, "utf8") });
  assert.equal(await run(["export", "static", "--into", "gateway.yaml"], cli), 0, cli.lines.err.join("\n"));
  const exported = join(temporary(t), "exported.yaml");
  writeFileSync(exported, cli.lines.out.join("\n"));
  const away = await start("gateway-static", { file: exported, data: temporary(t), connect: () => Promise.reject(new Error("no broker answers")) });
  assert.equal(await away.chat("x"), "from b");
  const current = await start("gateway-current", { file: exported, data: temporary(t) });
  await eventually("the table is obeyed", async () => (await current.state()).routes[0]?.epoch === 3);
  assert.doesNotMatch(await current.metrics(), /^headgate_gateway_static_outdated\{/m);
  assert.doesNotMatch((await doctor(current.adminUrl)).out, /static_outdated/);
});
