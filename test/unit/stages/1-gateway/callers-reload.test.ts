import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import pino from "pino";
import { ask, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const hashOf = (key: string) => createHash("sha256").update(key).digest("hex");
const line = (name: string, more = "") => `  - { name: ${name}, keyHash: "${hashOf(`${name}-key`)}"${more} }\n`;

const adminToken = "t".repeat(20);

async function world(t: TestContext, callers: string) {
  const directory = mkdtempSync(join(tmpdir(), "headgate-callers-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "gateway.yaml");
  const upstream = await testUpstream(t);
  const write = (list: string) => writeFileSync(path, fileFor(upstream, upstream, list === "" ? "" : `callers:\n${list}`));
  write(callers);
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (text: string) => void lines.push(text) });
  const gateway = await testGateway(t, fileFor(upstream, upstream, callers === "" ? "" : `callers:\n${callers}`), { path, logger, adminToken });
  const statusOf = async (name: string) => {
    const response = await gateway.chat(ask(), { headers: { authorization: `Bearer ${name}-key` } });
    await response.arrayBuffer();
    return response.status;
  };
  const isRefused = async () => /^headgate_gateway_file_refused 1/m.test(await gateway.registry.metrics());
  const remarks = async () => {
    const response = await fetch(`${gateway.adminUrl}/v1/status`, { headers: { authorization: `Bearer ${adminToken}` } });
    return ((await response.json()) as { remarks: { level: string; code: string; message: string }[] }).remarks;
  };
  const told = async () => (await remarks()).filter(({ code }) => code === "file_refused").map(({ level, message }) => `${level} ${message}`);
  return { path, write, lines, gateway, statusOf, isRefused, told };
}

describe("the callers of a running gateway", () => {
  it("are those of its file: a key is taken back and another one given without a restart, and rates of the others go on", async (t) => {
    const { write, statusOf, lines } = await world(t, line("old") + line("slow", ", ratePerMinute: 1"));
    assert.deepEqual([await statusOf("old"), await statusOf("new"), await statusOf("slow"), await statusOf("slow")], [200, 401, 200, 429]);
    write(line("new") + line("slow", ", ratePerMinute: 1, routes: [support-answer]"));
    await until("the new key is let in", async () => (await statusOf("new")) === 200);
    assert.deepEqual([await statusOf("old"), await statusOf("slow")], [401, 429]);
    const told = lines.map((text) => JSON.parse(text) as Record<string, unknown>).find(({ added }) => added !== undefined);
    assert.deepEqual([told?.added, told?.changed, told?.removed], [["new"], ["slow"], ["old"]]);
    assert.ok(!lines.join("").includes(hashOf("new-key")));
  });

  it("stay as they were while the file is wrong, missing, or would let in everybody, and what is wrong is told", async (t) => {
    const { path, write, statusOf, lines, isRefused, told } = await world(t, line("old"));
    assert.deepEqual(await told(), []);
    const breaks: readonly [() => void, RegExp][] = [
      [() => write(line("old", ", ratePerMinute: -1")), /callers\[?\.?0\]?\.ratePerMinute/],
      [() => write(""), /lists no callers any more: to let in everybody takes a restart/],
      [() => writeFileSync(path, `${line("old")}headers: { x-key: "sk-secret`), /is not YAML: .* at line 2/],
      [() => rmSync(path), /gateway\.yaml cannot be read/],
    ];
    for (const [makeWrong, problem] of breaks) {
      lines.length = 0;
      makeWrong();
      await until("it is told", () => problem.test(lines.join("")));
      assert.ok(await isRefused());
      const [remark, ...more] = await told();
      assert.deepEqual([remark?.slice(0, 6), problem.test(remark ?? ""), more], ["error ", true, []]);
      assert.ok(!`${remark} ${lines.join("")}`.includes("sk-secret"), "what the file says is shown to nobody");
      assert.deepEqual([await statusOf("old"), await statusOf("new")], [200, 401]);
    }
    write(line("old") + line("new"));
    await until("the file is used", async () => (await statusOf("new")) === 200);
    assert.ok(!(await isRefused()));
    assert.deepEqual(await told(), []);
  });

  it("are those of a file that was put back as it was: nothing is wrong any more, and the same mistake is told again", async (t) => {
    const { write, lines, isRefused, statusOf } = await world(t, line("old"));
    write(line("old") + line("new"));
    await until("the file is used", async () => (await statusOf("new")) === 200);
    const breakIt = async () => {
      lines.length = 0;
      write(line("old", ", ratePerMinute: -1"));
      await until("it is told", () => /ratePerMinute/.test(lines.join("")));
      assert.ok(await isRefused());
    };
    await breakIt();
    write(line("old") + line("new"));
    await until("nothing is wrong any more", async () => !(await isRefused()));
    await breakIt();
    assert.equal(await statusOf("new"), 200);
  });

  it("where everybody is let in, a list takes a restart", async (t) => {
    const { write, statusOf, lines } = await world(t, "");
    write(line("old"));
    await until("it is told", () => /where everybody was let in: that takes a restart/.test(lines.join("")));
    assert.equal(await statusOf("anybody"), 200);
  });
});
