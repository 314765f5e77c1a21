import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { it, type TestContext } from "node:test";
import { freePort } from "../../src/dev/demo/processes.ts";
import { rangesFor } from "../../src/domain/routing/ranges.ts";
import { brakes, type FleetReport, fleet, type Request, requests } from "../../topics/index.ts";
import { callsOf, collected, deadlineMs, eventually, gatewayAt, gatewayWorld, numbers, publish, subjectKey } from "../fixtures/gateway-world.ts";
import { tableWith } from "../unit/domain/routing/table-fixture.ts";
import { type Answer, answerJson, ask, completion, until } from "../unit/stages/1-gateway/harness.ts";

const adminToken = "0123456789abcdef";

/** `headgate gateway --workers 2`, as an operator starts it. */
async function startWorkers(t: TestContext, { connection, data, file }: Awaited<ReturnType<typeof gatewayWorld>>) {
  const [port, health, admin] = [await freePort(), await freePort(), await freePort()];
  const env = {
    PATH: process.env.PATH,
    KAFKA_BROKERS: connection.brokers.join(","),
    SCHEMA_REGISTRY_URL: connection.registryUrl,
    HEADGATE_PREFIX: connection.prefix,
    HEADGATE_PORT: String(health),
    HEADGATE_GATEWAY_PORT: String(port),
    HEADGATE_GATEWAY_CONFIG: file,
    HEADGATE_GATEWAY_DATA: data,
    HEADGATE_GATEWAY_ADMIN_PORT: String(admin),
    HEADGATE_GATEWAY_ADMIN_TOKEN: adminToken,
    HEADGATE_SUBJECT_KEY: subjectKey,
    NODE_NO_WARNINGS: "1",
  };
  const child = spawn(process.execPath, ["src/cli/main.ts", "gateway", "--workers", "2"], { env, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  return {
    ...gatewayAt(port, 0),
    child,
    port,
    /** The process that served a call, by its access log; undefined: it has not said so yet. */
    pidOf: (requestId: string) => {
      const line = output.split("\n").find((each) => each.includes(requestId));
      return line === undefined ? undefined : (JSON.parse(line) as { pid: number }).pid;
    },
    /** Calls the admin port: a brake on all routes, or the status. */
    admin: async (body?: object) => {
      const init = { headers: { authorization: `Bearer ${adminToken}` }, ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }) };
      const response = await fetch(`http://127.0.0.1:${admin}/v1/${body === undefined ? "status" : "brakes"}`, init);
      return (await response.json()) as { atMs: number; obeyed: boolean; workers: { brakes: { all: boolean; unwritten: number } }[] };
    },
    /** Process ids of workers, in the order in which they listened. */
    pids: () => [...output.matchAll(/"pid":(\d+)[^\n]*"gateway listens"/g)].map(([, pid]) => Number(pid)),
    together: async () => await (await fetch(`http://127.0.0.1:${health}/metrics`)).text(),
  };
}

