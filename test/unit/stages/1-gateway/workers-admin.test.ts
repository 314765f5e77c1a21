import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { encodeSnapshot } from "../../../../src/stages/1-gateway/routing/snapshot.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { fileFor, testUpstream, until } from "./harness.ts";
import { adminToken, deadlineMs, type Running, running } from "./running-workers.ts";

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function admin(gateway: Running, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${gateway.adminUrl}${path}`, {
    headers: { authorization: `Bearer ${adminToken}`, connection: "close" },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
const brake = (gateway: Running, route: string) => admin(gateway, "/v1/brakes", { route, reason: "it swears", actor: "ann" });

/** Two upstreams, and a data directory that knows a table by which everybody is served by the candidate, on `two`. */
async function world(t: TestContext) {
  const data = mkdtempSync(join(tmpdir(), "headgate-workers-data-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
  /** The disk forgets all brakes. */
  const forget = () => {
    for (const file of readdirSync(data, { recursive: true, encoding: "utf8" })) if (file.endsWith(".snapshot")) rmSync(join(data, file));
    const tables = [tableWith({ ranges, staleAfterMs: 0 })];
    const kept = { writtenAtMs: Date.now(), freshAtMs: Date.now(), tables, brakes: { attempts: [], all: false, clearedAtMs: -1 }, unwritten: [] };
    writeFileSync(join(data, "routing.snapshot"), encodeSnapshot(kept, "headgate."));
  };
  forget();
  const start = async () => {
    const gateway = await running(t, fileFor(one, two), { data });
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    return gateway;
  };
  /** How many of 20 calls, each on a connection of its own, the candidate answers. */
  const onCandidate = async (gateway: Running) => {
    const before = two.asked.length;
    for (let i = 0; i < 20; i++) assert.equal((await gateway.chat()).status, 200);
    return two.asked.length - before;
  };
  return { start, forget, onCandidate };
}

describe("the admin port of a gateway of several processes, without Kafka", () => {
  it("asks all of them: a brake is obeyed by each, also by one that starts later, or nobody is told that it is", async (t) => {
    const { start, forget, onCandidate } = await world(t);
    const gateway = await start();
    const { body: shown } = await admin(gateway, "/v1/status");
    const told = (shown.remarks as { level: string; code: string }[]).map(({ level, code }) => `${level} ${code}`);
    assert.ok(told.includes("warning random_subject_key"), "each worker has the one that was drawn for all");
    const workers = shown.workers as { instance: string; routes: { epoch: number }[] }[];
    assert.equal(new Set(workers.map(({ instance }) => instance)).size, 2);
    assert.deepEqual([(shown.routes as unknown[]).length, workers[0]?.routes[0]?.epoch, shown.connected], [1, 7, false]);
    const codes = (shown.remarks as { code: string }[]).map(({ code }) => code);
    assert.deepEqual([codes.length, codes.includes("workers_missing")], [new Set(codes).size, false]);
    const unknown = await brake(gateway, "nothing");
    assert.deepEqual([unknown.status, unknown.body.code], [404, "NOT_FOUND"]);
    assert.equal(await onCandidate(gateway), 20);

    const [first = 0, second = 0] = gateway.listened();
    process.kill(second, "SIGSTOP");
    const refused = await brake(gateway, "support-answer");
    assert.deepEqual([refused.status, refused.body.code], [503, "GATEWAY_UNREACHABLE"]);
    // The one that answers knows no such route. The silent one may: nobody can say that there is nothing to brake.
    const unknownToOne = await brake(gateway, "nothing");
    assert.deepEqual([unknownToOne.status, unknownToOne.body.code], [503, "GATEWAY_UNREACHABLE"]);
    const { remarks } = (await admin(gateway, "/v1/status")).body as { remarks: { code: string; level: string }[] };
    assert.deepEqual(
      remarks.filter(({ code }) => code === "workers_missing").map(({ level }) => level),
      ["error"],
    );
    process.kill(second, "SIGCONT");
    const { status, body } = await brake(gateway, "support-answer");
    assert.deepEqual([status, body.attempt, body.obeyed, body.kept, body.workers], [200, 1, true, true, 2]);
    assert.equal(await onCandidate(gateway), 0);

    forget();
    process.kill(first, "SIGSTOP");
    const braked = brake(gateway, "support-answer");
    process.kill(first, "SIGKILL");
    assert.deepEqual([(await braked).status, (await braked).body.obeyed], [200, true]);
    forget();
    await until("a new worker listens", () => gateway.listened().length === 3, deadlineMs);
    assert.equal(await onCandidate(gateway), 0);
    const ended = once(gateway.process, "exit");
    gateway.process.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
  });

  it("keeps a brake over a restart", async (t) => {
    const { start, onCandidate } = await world(t);
    const gateway = await start();
    assert.equal((await brake(gateway, "*")).body.kept, true);
    gateway.process.kill("SIGKILL");
    await once(gateway.process, "exit");
    assert.equal(await onCandidate(await start()), 0);
  });
});
