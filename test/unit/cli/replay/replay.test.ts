import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { run } from "../../../../src/cli/run.ts";
import { good, route, spec } from "../../../fixtures/rollout-world.ts";
import { RecordedWorld } from "../../domain/replay/recorded-world.ts";
import { fakeCli } from "../fake-cli.ts";
import { bundleOf, folder } from "./bundled.ts";

const world = new RecordedWorld({ candidate: { ...good, schemaFail: 0.2 } });
world.apply(spec({ shadow: { share: 0 } }));
world.minutes(40, ({ state }) => state.current?.phase === "rolled_back");
const n = world.journal.length;

async function headgate(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const cli = fakeCli({ files: { "spec.yaml": JSON.stringify(spec({ shadow: { share: 0 }, signals: ["task_completion", "error_rate"] })) } });
  const code = await run(argv, cli);
  return { code, out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
}

const linesOf = (path: string) => gunzipSync(readFileSync(path)).toString("utf8").trimEnd().split("\n");
const rewrite = (path: string, lines: readonly string[]) => writeFileSync(path, gzipSync(`${lines.join("\n")}\n`));

describe("headgate replay of a bundle", () => {
  it("recomputes the same decisions with no Kafka", async (t) => {
    const path = await bundleOf(join(folder(t), "b.jsonl.gz"), world);
    const same = await headgate("replay", "--bundle", path);
    assert.equal(same.code, 0, same.out + same.err);
    assert.match(same.out, new RegExp(`^${route}: the same ${world.events.length} decisions, recomputed from ${n} evidence records`));
    const json = JSON.parse((await headgate("replay", route, "--bundle", path, "--json")).out) as Record<string, unknown>;
    assert.deepEqual([json.kind, json.inputs, json.decisions, json.route], ["same", n, world.events.length, route]);
    assert.equal((await headgate("replay", "another", "--bundle", path)).code, 2);
  });

  it("names the first difference, and ends with 1", async (t) => {
    const journal = world.journal.map((entry, i) => (i === n - 1 ? { ...entry, epoch: entry.epoch + 1 } : entry));
    const path = await bundleOf(join(folder(t), "b.jsonl.gz"), { journal, events: world.events });
    const { code, out } = await headgate("replay", "--bundle", path);
    assert.equal(code, 1);
    assert.match(out, new RegExp(`the first difference is at evidence ${n}, offset ${n - 1} `));
    assert.match(out, /field: {4}epoch\n {2}recorded: \d+\n {2}computed: \d+\n {2}another epoch was published/);
  });

  it("names what retention has removed, and ends with 3", async (t) => {
    const path = await bundleOf(join(folder(t), "b.jsonl.gz"), { journal: world.journal.slice(4), events: world.events }, { evidenceFromOffset: 12 });
    const { code, out } = await headgate("replay", "--bundle", path);
    assert.equal(code, 3);
    assert.match(out, /missing: evidence 1 to 4, offsets 0 to 11 of partition 1/);
    const all = await headgate(
      "replay",
      "--bundle",
      await bundleOf(join(folder(t), "c.gz"), { journal: [], events: world.events }, { evidenceFromOffset: 99 }),
    );
    assert.equal(all.code, 3);
    assert.match(all.out, new RegExp(`missing: evidence 1 to ${world.events.at(-1)?.evidenceSeq}, offsets 0 to 98`));
    assert.equal((await headgate("replay", "--bundle", await bundleOf(join(folder(t), "d.gz"), { journal: [], events: [] }))).code, 5);
  });

  it("shows what other settings would have done, side by side", async (t) => {
    const path = await bundleOf(join(folder(t), "b.jsonl.gz"), world);
    const { code, out } = await headgate("replay", "--bundle", path, "--set", "signals=[task_completion, error_rate]");
    assert.equal(code, 0, out);
    assert.match(out, /the two part at .*\n\nTIME +AS DECIDED +WITH THE OTHER SETTINGS/);
    assert.match(out, /── exact until 20/);
    assert.match(out, /as decided: +rolled_back/);
    assert.match(out, /with the other settings: +canary/);
    const same = await headgate("replay", "--bundle", path, "--what-if", "spec.yaml", "--json");
    assert.equal((JSON.parse(same.out) as { whatIf: { otherEnd: { phase: string } } }).whatIf.otherEnd.phase, "canary", same.out.slice(0, 300));
    const other = await headgate("replay", "--bundle", path, "--set", "candidate=else@1");
    assert.deepEqual([other.code, /candidate is else@1, but the evidence is of new@1/.test(other.err)], [2, true]);
    assert.equal((await headgate("replay", "--bundle", path, "--set", "ladder=[1]", "--attempt", "7")).code, 5);
    assert.equal((await headgate("replay", "--bundle", path, "--attempt", "1")).code, 2);
    assert.equal((await headgate("replay")).code, 2);
  });

  it("says precisely what is wrong with a file that was edited, cut or mixed up", async (t) => {
    const path = await bundleOf(join(folder(t), "b.jsonl.gz"), world);
    const lines = linesOf(path);
    const { length } = lines;
    const problem = async (change: readonly string[]) => {
      rewrite(path, change);
      const { code, err } = await headgate("replay", "--bundle", path);
      assert.equal(code, 2);
      return err.replaceAll(path, "FILE").split("\n")[0];
    };
    const edited = lines.map((line, i) => (i === 9 ? line.replace(/"seq":\d+/, '"seq":77') : line));
    assert.equal(
      await problem(edited),
      `error BUNDLE_INVALID: FILE:10: the line (evidence) was changed, or one before it was taken out: its digest does not fit`,
    );
    assert.match((await problem(lines.toSpliced(6, 1))) ?? "", /FILE:7: the line says that it is 8: lines were added or taken out/);
    assert.equal(await problem(lines.slice(0, -1)), `error BUNDLE_INVALID: FILE: cut off after line ${length - 1}`);
    assert.match((await problem([...lines, lines[0] ?? ""])) ?? "", new RegExp(`FILE:${length + 1}: there is more after the line that ends it`));
    assert.match((await problem(["{"])) ?? "", /FILE:1: not JSON/);
    assert.match((await problem([])) ?? "", /FILE:1: not JSON|is empty/);
    rewrite(path, lines);
    writeFileSync(path, readFileSync(path).subarray(0, -50));
    assert.match((await headgate("replay", "--bundle", path)).err, /damaged after line \d+: unexpected end of file/);
    writeFileSync(path, "no gzip");
    assert.match((await headgate("replay", "--bundle", path)).err, /cannot be read: incorrect header check/);
    assert.match((await headgate("replay", "--bundle", `${path}.absent`)).err, /cannot be read: ENOENT/);
  });

  it("a rollout's file ends with it", async (t) => {
    const path = await bundleOf(join(folder(t), "b.jsonl.gz"), world, { rollout: "support-answer/new@1" });
    assert.equal((await headgate("replay", "support-answer/new@1", "--bundle", path)).code, 0);
    assert.ok(linesOf(path).some((line) => line.includes('"kind":"catalog"')));
  });
});
