import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Outcome, RunnerMessage } from "./outcome.ts";

const childFile = fileURLToPath(new URL("child.ts", import.meta.url));
const keptOutput = 64 * 1024;
/** How long a process may go on after its last test: whatever keeps it alive was left open. */
const exitGraceMs = 20_000;

export interface FileRun {
  readonly outcomes: readonly Outcome[];
  /** What the tests printed, its tail; for showing when something failed. */
  readonly output: string;
}

const alive = new Set<ChildProcess>();

/** Kills all test processes that run now, with everything that they started. */
export function killAll(): void {
  for (const child of alive) killTree(child);
}

/**
 * Runs test files in one process of this same Node. A crash, a process that ends early, hangs or does not exit is one failed
 * outcome beside those that were reported until then.
 */
export async function runFiles(files: readonly string[], options: { env: NodeJS.ProcessEnv; timeoutMs: number }): Promise<FileRun> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-tests-"));
  const results = join(directory, "results.jsonl");
  const { NODE_TEST_CONTEXT: _, ...env } = options.env;
  const child = spawn(process.execPath, ["--no-warnings=ExperimentalWarning", childFile, results, ...files], {
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env,
  });
  alive.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output = (output + chunk).slice(-keptOutput);
    });
  }
  child.stdin.on("error", () => undefined); // EPIPE: the child is gone, which `exit` reports
  const how = await ending(child, results, options.timeoutMs);
  // Whatever it left behind in its process group goes too.
  killTree(child);
  alive.delete(child);
  const messages = readMessages(results);
  rmSync(directory, { recursive: true, force: true });
  const outcomes: Outcome[] = messages.filter((message) => message.kind === "outcome").map(({ kind: _kind, ...outcome }) => outcome);
  const notes = messages.flatMap((message) => (message.kind === "note" ? [message.text] : []));
  const problem = problemOf(how, messages, outcomes);
  if (problem !== undefined) {
    const last = outcomes.at(-1);
    const after = last === undefined ? "" : `; the last test that ended was: ${last.name} (${last.file})`;
    outcomes.push({ file: last?.file ?? files[0] ?? "", name: "(the process)", result: "failed", error: [`${problem}${after}`, ...notes].join("\n") });
  }
  return { outcomes, output };
}

type Ending =
  | { readonly kind: "exited"; readonly code: number | null; readonly signal: string | null }
  | { readonly kind: "timeout" }
  | { readonly kind: "lingered" };

function ending(child: ChildProcess, results: string, timeoutMs: number): Promise<Ending> {
  return new Promise((resolve) => {
    const settle = (how: Ending): void => {
      clearTimeout(deadline);
      clearInterval(watch);
      resolve(how);
    };
    const deadline = setTimeout(() => settle({ kind: "timeout" }), timeoutMs);
    let endedAtMs: number | undefined;
    const watch = setInterval(() => {
      if (endedAtMs === undefined && existsSync(results) && readFileSync(results, "utf8").includes('{"kind":"end"}')) endedAtMs = performance.now();
      if (endedAtMs !== undefined && performance.now() - endedAtMs > exitGraceMs) settle({ kind: "lingered" });
    }, 1000);
    child.once("error", (error) => settle({ kind: "exited", code: null, signal: error.message }));
    child.once("exit", (code, signal) => settle({ kind: "exited", code, signal }));
  });
}

function problemOf(how: Ending, messages: readonly RunnerMessage[], outcomes: readonly Outcome[]): string | undefined {
  if (how.kind === "timeout") return "it did not end in time and was killed";
  if (how.kind === "lingered") return `it did not exit within ${exitGraceMs / 1000} s of its last test: a socket, timer or process was left open`;
  if (how.signal !== null) return `it was killed by ${how.signal}`;
  if (!messages.some((message) => message.kind === "end")) return `it exited with code ${how.code} before all tests had run`;
  if (how.code !== 0 && outcomes.every((outcome) => outcome.result !== "failed")) return `it exited with code ${how.code} although no test failed`;
  if (outcomes.length === 0) return "no test ran in it";
  return undefined;
}

function readMessages(results: string): RunnerMessage[] {
  if (!existsSync(results)) return [];
  const lines = readFileSync(results, "utf8").split("\n");
  // The last one is empty, or cut short by a kill.
  return lines.slice(0, -1).map((line) => JSON.parse(line) as RunnerMessage);
}

/** Kills a process, its group, and the descendants that made groups of their own. */
function killTree(child: ChildProcess): void {
  const root = child.pid;
  if (root === undefined) return;
  const parents = new Map<number, number[]>();
  for (const line of execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).split("\n")) {
    const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    parents.set(parent, [...(parents.get(parent) ?? []), pid]);
  }
  const doomed = [root];
  for (const pid of doomed) doomed.push(...(parents.get(pid) ?? []));
  for (const pid of [-root, ...doomed.slice(1)]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
