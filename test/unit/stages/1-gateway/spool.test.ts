import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import fc from "fast-check";
import { markRecord } from "../../../../src/stages/1-gateway/log/mark-record.ts";
import type { Spooled } from "../../../../src/stages/1-gateway/log/spool/frames.ts";
import { Spool, SpoolSpace } from "../../../../src/stages/1-gateway/log/spool/spool.ts";

const record = (id: number, text = ""): Spooled => ({
  kind: "record",
  partition: -1,
  value: { ...markRecord("g", 0, id), kind: "call", requestId: String(id), requestBody: text },
});
const idOf = (spooled: Spooled): number => (spooled.kind === "record" ? Number(spooled.value.requestId) : -1);

function directory(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "headgate-spool-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return join(made, "one");
}
async function opened(path: string, about: { maxBytes?: number; segmentBytes?: number } = {}) {
  const damages: { problem: string; isTorn: boolean }[] = [];
  const spool = await Spool.open({
    directory: path,
    prefix: "test.",
    space: new SpoolSpace(about.maxBytes ?? 1e9),
    segmentBytes: about.segmentBytes ?? 2_000,
    onDamage: ({ problem, isTorn }) => damages.push({ problem, isTorn }),
  });
  assert.ok(spool !== null);
  return { spool, damages };
}
async function readAll(spool: Spool): Promise<{ ids: number[]; lost: number }> {
  const ids: number[] = [];
  let lost = 0;
  for (let chunk = await spool.next(3); chunk !== null; chunk = await spool.next(3)) {
    ids.push(...chunk.frames.map(idOf));
    lost += chunk.lost;
    await spool.ack([]);
  }
  return { ids, lost };
}
const segmentsOf = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => name.endsWith(".frames"))
    .sort()
    .map((name) => join(path, name));

