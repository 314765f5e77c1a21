import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, it } from "node:test";
import { until } from "../fixtures/until.ts";

const root = resolve(import.meta.dirname, "../..");
const directory = mkdtempSync(join(tmpdir(), "headgate-runner-"));
/** An external cluster that nothing connects to, so that no broker is started for files that need none. */
const env = { ...process.env, HEADGATE_TEST_BROKERS: "127.0.0.1:9", HEADGATE_TEST_REGISTRY: "http://127.0.0.1:9" };

function file(name: string, source: string): string {
  const path = join(directory, name);
  writeFileSync(path, source);
  return path;
}

function runTests(args: readonly string[], extra: NodeJS.ProcessEnv = {}): { lastLine: string; status: number | null; all: string } {
  const ran = spawnSync(process.execPath, [join(root, "test/run.ts"), ...args], { encoding: "utf8", env: { ...env, ...extra } });
  return { lastLine: ran.stdout.trimEnd().split("\n").at(-1) ?? "", status: ran.status, all: `${ran.stdout}${ran.stderr}` };
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

const passing = `import { describe, it, test } from "node:test";
describe("outer", () => { describe("inner", () => { it("a", () => {}); it("b", () => {}); }); });
test("parent", async (t) => { await t.test("c", () => {}); });`;

describe("the test runner", () => {
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("counts leaf tests only, and exits 0 when all pass", () => {
    const { lastLine, status } = runTests([file("passing.test.ts", passing)]);
    assert.deepEqual([lastLine, status], ["3 passed, 0 failed", 0]);
  });

  it("adds up the counts over files, shows what failed and exits 1", () => {
    const failing = file("failing.test.ts", `import { it } from "node:test"; it("good", () => {}); it("bad", () => { throw new Error("the reason"); });`);
    const { lastLine, status, all } = runTests([file("passing.test.ts", passing), failing]);
    assert.deepEqual([lastLine, status], ["4 passed, 1 failed", 1]);
    assert.match(all, /failing\.test\.ts > bad\n\s+Error: the reason/);
  });

  it("names skipped tests apart, and a run of skipped tests only is a run of none", () => {
    const skipping = file("skipping.test.ts", `import { it } from "node:test"; it.skip("later", () => {}); it("runs", () => {});`);
    assert.deepEqual(runTests([skipping]).lastLine, "1 passed, 0 failed, 1 skipped");
    const why = runTests([file("skips-itself.test.ts", `import { it } from "node:test"; it("runs", () => {}); it("late", (t) => t.skip("no Python here"));`)]);
    assert.match(why.all, /not run: .*skips-itself\.test\.ts > late: no Python here/);
    const only = runTests([file("only-skipped.test.ts", `import { it } from "node:test"; it.skip("later", () => {});`)]);
    assert.deepEqual([only.lastLine, only.status], ["0 passed, 1 failed, 1 skipped", 1]);
  });

  it("counts a file without tests as failed", () => {
    const { lastLine, status } = runTests([file("empty.test.ts", "export {};")]);
    assert.deepEqual([lastLine, status], ["0 passed, 1 failed", 1]);
  });

  it("counts a file that throws while it is loaded as failed, although tests were registered before that", () => {
    const { lastLine, status, all } = runTests([
      file("crashing.test.ts", `import { it } from "node:test"; it("one", () => {}); throw new Error("while loading");`),
    ]);
    assert.deepEqual([lastLine, status], ["1 passed, 1 failed", 1]);
    assert.match(all, /while loading/);
  });

  it("counts a process that exits with 0 in the middle of its tests as failed", () => {
    const exiting = file(
      "exiting.test.ts",
      `import { it } from "node:test"; it("one", () => {}); it("two", () => { process.exit(0); }); it("three", () => {});`,
    );
    const { lastLine, status } = runTests([exiting]);
    assert.deepEqual([lastLine, status], ["1 passed, 1 failed", 1]);
  });

  it("counts an error that is thrown after its test had ended", () => {
    const late = `import { it } from "node:test"; it("one", () => { setTimeout(() => { throw new Error("late"); }, 20); }); it("two", () => new Promise((r) => setTimeout(r, 300)));`;
    assert.deepEqual(runTests([file("late.test.ts", late)]).lastLine, "2 passed, 1 failed");
  });

  it("counts a failing hook as failed, also when all tests passed", () => {
    const hooked = `import { after, describe, it } from "node:test"; describe("s", () => { after(() => { throw new Error("in the hook"); }); it("one", () => {}); });`;
    assert.deepEqual(runTests([file("hooked.test.ts", hooked)]).lastLine, "1 passed, 1 failed");
  });

  it("fails when no file fits, and when a file is not there", () => {
    const empty = join(directory, "nothing");
    mkdirSync(empty);
    assert.deepEqual(runTests([empty]).lastLine, "0 passed, 1 failed");
    assert.deepEqual(runTests([join(directory, "missing.test.ts")]).lastLine, "0 passed, 1 failed");
  });

  it("kills a file that hangs, with the processes that it started, and goes on with the next file", async () => {
    const pidFile = join(directory, "hanging.pid");
    const hanging = `import { it } from "node:test"; import { spawn } from "node:child_process"; import { writeFileSync } from "node:fs";
it("hangs", async () => {
  const child = spawn("sleep", ["600"], { detached: true });
  writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));
  await new Promise((resolve) => setTimeout(resolve, 600_000));
});`;
    const { lastLine, status } = runTests([file("hanging.test.ts", hanging), file("passing.test.ts", passing)], { HEADGATE_TEST_FILE_TIMEOUT_MS: "3000" });
    assert.deepEqual([lastLine, status], ["3 passed, 1 failed", 1]);
    await until("the process is gone", () => isGone(Number(readFileSync(pidFile, "utf8"))));
  });

  it("takes its test processes with it when it is killed itself", async () => {
    const pidFile = join(directory, "orphan.pid");
    const waiting = `import { it } from "node:test"; import { writeFileSync } from "node:fs";
it("waits", async () => { writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); await new Promise((resolve) => setTimeout(resolve, 600_000)); });`;
    const runner = spawn(process.execPath, [join(root, "test/run.ts"), file("waiting.test.ts", waiting)], { env, stdio: "ignore" });
    await until("it has written its number", () => existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "");
    runner.kill("SIGKILL");
    await once(runner, "exit");
    const pid = Number(readFileSync(pidFile, "utf8"));
    await until("the process is gone", () => isGone(pid));
  });
});
