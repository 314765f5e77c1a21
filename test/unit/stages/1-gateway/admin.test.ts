import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import type { KnownError } from "../../../../src/errors/known-error.ts";
import type { LogClient } from "../../../../src/runtime/port.ts";
import { adminConfigOf } from "../../../../src/stages/1-gateway/admin/admin-config.ts";
import { type Brake, brakes, type RoutingTable, type ServedVersion } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, MemoryLog, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const token = "0123456789abcdef";
const onCandidate = (changes: Partial<RoutingTable> = {}) =>
  tableWith({ ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 }), staleAfterMs: 0, ...changes });

async function world(t: TestContext) {
  const data = mkdtempSync(join(tmpdir(), "headgate-admin-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  two.answer = (_, response) => answerJson(response, completion("from b"));
  const start = (connect?: () => Promise<LogClient>) =>
    testGateway(t, `data: ${JSON.stringify(data)}\n${fileFor(one, two)}`, { adminToken: token, ...(connect === undefined ? {} : { connect }) });
  return { start };
}
async function admin(gateway: TestGateway, method: "GET" | "POST", path: string, about: { body?: unknown; token?: string | null } = {}) {
  const response = await fetch(`${gateway.adminUrl}${path}`, {
    method,
    headers: about.token === null ? {} : { authorization: `Bearer ${about.token ?? token}` },
    ...(about.body === undefined ? {} : { body: JSON.stringify(about.body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
const brake = (gateway: TestGateway, route: string) => admin(gateway, "POST", "/v1/brakes", { body: { route, reason: "it swears", actor: "ann" } });
const contentOf = async (gateway: TestGateway) => ((await (await gateway.chat(ask())).json()) as ReturnType<typeof completion>).choices[0]?.message.content;
const written = (log: MemoryLog): Brake[] => log.appended.flatMap(({ topic, value }) => (topic.name === brakes.name ? [value as Brake] : []));

describe("the admin port of a gateway", () => {
  it("brakes what it serves at once, keeps the brake, shows it on the fleet and writes it to the topic", async (t) => {
    const { start } = await world(t);
    const gateway = await start();
    gateway.log.tables.routing.put("support-answer", onCandidate());
    assert.equal(await contentOf(gateway), "from b");
    const { status, body } = await brake(gateway, "support-answer");
    assert.deepEqual([status, body.rollout, body.attempt, body.obeyed, body.kept], [200, "support-answer-b", 1, true, true]);
    assert.equal(await contentOf(gateway), "hello");
    await until("the fleet sees it", () => gateway.log.reports().at(-1)?.routes[0]?.braked === true);
    await until("it is in the topic", () => written(gateway.log).length === 1);
    const [record] = written(gateway.log);
    assert.deepEqual([record?.route, record?.attempt, record?.reason, record?.actor], ["support-answer", 1, "it swears", "ann"]);
    assert.equal(gateway.routes.unwrittenBrakes.length, 1);
    gateway.log.tables.brakes.put("support-answer", record as Brake);
    assert.equal(gateway.routes.unwrittenBrakes.length, 0);
    assert.equal(await contentOf(gateway), "hello");
    gateway.log.tables.routing.put("support-answer", onCandidate({ epoch: 8, attempt: 2 }));
    assert.equal(await contentOf(gateway), "from b");
  });

  it("works without Kafka, over a restart too, and writes when Kafka is back, unless the attempt is over by then", async (t) => {
    for (const attempt of [1, 2]) {
      const { start } = await world(t);
      const before = await start();
      before.log.tables.routing.put("support-answer", onCandidate());
      await before.stop();
      const unreachable = () => Promise.reject(new Error("no broker answers"));
      const away = await start(unreachable);
      assert.equal(await contentOf(away), "from b");
      assert.equal((await brake(away, "support-answer")).status, 200);
      assert.equal(await contentOf(away), "hello");
      await away.stop();
      const log = new MemoryLog();
      log.tables.routing.put("support-answer", onCandidate({ epoch: 9, attempt }));
      let isBack = false;
      const back = await start(() => (isBack ? Promise.resolve(log.client()) : unreachable()));
      assert.equal(await contentOf(back), "hello");
      isBack = true;
      await until("the newest table is obeyed", () => back.routes.states()[0]?.epoch === 9);
      await until("the brake is written or not needed", () => written(log).length === 1 || back.routes.unwrittenBrakes.length === 0);
      assert.deepEqual([written(log).length, await contentOf(back)], attempt === 1 ? [1, "hello"] : [0, "from b"]);
    }
  });

  it("stops all routes, and an older clearing of the topic does not lift that; a newer one does, and raises nothing", async (t) => {
    const { start } = await world(t);
    const gateway = await start();
    gateway.log.tables.routing.put("support-answer", onCandidate());
    const { body } = await brake(gateway, "*");
    const clearing = (atMs: number): Brake => ({ route: "*", rollout: "", attempt: 0, cleared: true, reason: "", actor: "bob", atMs });
    gateway.log.tables.brakes.put("*", clearing(Number(body.atMs) - 1));
    gateway.log.tables.routing.put("new-route", onCandidate({ route: "new-route", rollout: "r", epoch: 3, atMs: Number(body.atMs) + 10 }));
    assert.deepEqual([gateway.routes.isBraked("*"), gateway.routes.isBraked("new-route"), await contentOf(gateway)], [true, true, "hello"]);
    gateway.log.tables.brakes.put("*", clearing(Number(body.atMs) + 1));
    assert.deepEqual([gateway.routes.isBraked("*"), await contentOf(gateway)], [false, "hello"]);
  });

  it("refuses who has no token, what it does not know, and what cannot be braked", async (t) => {
    const { start } = await world(t);
    const gateway = await start();
    const body = { route: "support-answer" };
    const answers = [
      await admin(gateway, "GET", "/v1/status", { token: null }),
      await admin(gateway, "POST", "/v1/brakes", { body, token: "another token of 16" }),
      await admin(gateway, "POST", "/v1/brakes", { body: { route: "nothing" } }),
      await admin(gateway, "POST", "/v1/brakes", { body }),
      await admin(gateway, "POST", "/v1/brakes", { body: { rout: "x" } }),
      await admin(gateway, "GET", "/v1/brakes"),
    ];
    assert.deepEqual(
      answers.map(({ status, body: { code } }) => [status, code]),
      [
        [403, "FORBIDDEN"],
        [403, "FORBIDDEN"],
        [404, "NOT_FOUND"],
        [409, "CONFLICT"],
        [400, "REQUEST_INVALID"],
        [404, "NOT_FOUND"],
      ],
    );
  });

  it("shows state and remarks; a baseline of the file that is not routing's any more is an error and a metric", async (t) => {
    const { start } = await world(t);
    const gateway = await start();
    const remarks = async () =>
      ((await admin(gateway, "GET", "/v1/status")).body.remarks as { level: string; code: string; message: string }[]).map(({ code }) => code);
    gateway.log.tables.routing.put("support-answer", onCandidate());
    assert.deepEqual(await remarks(), []);
    let epoch = 8;
    gateway.log.tables.routing.put("support-answer", onCandidate({ epoch, baseline: "b@2", candidate: "a@1" }));
    assert.deepEqual(await remarks(), ["static_outdated"]);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_static_outdated\{route="support-answer"\} 1/);
    const told = async () => ((await admin(gateway, "GET", "/v1/status")).body.remarks as { message: string; fix: string }[])[0];
    assert.match((await told())?.message ?? "", /has the baseline a@1, routing has b@2: /);
    assert.match((await told())?.fix ?? "", /export static --into FILE/);
    const [a, b] = onCandidate().versions as [ServedVersion, ServedVersion];
    for (const [changes, expected] of [
      [{ parameters: '{"temperature":0}' }, "(parameters differ)"],
      [{ model: "another", systemTemplate: "Be brief." }, "(model, systemTemplate differ)"],
      [{ upstream: "two" }, "(upstream differs)"],
    ] as const) {
      gateway.log.tables.routing.put("support-answer", onCandidate({ epoch: ++epoch, versions: [{ ...a, ...changes }, b] }));
      assert.ok((await told())?.message.includes(`routing has a@1 ${expected}: `), expected);
    }
    gateway.log.tables.routing.put("support-answer", onCandidate({ epoch: ++epoch, baseline: "b@2", candidate: "a@1" }));
    const { body } = await admin(gateway, "GET", "/v1/status");
    assert.deepEqual([body.instance, body.connected, (body.routes as { epoch: number }[])[0]?.epoch], ["gateway-1", true, epoch]);
  });

  it("tells which upstream takes no connection, and /readyz does not ask them", async (t) => {
    const one = await testUpstream(t);
    const yaml = `upstreams: { one: { baseUrl: "${one.url}" }, dead: { baseUrl: "http://127.0.0.1:1/v1" } }`;
    const gateway = await testGateway(t, yaml, { adminToken: token });
    const { remarks } = (await admin(gateway, "GET", "/v1/status")).body as { remarks: { code: string; level: string; message: string }[] };
    const told = remarks.filter(({ code }) => code === "upstream_unreachable");
    assert.deepEqual(
      told.map(({ level, message }) => `${level}: ${message}`),
      ["error: upstream dead: 127.0.0.1:1 takes no connection from here (ECONNREFUSED)"],
    );
    assert.doesNotMatch(await (await fetch(`${gateway.url}/readyz`)).text(), /upstream_unreachable/);
    assert.equal(one.asked.length, 0);
  });

  it("is never opened without a token", () => {
    const problem = (env: Parameters<typeof adminConfigOf>[0], file?: Parameters<typeof adminConfigOf>[1]) => {
      try {
        return adminConfigOf(env, file, { T: "short" });
      } catch (error) {
        return (error as KnownError).message;
      }
    };
    assert.equal(problem({}), null);
    assert.match(String(problem({ HEADGATE_GATEWAY_ADMIN_PORT: 1 })), /it has no token/);
    assert.match(String(problem({}, { port: 1, tokenEnv: "T" })), /fewer than 16 characters/);
    assert.match(String(problem({}, { port: 1, tokenEnv: "U" })), /admin\.tokenEnv: the environment variable U is not set/);
    assert.deepEqual(problem({ HEADGATE_GATEWAY_ADMIN_TOKEN: token }, { port: 1 }), { host: "127.0.0.1", port: 1, token });
  });
});
