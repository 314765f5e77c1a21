import { type ChildProcess, spawn } from "node:child_process";
import { openSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";

/**
 * The keeper: a process of its own that starts the JVMs of one embedded cluster, and kills them and removes their data when
 * its standard input ends. The other end of that pipe is held by the process that wanted the cluster, so the kernel closes it
 * however that process dies, SIGKILL included. The keeper starts the JVMs itself, so there is no moment in which one exists
 * that it does not know of. Its first line of input is a `KeeperOrder`; it reports on standard output, one JSON a line.
 */
export interface KeeperOrder {
  /** Removed at the end. */
  readonly dataDir: string;
  readonly processes: readonly { readonly name: string; readonly command: string; readonly args: readonly string[]; readonly logFile: string }[];
}

export type KeeperReport =
  | { readonly kind: "started"; readonly name: string; readonly pid: number }
  | { readonly kind: "exited"; readonly name: string; readonly how: string };

const running = new Map<string, ChildProcess>();
let dataDir: string | undefined;

function report(message: KeeperReport): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** SIGKILL, to whole groups: the data is thrown away, so nothing is gained by waiting for an orderly end. */
function finish(): void {
  for (const child of running.values()) {
    if (child.pid === undefined) continue;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") process.exitCode = 1;
    }
  }
  // A JVM may still create a file while it is dying, so a first removal may find the directory not empty.
  if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  process.exit();
}

function obey(order: KeeperOrder): void {
  dataDir = order.dataDir;
  for (const { name, command, args, logFile } of order.processes) {
    const log = openSync(logFile, "a");
    const child = spawn(command, args, { detached: true, stdio: ["ignore", log, log], cwd: order.dataDir });
    running.set(name, child);
    child.once("error", (error) => report({ kind: "exited", name, how: error.message }));
    child.once("exit", (code, signal) => {
      running.delete(name);
      report({ kind: "exited", name, how: signal ?? `code ${code}` });
    });
    if (child.pid !== undefined) report({ kind: "started", name, pid: child.pid });
  }
}

// A report that nobody reads any more means that the parent is gone; standard input ends at the same moment.
process.stdout.on("error", () => undefined);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, finish);
process.stdin.on("error", finish);
const lines = createInterface({ input: process.stdin });
lines.once("line", (line) => obey(JSON.parse(line) as KeeperOrder));
lines.once("close", finish);
