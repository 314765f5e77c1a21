import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { KeeperOrder, KeeperReport } from "./keeper.ts";

const keeperFile = fileURLToPath(new URL("keeper.ts", import.meta.url));

/** The other end of `keeper.ts`: the processes of one order, for as long as this process lives and `stop` was not called. */
export class Keeper {
  /** Set when one of the processes, or the keeper, ended without being asked to. */
  ended: string | undefined;
  onEnd: (what: string) => void = () => undefined;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #dataDir: string;
  readonly #pids = new Set<number>();
  #isStopping = false;

  constructor(order: KeeperOrder) {
    this.#dataDir = order.dataDir;
    this.#child = spawn(process.execPath, ["--no-warnings", keeperFile], { detached: true, stdio: ["pipe", "pipe", "inherit"] });
    this.#exited = once(this.#child, "close");
    this.#child.once("exit", () => this.#end("its keeper ended"));
    this.#child.stdin?.on("error", () => undefined); // EPIPE: the keeper is gone, which `exit` reports
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    if (this.#child.stdout !== null) createInterface({ input: this.#child.stdout }).on("line", (line) => this.#read(JSON.parse(line) as KeeperReport));
    // The cluster alone must not keep its owner's event loop alive.
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout]) (stream as unknown as { unref(): void } | null)?.unref();
  }

  #read(report: KeeperReport): void {
    if (report.kind === "started") this.#pids.add(report.pid);
    else this.#end(`${report.name} ended (${report.how})`);
  }

  #end(what: string): void {
    if (this.#isStopping || this.ended !== undefined) return;
    this.ended = what;
    this.onEnd(what);
  }

  /** Of the processes that were started, in the order of the order. */
  get pids(): readonly number[] {
    return [...this.#pids];
  }

  /** Resolves when the processes and the data are gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#child.ref();
    this.#child.stdin?.end();
    await this.#exited;
    // Only when the keeper itself was killed is there anything left to do.
    if (this.#child.exitCode === 0) return;
    for (const pid of this.#pids) {
      try {
        process.kill(-pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    rmSync(this.#dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
