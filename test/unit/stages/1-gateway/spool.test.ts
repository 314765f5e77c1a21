import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
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
      rmSync(join(path, "checkpoint.json"), { force: true });
      const torn = await opened(path);
      assert.deepEqual((await readAll(torn.spool)).ids, [1, 2], `cut at ${length}`);
      assert.deepEqual(
        torn.damages.map(({ isTorn }) => isTorn),
        length === whole ? [] : [true],
      );
      await torn.spool.close();
    }
  });

  it("passes over the rest of a damaged segment, says where and why, and counts what is missing", async (t) => {
    const path = directory(t);
    const { spool } = await opened(path, { segmentBytes: 3_000 });
    for (let id = 1; id <= 12; id++) await spool.append([record(id)]);
    await spool.close();
    const files = segmentsOf(path);
    assert.ok(files.length >= 3);
    const bytes = readFileSync(files[1] ?? "");
    bytes[100] = (bytes[100] ?? 0) ^ 0xff;
    writeFileSync(files[1] ?? "", bytes);
    const damaged = await opened(path);
    const { ids, lost } = await readAll(damaged.spool);
    assert.deepEqual(damaged.damages, [{ problem: "a checksum that does not fit", isTorn: false }]);
    assert.ok(lost > 0 && ids.length + lost === 12 && ids[0] === 1 && ids.at(-1) === 12, `${ids} and ${lost} lost`);
    await damaged.spool.close();
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
    assert.equal(await Spool.open({ directory: path, space: new SpoolSpace(1), onDamage: () => undefined }), null);
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
