import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const root = new URL("../../../", import.meta.url).pathname;
const endWithParent = new URL("end-with-parent.ts", import.meta.url).pathname;

/** A child process of the demo: a role, or one of the simulated endpoints. Its output goes to a file. */
export interface Child {
  readonly name: string;
  readonly process: ChildProcess;
  readonly logFile: string;
  stopped: boolean;
}

/** Children that live and die with the demo; one that ends early is remembered, so that the demo fails by the truth. */
export class Children {
  readonly #children: Child[] = [];
  readonly #directory: string;
  readonly onEarlyExit: (child: Child, how: string) => void;

  constructor(directory: string, onEarlyExit: (child: Child, how: string) => void) {
    this.#directory = directory;
    this.onEarlyExit = onEarlyExit;
  }

  /** Starts `node script ...args` with the given environment beside the necessary parts of ours. */
  start(name: string, script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
    const logFile = join(this.#directory, `${name}.log`);
    const log = createWriteStream(logFile);
    const inherited = { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", NODE_NO_WARNINGS: "1" };
    const child = spawn(process.execPath, [`--import=${endWithParent}`, join(root, script), ...args], {
      env: { ...inherited, ...env },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    child.stdout?.pipe(log);
    child.stderr?.pipe(log);
    const entry: Child = { name, process: child, logFile, stopped: false };
    child.once("exit", (code, signal) => {
      if (!entry.stopped) this.onEarlyExit(entry, signal ?? `exit code ${code}`);
    });
    this.#children.push(entry);
    return entry;
  }

  /** Starts a simulated endpoint and resolves with the address it reports. */
  async endpoint(name: string, script: string, args: readonly string[]): Promise<string> {
    const { process: child } = this.start(name, script, args);
    return new Promise((resolve, reject) => {
      child.once("message", (message) => resolve((message as { url: string }).url));
      child.once("exit", () => reject(new Error(`${name} ended before it listened:\n${this.tail(name)}`)));
    });
  }

  /** SIGTERM to all at once, SIGKILL to those still there after 12 s. */
  async stopAll(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        child.stopped = true;
        if (child.process.exitCode !== null || child.process.signalCode !== null) return;
        const exited = new Promise<void>((resolve) => child.process.once("exit", () => resolve()));
        child.process.kill("SIGTERM");
        const late = setTimeout(() => child.process.kill("SIGKILL"), 12_000);
        await exited;
        clearTimeout(late);
      }),
    );
  }

  /** Last lines of a child's log. */
  tail(name: string, lines = 15): string {
    const child = this.#children.find((candidate) => candidate.name === name);
    if (!child) return "";
    return readFileSync(child.logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }
}

/** A TCP port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

/** Waits until an address answers 200, or throws after the deadline with what it last said. */
export async function waitForOk(url: string, deadlineMs: number, stillAlive: () => void): Promise<void> {
  const until = Date.now() + deadlineMs;
  let last = "no answer";
  while (Date.now() < until) {
    stillAlive();
    try {
      const response = await fetch(url);
      if (response.ok) return;
      last = `${response.status} ${(await response.text()).slice(0, 300)}`;
    } catch (error) {
      last = String((error as Error).cause ?? error);
    }
    await sleep(200);
  }
  throw new Error(`${url} was not ready within ${deadlineMs / 1000} s: ${last}`);
}
