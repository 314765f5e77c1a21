import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const root = new URL("../../../", import.meta.url).pathname;
const endWithParent = new URL("../../../src/dev/demo/end-with-parent.ts", import.meta.url).pathname;

/** The proxy under test has the last core for itself; this process, and with it all that it starts otherwise, gets the others. */
const cores = availableParallelism();
const canPin = cores > 1 && spawnSync("taskset", ["-V"]).status === 0;
const proxyCore = String(cores - 1);
const otherCores = cores === 2 ? "0" : `0-${cores - 2}`;

/** Pins this process, and what it starts from now on, to the cores that no proxy gets. @returns how, for people */
export function pinBench(): string {
  if (!canPin) return "not pinned: there is one core, or no taskset";
  spawnSync("taskset", ["-acp", otherCores, String(process.pid)]);
  return `load, upstream and broker on core ${otherCores}, the proxy under test on core ${proxyCore}`;
}

/** What the image gives to Node (`NODE_OPTIONS` in the Dockerfile); the bare proxy gets the same. */
export const imageFlags = ["--max-semi-space-size=32"] as const;

/** A process that the bench has started. */
export interface Started {
  readonly name: string;
  readonly process: ChildProcess;
  readonly logFile: string;
}

/** Processes of a bench, their output in files; all of them end with it, however it ends. */
export class Processes {
  readonly #directory: string;
  readonly #started: Started[] = [];

  constructor(directory: string) {
    this.#directory = directory;
    process.once("exit", () => this.killAll());
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(3));
  }

  /** Runs a command. `on: "proxy"` gives it the core of the proxy under test. */
  run(
    name: string,
    command: readonly [string, ...string[]],
    about: { readonly on?: "proxy"; readonly env?: Readonly<Record<string, string>>; readonly ipc?: boolean } = {},
  ): Started {
    const logFile = join(this.#directory, `${name}.log`);
    const log = openSync(logFile, "a");
    const [file, ...args]: readonly string[] = about.on === "proxy" && canPin ? ["taskset", "-c", proxyCore, ...command] : command;
    const env = { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", NODE_NO_WARNINGS: "1", ...about.env };
    // The open end of standard input is how those without a channel notice that the bench is gone.
    const child = spawn(file ?? "", args, { cwd: root, env, stdio: ["pipe", log, log, ...(about.ipc ? (["ipc"] as const) : [])] });
    closeSync(log);
    child.stdin?.on("error", () => undefined);
    child.on("error", () => undefined);
    const started = { name, process: child, logFile };
    this.#started.push(started);
    return started;
  }

  /** Runs a script of ours, with a channel, and ends it with this process. */
  node(
    name: string,
    script: string,
    about: {
      readonly on?: "proxy";
      readonly env?: Readonly<Record<string, string>>;
      readonly args?: readonly string[];
      readonly flags?: readonly string[];
    } = {},
  ): Started {
    return this.run(name, [process.execPath, ...(about.flags ?? []), `--import=${endWithParent}`, join(root, script), ...(about.args ?? [])], {
      ...about,
      ipc: true,
    });
  }

  /** The port that a script of ours reports. */
  async portOf(started: Started): Promise<number> {
    return new Promise((resolve, reject) => {
      started.process.once("message", (message) => resolve((message as { port: number }).port));
      started.process.once("exit", () => reject(new Error(`${started.name} ended before it listened:\n${tailOf(started)}`)));
    });
  }

  /** SIGTERM and, 12 s later, SIGKILL. */
  async stop(started: Started): Promise<void> {
    const child = started.process;
    if (hasEnded(started)) return;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), 12_000);
    await exited;
    clearTimeout(late);
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#started.map((started) => this.stop(started)));
  }

  killAll(): void {
    for (const started of this.#started) if (!hasEnded(started)) started.process.kill("SIGKILL");
  }
}

export const hasEnded = ({ process: child }: Started): boolean => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;

/** Last lines of what a process said. */
export function tailOf({ logFile }: Started, lines = 12): string {
  return readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
}

/** Resident memory of a process, MiB; NaN when it is gone or the system does not tell. */
export function rssOf({ process: child }: Started): number {
  try {
    const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1];
    return kib === undefined ? Number.NaN : Number(kib) / 1024;
  } catch {
    return Number.NaN;
  }
}

/** Processor time that a process has used up to now, all threads, ms; NaN when the system does not tell. */
export function cpuMsOf({ process: child }: Started): number {
  try {
    // After the command's name, which may hold anything but ends with the last parenthesis; the clock ticks 100 times a second.
    const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return Number.NaN;
  }
}