describe("the spool of records on disk", () => {
  it("gives everything back in order and once, over any writes, reads and restarts; what was not acknowledged is given again", async (t) => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("write" as const), count: fc.integer({ min: 1, max: 8 }), size: fc.nat(3_000) }),
      fc.record({ kind: fc.constant("read" as const), count: fc.integer({ min: 1, max: 8 }), isAcked: fc.boolean() }),
      fc.record({ kind: fc.constant("restart" as const) }),
    );
    let run = 0;
    const root = directory(t);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const path = `${root}-${run++}`;
        let { spool } = await opened(path);
        let [written, acked] = [0, 0];
        for (const one of steps) {
          if (one.kind === "write") {
            const frames = Array.from({ length: one.count }, () => record(++written, "x".repeat(one.size)));
            assert.equal(await spool.append(frames), true);
          } else if (one.kind === "read") {
            const ids = (await spool.next(one.count))?.frames.map(idOf) ?? [];
            assert.deepEqual(
              ids,
              ids.map((_, i) => acked + i + 1),
            );
            assert.equal(ids.length > 0, acked < written);
            if (!one.isAcked) continue;
            await spool.ack([]);
            acked += ids.length;
          } else {
            await spool.close();
            ({ spool } = await opened(path));
          }
        }
        const { ids, lost } = await readAll(spool);
        assert.deepEqual([ids.length, ids[0] ?? acked + 1, lost], [written - acked, acked + 1, 0]);
        await spool.clear();
        await spool.close();
      }),
      { numRuns: 20 },
    );
  });

  it("cut off at any byte, as a killed process leaves it, loses the frame that was being written and nothing else", async (t) => {
    const path = directory(t);
    const { spool } = await opened(path, { segmentBytes: 1e6 });
    await spool.append([record(1), record(2)]);
    const whole = statSync(segmentsOf(path)[0] ?? "").size;
    await spool.append([record(3)]);
    await spool.close();
    const [file = ""] = segmentsOf(path);
    const bytes = readFileSync(file);
    for (let length = whole; length < bytes.length; length += 7) {
      writeFileSync(file, bytes);
      truncateSync(file, length);
      rmSync(join(path, "notes"), { force: true });
      const torn = await opened(path);
      assert.deepEqual((await readAll(torn.spool)).ids, [1, 2], `cut at ${length}`);
      assert.deepEqual(
        torn.damages.map(({ isTorn }) => isTorn),
        length === whole ? [] : [true],
      );
      await torn.spool.close();
    }
  });

  it("damaged anywhere, reads on from the next whole frame and counts exactly what is missing, also at the very end", async (t) => {
    const root = directory(t);
    const place = fc.record({ at: fc.double({ min: 0, max: 0.999_999, noNaN: true }), bit: fc.nat(7), length: fc.constantFrom(1, 1, 1, 700) });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(place, fc.constantFrom(2_000, 1e6), async ({ at, bit, length }, segmentBytes) => {
        const path = `${root}-${run++}`;
        const { spool } = await opened(path, { segmentBytes });
        for (let id = 1; id <= 20; id += 4) await spool.append([record(id), record(id + 1), record(id + 2), record(id + 3)]);
        await spool.close();
        const files = segmentsOf(path);
        const file = files[Math.floor(at * files.length)] ?? "";
        const bytes = readFileSync(file);
        const start = Math.floor(((at * files.length) % 1) * bytes.length);
        for (let i = start; i < Math.min(bytes.length, start + length); i++) bytes[i] = (bytes[i] ?? 0) ^ (1 << bit);
        writeFileSync(file, bytes);
        const damaged = await opened(path);
        const { ids, lost } = await readAll(damaged.spool);
        assert.ok(damaged.damages.length > 0 && lost > 0);
        assert.equal(ids.length + lost, 20, `${ids} and ${lost} lost`);
        assert.ok(lost <= (length === 1 ? 1 : 3), `${lost} lost of one damage`);
        assert.deepEqual(
          ids,
          [...new Set(ids)].sort((a, b) => a - b),
        );
        assert.equal(await damaged.spool.next(3), null);
        await damaged.spool.close();
      }),
      { numRuns: 60 },
    );
  });

  it("counts one frame for a damaged end when even the note of how many were written is lost", async (t) => {
    const path = directory(t);
    const { spool } = await opened(path);
    await spool.append([record(1), record(2)]);
    await spool.close();
    const [file = ""] = segmentsOf(path);
    const bytes = readFileSync(file);
    bytes[bytes.length - 5] = 0;
    writeFileSync(file, bytes);
    rmSync(join(path, "notes"));
    const damaged = await opened(path);
    assert.deepEqual(await readAll(damaged.spool), { ids: [1], lost: 1 });
    await damaged.spool.close();
  });

  it("takes a file that became shorter under it for damage, and goes on", { timeout: 20_000 }, async (t) => {
    const path = directory(t);
    const { spool, damages } = await opened(path, { segmentBytes: 1e6 });
    for (let id = 1; id <= 5; id++) await spool.append([record(id, "x".repeat(1_000))]);
    truncateSync(segmentsOf(path)[0] ?? "", 4_000);
    const { ids, lost } = await readAll(spool);
    assert.deepEqual([ids, lost], [[1, 2], 3]);
    assert.match(damages.at(-1)?.problem ?? "", /^a file that ends \d+ bytes early$/);
    assert.equal(spool.unreadFrames, 0);
    await spool.clear();
    assert.equal(await spool.append([record(6)]), true);
    assert.deepEqual(await readAll(spool), { ids: [6], lost: 0 });
    await spool.close();
  });

  it("on a disk that takes a part of a write keeps what was there before it, and takes smaller ones", async () => {
    // Beyond `ulimit -f` the system writes what fits and refuses the rest, as a full disk does.
    const run = ["-c", 'ulimit -f 400 && exec "$0" test/fixtures/worker-fills-spool.ts', process.execPath];
    const { stdout } = await promisify(execFile)("sh", run, { env: { NODE_NO_WARNINGS: "1" } });
    const { whole, refusals, read, lost, damages } = JSON.parse(stdout) as Record<string, number>;
    assert.ok(whole !== undefined && whole > 3 && refusals === 2, stdout);
    assert.deepEqual([read, lost, damages], [whole, 0, 0]);
  });

  it("is bounded, and has room again when a segment was read", async (t) => {
    const { spool } = await opened(directory(t), { maxBytes: 10_000, segmentBytes: 2_000 });
    let written = 0;
    while (await spool.append([record(written + 1)])) written++;
    assert.ok(written > 3 && spool.bytes <= 10_000);
    for (let i = 0; i < 3; i++) {
      await spool.next(2);
      await spool.ack([]);
    }
    assert.equal(await spool.append([record(written + 1)]), true);
    assert.equal((await readAll(spool)).ids.at(-1), written + 1);
    await spool.close();
  });

  it("belongs to one process at a time, and an empty one leaves nothing", async (t) => {
    const path = directory(t);
    const { spool } = await opened(path);
    assert.equal(await Spool.open({ directory: path, prefix: "test.", space: new SpoolSpace(1), onDamage: () => undefined }), null);
    await spool.close();
    assert.throws(() => statSync(path), /ENOENT/);
  });

  it("keeps the numbers of a checkpoint, and is readable by its owner only", async (t) => {
    const path = directory(t);
    const { spool } = await opened(path);
    await spool.append([record(1), record(2)]);
    await spool.next(1);
    await spool.ack([4, 7]);
    assert.equal(spool.unreadFrames, 1);
    await spool.close();
    assert.ok(segmentsOf(path).every((file) => (statSync(file).mode & 0o077) === 0));
    const again = await opened(path);
    assert.deepEqual([again.spool.found, (await readAll(again.spool)).ids], [[4, 7], [2]]);
    await again.spool.close();
  });
});
