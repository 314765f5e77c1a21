import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import type { LogClient } from "../../../../src/runtime/port.ts";
import type { Brake, RoutingTable } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { ask, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";
import { temporary } from "./spooling-log.ts";

const rangesOf = (candidateBuckets: number) => rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets, holdbackBuckets: 0 });
const onCandidate = (changes: Partial<RoutingTable> = {}) => tableWith({ ranges: rangesOf(10_000), staleAfterMs: 0, ...changes });
const unreachable = (): Promise<LogClient> => Promise.reject(new Error("no broker answers"));

async function world(t: TestContext) {
  const data = temporary(t);
  const upstream = await testUpstream(t);
  const start = (options: Parameters<typeof testGateway>[2] = {}, more = "") =>
    testGateway(t, `data: ${JSON.stringify(data)}\n${fileFor(upstream, upstream, more)}`, { adminToken: "t".repeat(20), ...options });
  return { data, start };
}
async function readyz(gateway: TestGateway) {
  const state = (await (await fetch(`${gateway.url}/readyz`)).json()) as {
    connected: boolean;
    remarks: { level: string; code: string; message: string; fix: string }[];
  };
  return { ...state, told: state.remarks.map(({ level, code }) => `${level} ${code}`) };
}
const tells = async (gateway: TestGateway, remark: string) => (await readyz(gateway)).told.includes(remark);

describe("a gateway remarks of its disk", () => {
  it("that routing and brakes cannot be kept, until they can", async (t) => {
    const { data, start } = await world(t);
    // A file stands where the directory is to be, whoever asks for it.
    writeFileSync(join(data, "routing"), "");
    const gateway = await start();
    assert.ok(await tells(gateway, "error snapshot_not_written"), "from the start on, before anything is to be written");
    gateway.log.tables.routing.put("support-answer", onCandidate());
    await until("a write has failed", async () => /snapshot_failures_total [1-9]/.test(await gateway.registry.metrics()));
    const { remarks } = await readyz(gateway);
    assert.match(remarks.find(({ code }) => code === "snapshot_not_written")?.message ?? "", /routing cannot be written \(E/);
  });

  it("that records have no spool, or that it takes none", async (t) => {
    const { data, start } = await world(t);
    writeFileSync(join(data, "spool"), "");
    const gateway = await start({ connect: unreachable });
    assert.ok(await tells(gateway, "error no_spool"));
    for (const more of ["log: { spoolMaxBytes: 0 }", "log: { off: true }"]) assert.ok(!(await tells(await start({}, more), "error no_spool")), more);
  });

  it("that a spool that was opened takes no records", async (t) => {
    const { data, start } = await world(t);
    const gateway = await start({ connect: unreachable });
    // Its first segment cannot be made: a directory has that name.
    mkdirSync(join(data, "spool", "gateway-1", `${"1".padStart(12, "0")}-1.frames`), { recursive: true });
    await (await gateway.chat(ask())).text();
    await until("it is told", () => tells(gateway, "error no_spool"));
  });
});

describe("a gateway remarks of Kafka", () => {
  it("that it is lost in the middle of traffic, and takes that back", async (t) => {
    const { start } = await world(t);
    const gateway = await start({ silenceMs: 100 });
    const { routing, brakes } = gateway.log.tables;
    const always = Number.MAX_SAFE_INTEGER;
    [routing.fresh, brakes.fresh] = [always, always];
    assert.deepEqual([(await readyz(gateway)).connected, (await readyz(gateway)).told], [true, []]);
    brakes.fresh = 0;
    await until("it is told", () => tells(gateway, "error disconnected"));
    assert.equal((await readyz(gateway)).connected, false);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_connected 0/);
    brakes.fresh = always;
    assert.deepEqual([(await readyz(gateway)).connected, (await readyz(gateway)).told], [true, []]);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_connected 1/);
  });

  it("that a route is held back from what its table says: stale, superseded or braked", async (t) => {
    const { start } = await world(t);
    const gateway = await start();
    const { routing, brakes } = gateway.log.tables;
    routing.put("support-answer", onCandidate({ staleAfterMs: 1 }));
    [routing.fresh, brakes.fresh] = [0, 0];
    await until("it is told", () => tells(gateway, "error stale"));
    routing.put("support-answer", onCandidate({ epoch: 8 }));
    assert.deepEqual((await readyz(gateway)).told, []);
    const unknown = { ...onCandidate().versions[1], upstream: "nowhere" } as RoutingTable["versions"][number];
    routing.put(
      "support-answer",
      onCandidate({ epoch: 9, ranges: rangesOf(10), versions: [onCandidate().versions[0] as RoutingTable["versions"][number], unknown] }),
    );
    assert.deepEqual((await readyz(gateway)).told, ["error superseded", "error table_refused"]);
    routing.put("support-answer", onCandidate({ epoch: 10 }));
    const stop: Brake = { route: "support-answer", rollout: "support-answer-b", attempt: 1, cleared: false, reason: "", actor: "ann", atMs: Date.now() };
    brakes.put("support-answer", stop);
    assert.deepEqual((await readyz(gateway)).told, ["warning braked"]);
    // The decider has rolled back: nothing is withheld any more.
    routing.put("support-answer", onCandidate({ epoch: 11, ranges: rangesOf(0), shadowPpm: 0 }));
    assert.deepEqual((await readyz(gateway)).told, []);
  });
});
