import assert from "node:assert/strict";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import type { LogClient } from "../../../../src/runtime/port.ts";
import { decodeSnapshot, encodeSnapshot, type Snapshot, trustedFreshness } from "../../../../src/stages/1-gateway/routing/snapshot.ts";
import type { Brake, RoutingTable } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const unreachable = (): Promise<LogClient> => Promise.reject(new Error("no broker answers"));
const onCandidate = (changes: Partial<RoutingTable> = {}) =>
  tableWith({ ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 }), ...changes });
const brake = (changes: Partial<Brake> = {}): Brake => ({
  route: "support-answer",
  rollout: "support-answer-b",
  attempt: 1,
  cleared: false,
  reason: "",
  actor: "test",
  atMs: Date.now(),
  ...changes,
});

async function world(t: TestContext) {
  const data = mkdtempSync(join(tmpdir(), "headgate-data-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  two.answer = (_, response) => answerJson(response, completion("from b"));
  /** Of the one gateway that has written. */
  const file = () => {
    const [name, ...others] = readdirSync(join(data, "routing")).filter((each) => each.endsWith(".snapshot"));
    assert.ok(name !== undefined && others.length === 0);
    return join(data, "routing", name);
  };
  const start = (connect?: () => Promise<LogClient>, options: Parameters<typeof testGateway>[2] = {}) =>
    testGateway(t, `data: ${JSON.stringify(data)}\n${fileFor(one, two)}`, connect === undefined ? options : { ...options, connect });
  /** Runs a gateway with Kafka until it has stopped, having received these. */
  const ran = async (give: (gateway: TestGateway) => void) => {
    const gateway = await start();
    give(gateway);
    await until("the freshness is known", () => gateway.routes.freshAtMs() > 0);
    await gateway.stop();
  };
  return { data, file, start, ran };
}
const contentOf = async (gateway: TestGateway) => ((await (await gateway.chat(ask())).json()) as ReturnType<typeof completion>).choices[0]?.message.content;
const readyz = async (gateway: TestGateway) =>
  (await (await fetch(`${gateway.url}/readyz`)).json()) as {
    snapshot: { found: string; problem: string | null };
    routes: { epoch: number; hold: string | null }[];
    remarks: { code: string; fix: string }[];
  };

describe("the routing snapshot of a gateway", () => {
  it("brings the last table back at a start without Kafka", async (t) => {
    const { start, ran, file } = await world(t);
    await ran((gateway) => gateway.log.tables.routing.put("support-answer", onCandidate()));
    assert.equal(statSync(file()).mode & 0o077, 0);
    const gateway = await start(unreachable);
    assert.equal(await contentOf(gateway), "from b");
    const { snapshot, routes } = await readyz(gateway);
    assert.deepEqual([snapshot.found, routes[0]?.epoch, routes[0]?.hold], ["restored", 7, null]);
  });

  it("keeps brakes, of one attempt and of all routes", async (t) => {
    for (const stop of [brake(), brake({ route: "*", rollout: "", attempt: 0 })]) {
      const { start, ran } = await world(t);
      await ran((gateway) => {
        gateway.log.tables.routing.put("support-answer", onCandidate());
        gateway.log.tables.brakes.put(stop.route, stop);
      });
      const gateway = await start(unreachable);
      assert.equal(await contentOf(gateway), "hello");
      assert.equal((await readyz(gateway)).routes[0]?.hold, "braked");
      gateway.routes.applyTable(onCandidate({ epoch: 8 }));
      assert.equal(await contentOf(gateway), "hello");
    }
  });

  it("goes on counting the staleness limit where it was, and obeys again when the head of routing is confirmed", async (t) => {
    const { start, ran, file } = await world(t);
    await ran((gateway) => gateway.log.tables.routing.put("support-answer", onCandidate({ staleAfterMs: 60_000 })));
    const kept = decodeSnapshot(file(), readFileSync(file(), "utf8"), "test.");
    writeFileSync(file(), encodeSnapshot({ ...kept, freshAtMs: Date.now() - 61_000 }, "test."));
    const stale = await start(unreachable);
    assert.equal(await contentOf(stale), "hello");
    assert.equal((await readyz(stale)).routes[0]?.hold, "stale");
    await stale.stop();
    const confirmed = await start();
    assert.equal(await contentOf(confirmed), "from b");
  });

  it("that is damaged anywhere is refused as a whole with what is wrong, and the configuration serves", async (t) => {
    const { start, ran, file } = await world(t);
    await ran((gateway) => gateway.log.tables.routing.put("support-answer", onCandidate()));
    const path = file();
    const good = readFileSync(path, "utf8");
    const cases: readonly [string, RegExp][] = [
      [good.replace('"epoch":7', '"epoch":9'), /checksum does not fit/],
      [good.slice(0, -10), /bytes after its head instead of/],
      [good.replace("snapshot 2 ", "snapshot 1 "), /has version 1; this headgate reads version 2/],
      ["", /does not begin with/],
    ];
    for (const [text, problem] of cases) {
      writeFileSync(path, text);
      const gateway = await start(unreachable);
      assert.equal(await contentOf(gateway), "hello");
      const { snapshot, routes } = await readyz(gateway);
      assert.deepEqual([snapshot.found, routes[0]?.epoch], ["refused", 0]);
      assert.match(snapshot.problem ?? "", problem);
      assert.match(await gateway.registry.metrics(), /headgate_gateway_snapshot_refused 1/);
    }
  });

  it("of another installation is not obeyed, nor touched: its brakes stop nothing here, and both prefixes are named", async (t) => {
    const { start, ran, file, data } = await world(t);
    await ran((gateway) => {
      gateway.log.tables.routing.put("support-answer", onCandidate());
      gateway.log.tables.brakes.put("*", brake({ route: "*", rollout: "", attempt: 0 }));
    });
    const [theirs, former] = [file(), join(data, "routing.snapshot")];
    copyFileSync(theirs, former);
    const other = await start(undefined, { prefix: "p2." });
    assert.equal(await contentOf(other), "hello");
    const { snapshot, routes, remarks } = await readyz(other);
    assert.deepEqual([snapshot.found, routes[0]?.epoch, routes[0]?.hold], ["refused", 0, null]);
    assert.match(snapshot.problem ?? "", /prefix "test\.", and this gateway has "p2\."/);
    const [remark] = remarks.filter(({ code }) => code === "snapshot_refused");
    assert.match(remark?.fix ?? "", /a data directory of its own/);
    other.log.tables.routing.put("support-answer", onCandidate({ epoch: 8 }));
    await until("it has kept its own", () => readdirSync(join(data, "routing")).filter((name) => name.endsWith(".snapshot")).length === 2);
    assert.equal(await contentOf(other), "from b");
    await other.stop();
    assert.ok(existsSync(theirs) && existsSync(former));
    const back = await start(unreachable);
    assert.equal((await readyz(back)).routes[0]?.hold, "braked");
  });

  it("is written whole or not at all: no temporary file is left, and a disk that refuses does not stop the gateway", async (t) => {
    const { start, data } = await world(t);
    const gateway = await start();
    gateway.log.tables.routing.put("support-answer", onCandidate());
    await until("it is written", () => readdirSync(join(data, "routing")).some((name) => name.endsWith(".snapshot")));
    assert.deepEqual(
      readdirSync(join(data, "routing")).filter((name) => name.endsWith(".tmp")),
      [],
    );
    if (process.getuid?.() === 0) rmSync(data, { recursive: true });
    else chmodSync(join(data, "routing"), 0o500);
    gateway.log.tables.routing.put("support-answer", onCandidate({ epoch: 8 }));
    const failures = async () => Number(/snapshot_failures_total (\d+)/.exec(await gateway.registry.metrics())?.[1]);
    for (let tries = 0; (await failures()) === 0 && tries < 1_000; tries++) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.ok((await failures()) > 0);
    assert.equal(await contentOf(gateway), "from b");
    if (process.getuid?.() !== 0) chmodSync(join(data, "routing"), 0o700);
  });

  it("without a directory nothing is kept, and /readyz says so", async (t) => {
    const upstream = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(upstream));
    assert.equal((await readyz(gateway)).snapshot.found, "off");
  });

  it("a clock that was set back makes no restored table fresh", () => {
    const kept = { freshAtMs: 1_000, writtenAtMs: 2_000 } as Snapshot;
    assert.deepEqual([trustedFreshness(kept, 2_000), trustedFreshness(kept, 1_999)], [1_000, 0]);
  });
});
