import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import type { LogClient } from "../../../../src/runtime/port.ts";
import { encodeSnapshot, type Snapshot } from "../../../../src/stages/1-gateway/routing/snapshot.ts";
import { SnapshotDirectory } from "../../../../src/stages/1-gateway/routing/snapshot-directory.ts";
import { uniteSnapshots } from "../../../../src/stages/1-gateway/routing/unite-snapshots.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const unreachable = (): Promise<LogClient> => Promise.reject(new Error("no broker answers"));
const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
const token = "t".repeat(20);
const kept = (changes: Partial<Snapshot> = {}): Snapshot => ({
  writtenAtMs: Date.now(),
  freshAtMs: Date.now(),
  tables: ["r1", "r2"].map((route) => tableWith({ route, ranges, staleAfterMs: 600_000 })),
  brakes: { attempts: [], all: false, clearedAtMs: -1 },
  unwritten: [],
  ...changes,
});

function directoryFor(t: TestContext): string {
  const data = mkdtempSync(join(tmpdir(), "headgate-shared-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  return data;
}
const snapshotsIn = (data: string) => readdirSync(join(data, "routing")).filter((name) => name.endsWith(".snapshot"));
const brake = async (gateway: TestGateway, route: string) => {
  const headers = { authorization: `Bearer ${token}` };
  return (await (await fetch(`${gateway.adminUrl}/v1/brakes`, { method: "POST", headers, body: JSON.stringify({ route }) })).json()) as { kept: boolean };
};
const holds = (gateway: TestGateway) => gateway.routes.states().flatMap(({ route, hold }) => (route === "support-answer" ? [] : [[route, hold]]));

async function world(t: TestContext) {
  const data = directoryFor(t);
  const upstream = await testUpstream(t);
  const start = (instance: string) => testGateway(t, `data: ${data}\n${fileFor(upstream)}`, { instance, connect: unreachable, adminToken: token });
  return { data, start };
}

describe("gateways that share a data directory", () => {
  it("lose no brake of each other, whichever writes last, and the next start keeps one file of all", async (t) => {
    const { data, start } = await world(t);
    writeFileSync(join(data, "routing.snapshot"), encodeSnapshot(kept(), "test."));
    const [a, b] = [await start("a"), await start("b")];
    assert.deepEqual([(await brake(a, "r1")).kept, (await brake(b, "r2")).kept], [true, true]);
    await a.stop();
    await b.stop();
    const c = await start("c");
    assert.deepEqual(holds(c), [
      ["r1", "braked"],
      ["r2", "braked"],
    ]);
    await until("one file is left", () => snapshotsIn(data).length === 1);
    assert.ok(!readdirSync(data).includes("routing.snapshot"));
    await c.stop();
    assert.deepEqual(holds(await start("d")), [
      ["r1", "braked"],
      ["r2", "braked"],
    ]);
  });

  it("leave the files of those that live, and read them", async (t) => {
    const { data, start } = await world(t);
    writeFileSync(join(data, "routing.snapshot"), encodeSnapshot(kept(), "test."));
    const a = await start("a");
    await brake(a, "r1");
    const b = await start("b");
    assert.deepEqual(holds(b), [
      ["r1", "braked"],
      ["r2", null],
    ]);
    await until("both are written", () => snapshotsIn(data).length === 2);
    await brake(a, "r2");
    await a.stop();
    await b.stop();
    assert.deepEqual(holds(await start("c")), [
      ["r1", "braked"],
      ["r2", "braked"],
    ]);
  });

  it("use the files that are whole beside a damaged one, and say what is wrong with that", async (t) => {
    const { data, start } = await world(t);
    writeFileSync(join(data, "routing.snapshot"), encodeSnapshot(kept(), "test."));
    const a = await start("a");
    await brake(a, "r1");
    await a.stop();
    writeFileSync(join(data, "routing", "z-1.snapshot"), "half a");
    const b = await start("b");
    assert.deepEqual(holds(b), [
      ["r1", "braked"],
      ["r2", null],
    ]);
    const status = (await (await fetch(`${b.url}/readyz`)).json()) as { snapshot: { problem: string }; remarks: { code: string }[] };
    assert.match(status.snapshot.problem, /z-1\.snapshot cannot be used: it does not begin with/);
    assert.ok(status.remarks.some(({ code }) => code === "snapshot_refused"));
  });

  it("killed at any moment lose nothing that they said was kept", { timeout: 120_000 }, async (t) => {
    const data = directoryFor(t);
    const said = new Set<string>();
    for (let round = 0; round < 4; round++) {
      const children = ["a", "b"].map((name) => {
        const args = ["test/fixtures/worker-keeps-brakes.ts", data, `${name}${round}`];
        const child = spawn(process.execPath, args, { env: { NODE_NO_WARNINGS: "1" }, stdio: ["ignore", "pipe", "inherit"] });
        let text = "";
        let count = 0;
        child.stdout.on("data", (chunk) => {
          text += String(chunk);
          const lines = text.split("\n");
          text = lines.pop() ?? "";
          for (const line of lines) said.add(line);
          count += lines.length;
        });
        return { child, ended: once(child, "close"), count: () => count };
      });
      // The number of brakes, not the time, decides when: a kill then meets a write wherever it stands.
      await until("both have kept some", () => children.every(({ count }) => count() >= 5 + 3 * round), 60_000);
      for (const { child } of children) child.kill("SIGKILL");
      await Promise.all(children.map(({ ended }) => ended));
    }
    const directory = new SnapshotDirectory(data, "reader", "test.");
    directory.open();
    const { snapshots, problems } = directory.read();
    directory.close();
    assert.deepEqual(problems, []);
    const found = new Set(uniteSnapshots(snapshots, Date.now()).brakes.attempts);
    assert.deepEqual(
      [...said].filter((attempt) => !found.has(attempt)),
      [],
    );
    assert.ok(snapshots.length <= 4, `${snapshots.length} files are left`);
  });
});

describe("what several gateways have kept, as one", () => {
  const ms = fc.integer({ min: 0, max: 20 });
  const snapshot = fc.record({
    writtenAtMs: ms,
    freshAtMs: ms,
    tables: fc.array(
      fc.record({ route: fc.constantFrom("r1", "r2"), epoch: fc.integer({ min: 1, max: 9 }) }).map((changes) => tableWith({ ...changes, ranges })),
      { maxLength: 3 },
    ),
    brakes: fc.record({ attempts: fc.uniqueArray(fc.constantFrom("x", "y", "z")), all: fc.boolean(), clearedAtMs: fc.integer({ min: -1, max: 20 }) }),
    unwritten: fc.constant<Snapshot["unwritten"]>([]),
  });

  it("has every brake of each and the newest table of each route, in any order of the files", () => {
    fc.assert(
      fc.property(fc.array(snapshot, { minLength: 1, maxLength: 4 }), (all) => {
        const united = uniteSnapshots(all, 20);
        for (const { brakes, tables } of all) {
          for (const attempt of brakes.attempts) assert.ok(united.brakes.attempts.includes(attempt));
          for (const { route, epoch } of tables) assert.ok(united.tables.some((table) => table.route === route && table.epoch >= epoch));
        }
        const again = uniteSnapshots([...all].reverse(), 20);
        assert.deepEqual(new Set(again.brakes.attempts), new Set(united.brakes.attempts));
        assert.deepEqual([again.brakes.all, again.brakes.clearedAtMs, again.freshAtMs], [united.brakes.all, united.brakes.clearedAtMs, united.freshAtMs]);
      }),
    );
  });

  it("lifts the brake on all routes only when one saw a clearing that is younger than all that the braked one kept", () => {
    const brakes = (all: boolean, clearedAtMs: number) => ({ attempts: [], all, clearedAtMs });
    const braked = kept({ writtenAtMs: 10, brakes: brakes(true, -1) });
    const isBraked = (clearedAtMs: number) => uniteSnapshots([braked, kept({ brakes: brakes(false, clearedAtMs) })], Date.now()).brakes.all;
    assert.deepEqual([isBraked(-1), isBraked(10), isBraked(11)], [true, true, false]);
    const order = { route: "*", rollout: "", attempt: 0, cleared: false, reason: "", actor: "ann" };
    const own = kept({
      unwritten: [
        { ...order, atMs: 5 },
        { ...order, atMs: 30 },
      ],
    });
    const united = uniteSnapshots([own, kept({ brakes: brakes(false, 11) })], Date.now());
    assert.deepEqual(
      united.unwritten.map(({ atMs }) => atMs),
      [30],
    );
  });
});