it("two processes are one gateway: each reports and records, their metrics are one, one that is killed comes back, and a stop loses no call", async (t) => {
  const world = await gatewayWorld(t);
  const seen = collected(t, world.client, requests) as Request[];
  const reports = collected(t, world.client, fleet) as FleetReport[];
  await publish(world.client, tableWith({ epoch: 1, staleAfterMs: 600_000, atMs: Date.now() }));
  const gateway = await startWorkers(t, world);
  const value = async (name: string) => Number(new RegExp(`^headgate_gateway_${name} (\\S+)$`, "m").exec(await gateway.together())?.[1]);
  const summed = async () =>
    [...(await gateway.together()).matchAll(/^headgate_gateway_calls_total\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
  const obeyed = () => eventually("both obey", async () => (await value('epoch\\{route="support-answer"\\}')) === 1 && (await value("connected")) === 1);
  /** Instances that serve the newest table by their last report. */
  const onFleet = () => new Set(reports.filter(({ routes, stopping }) => !stopping && routes[0]?.epoch === 1).map(({ instance }) => instance));
  await until("both listen", () => gateway.pids().length === 2, deadlineMs);
  await obeyed();
  await until("both are on the fleet", () => onFleet().size === 2, deadlineMs);

  let sent = 0;
  const calls = (count: number) => Promise.all(Array.from({ length: count }, () => gateway.chat(String(sent++), `u${sent % 9}`)));
  for (let i = 0; i < 10; i++) await calls(20);
  assert.equal(await summed(), 200);
  await eventually("the snapshots are written", async () => (await value("snapshot_written_seconds")) > 0);
  // Not a sum of two times.
  assert.ok((await value("snapshot_written_seconds")) < Date.now() / 1000 + 60);
  await until("every call is in the topic", () => callsOf(seen).length === sent, deadlineMs);

  process.kill(gateway.pids()[0] ?? 0, "SIGKILL");
  await until("a new one listens", () => gateway.pids().length === 3, deadlineMs);
  await obeyed();
  await until("it is on the fleet", () => onFleet().size === 3, deadlineMs);
  await calls(20);
  const ended = once(gateway.child, "exit");
  gateway.child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  await until("every call is in the topic", () => callsOf(seen).length === sent, deadlineMs);
  assert.deepEqual(callsOf(seen), numbers(sent));
  await until("who stopped has said so", () => new Set(reports.filter(({ stopping }) => stopping).map(({ instance }) => instance)).size === 2, deadlineMs);
});

it("a brake of all routes that is cleared is cleared for all processes, also for one that starts after that", async (t) => {
  const world = await gatewayWorld(t);
  await publish(world.client, tableWith({ epoch: 1, staleAfterMs: 600_000, atMs: Date.now() }));
  const gateway = await startWorkers(t, world);
  await until("both listen", () => gateway.pids().length === 2, deadlineMs);
  const { obeyed, atMs } = await gateway.admin({ route: "*", reason: "all swear" });
  assert.equal(obeyed, true);
  const states = async () => (await gateway.admin()).workers.map(({ brakes: { all, unwritten } }) => `${all} ${unwritten}`).join(", ");
  await eventually("the brake is in the topic", async () => (await states()) === "true 0, true 0");
  const clearing = { route: "*", rollout: "", attempt: 0, cleared: true, reason: "", actor: "bob", atMs: atMs + 1 };
  const appender = world.client.openAppender();
  await appender.append([{ topic: brakes, partition: 0, key: "*", value: clearing }]);
  await appender.close();
  await eventually("both have lifted it", async () => (await states()) === "false 0, false 0");
  process.kill(gateway.pids()[0] ?? 0, "SIGKILL");
  await until("a new one listens", () => gateway.pids().length === 3, deadlineMs);
  // Until it has read the topic it may hold what a snapshot of the dead says.
  await eventually("all have lifted it", async () => (await states()) === "false 0, false 0");
  const ended = once(gateway.child, "exit");
  gateway.child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
});

type Workers = Awaited<ReturnType<typeof startWorkers>>;
interface Connection {
  /** The process at its other end. */
  readonly pid: number;
  /** @returns the body of its answer */
  call(path: string, body: object): Promise<Record<string, unknown>>;
}

/** A connection that is kept, to one of the processes that are given. */
async function connectionTo(t: TestContext, gateway: Workers, pids: readonly number[]): Promise<Connection> {
  for (;;) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const call = async (path: string, body: object) => {
      const asking = httpRequest({ host: "127.0.0.1", port: gateway.port, path, method: "POST", agent, headers: { "content-type": "application/json" } });
      asking.end(JSON.stringify(body));
      const [response] = (await once(asking, "response")) as [IncomingMessage];
      const answer = JSON.parse(await text(response)) as Record<string, unknown>;
      assert.equal(response.statusCode, 200, JSON.stringify(answer));
      return { ...answer, requestId: response.headers["x-headgate-request-id"] };
    };
    const { requestId } = await call("/v1/chat/completions", ask("who is there?"));
    await until("it has said who it is", () => gateway.pidOf(String(requestId)) !== undefined, deadlineMs);
    const pid = gateway.pidOf(String(requestId));
    if (pid !== undefined && pids.includes(pid)) return { pid, call };
    agent.destroy();
  }
}

it("a conversation stays on the baseline over a step up whichever process its turns come to, also at one that started later; so does a stored response", async (t) => {
  const world = await gatewayWorld(t, "accessLog: true\n");
  let responses = 0;
  const answering =
    (name: string): Answer =>
    ({ path }, response) =>
      answerJson(response, path.endsWith("/responses") ? { id: `resp_${name}_${++responses}`, object: "response", status: "completed" } : completion(name));
  world.one.answer = answering("a");
  world.two.answer = answering("b");
  const step = (epoch: number, candidateBuckets: number) =>
    publish(
      world.client,
      tableWith({
        epoch,
        ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets, holdbackBuckets: 100 }),
        staleAfterMs: 600_000,
        atMs: Date.now(),
      }),
    );
  await step(1, 0);
  const gateway = await startWorkers(t, world);
  const obeyed = (epoch: number) =>
    eventually("both obey", async () => (await gateway.together()).includes(`headgate_gateway_epoch{route="support-answer"} ${epoch}\n`));
  await until("both listen", () => gateway.pids().length === 2, deadlineMs);
  await obeyed(1);
  const [first = 0, second = 0] = gateway.pids();
  const [one, two] = [await connectionTo(t, gateway, [first]), await connectionTo(t, gateway, [second])];

  const user = "u-1";
  const turn = (n: number, question = "first question") => [
    { role: "user", content: question },
    ...Array.from({ length: n }, () => [
      { role: "assistant", content: "answer" },
      { role: "user", content: "and then?" },
    ]).flat(),
  ];
  const chat = async (connection: Connection, messages: object[]) => {
    const { choices } = (await connection.call("/v1/chat/completions", { model: "support-answer", messages, user })) as unknown as ReturnType<
      typeof completion
    >;
    return choices[0]?.message.content;
  };
  const respond = async (connection: Connection, previous?: string) =>
    String((await connection.call("/v1/responses", { model: "support-answer", input: "hi", store: true, previous_response_id: previous })).id);

  assert.equal(await chat(one, turn(0)), "a");
  const stored = await respond(one);
  await step(2, 9_900);
  await obeyed(2);
  assert.equal(await chat(two, turn(0, "another question")), "b");
  assert.equal(await chat(two, turn(1)), "a");
  const next = await respond(two, stored);
  assert.match(next, /_a_/);
  assert.match(await respond(two, "resp_of_nobody"), /_b_/);

  process.kill(first, "SIGKILL");
  await until("a new one listens", () => gateway.pids().length === 3, deadlineMs);
  const three = await connectionTo(t, gateway, gateway.pids().slice(2));
  await obeyed(2);
  assert.equal(await chat(three, turn(0, "a third question")), "b");
  assert.equal(await chat(three, turn(2)), "a");
  assert.match(await respond(three, next), /_a_/);

  await step(3, 0);
  await obeyed(3);
  assert.equal(await chat(three, turn(1, "a third question")), "a");
  assert.equal(await chat(two, turn(1, "a third question")), "a");
});
