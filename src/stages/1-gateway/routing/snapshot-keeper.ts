import type { Logger } from "pino";
import { steadyOf, wallOf } from "../../../runtime/steady-clock.ts";
import type { LiveRoutes } from "./live-routes.ts";
import { encodeSnapshot } from "./snapshot.ts";
import { type Kept, SnapshotDirectory } from "./snapshot-directory.ts";
import { uniteSnapshots } from "./unite-snapshots.ts";

const DEBOUNCE_MS = 100;
/** How often the time of the last fetch is brought up to date: a restart then loses at most so much of its staleness limit. */
const FRESHNESS_MS = 5_000;

/** How the snapshot stands, for `/readyz` and metrics. */
export interface SnapshotState {
  /** `off`: no directory is configured; `refused`: files were there, and none could be used. */
  readonly found: "none" | "restored" | "refused" | "off";
  /** What is wrong with the files that could not be used, also when others could; null: nothing. */
  readonly problem: string | null;
  /** Last successful write, epoch ms; 0: none yet. */
  readonly writtenAtMs: number;
  readonly failures: number;
  /** Why what is known now cannot be kept; null: it is kept, or nothing has been written yet. */
  readonly writeProblem: string | null;
}

export interface SnapshotKeeperOptions {
  /** null: nothing is kept. */
  readonly directory: string | null;
  readonly instance: string;
  /** HEADGATE_PREFIX: what another one left in the directory is not used. */
  readonly prefix: string;
  readonly routes: LiveRoutes;
  readonly log: Logger;
  readonly onFailure: () => void;
}

/** Keeps what a gateway knows of routing and brakes on disk, off the request path, and brings it back at start. */
export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  readonly #directory: SnapshotDirectory | null;
  #found: SnapshotState["found"] = "off";
  #problem: string | null = null;
  #due: NodeJS.Timeout | null = null;
  #writing: Promise<boolean> | null = null;
  #isDirty = false;
  #isClosed = false;
  #savedFreshAtMs = 0;
  #writtenAtMs = 0;
  #failures = 0;
  #writeProblem: string | null = null;

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
    this.#directory = options.directory === null ? null : new SnapshotDirectory(options.directory, options.instance, options.prefix);
  }

  get state(): SnapshotState {
    return {
      found: this.#found,
      problem: this.#problem,
      writtenAtMs: this.#writtenAtMs,
      failures: this.#failures,
      writeProblem: this.#writeProblem,
    };
  }

  /** Brings back what was kept; to be called once, before calls are served and before any table arrives. */
  restore(nowMs: number): void {
    const { log, routes } = this.#options;
    if (this.#directory === null) {
      log.warn("no data directory (HEADGATE_GATEWAY_DATA): after a restart without Kafka this gateway knows no routing and no brakes");
      return;
    }
    const { snapshots, problems } = this.#read(this.#directory);
    for (const problem of problems) log.error({ problem }, "a routing snapshot is refused: what only it knew is not restored");
    this.#problem = problems.length === 0 ? null : problems.join("; ");
    this.#found = snapshots.length > 0 ? "restored" : problems.length > 0 ? "refused" : "none";
    if (snapshots.length === 0) return;
    const { freshAtMs, ...saved } = uniteSnapshots(snapshots, nowMs);
    routes.restore(saved, steadyOf(freshAtMs));
    log.info({ path: this.#directory.path, snapshots: snapshots.length, tables: saved.tables.length }, "routing restored from disk");
    this.changed();
  }

  #read(directory: SnapshotDirectory): Kept {
    const { log } = this.#options;
    try {
      directory.open();
    } catch (error) {
      this.#writeProblem = problemOf(directory, "opened", error);
      // Told again with each write: a broken disk is no reason not to serve.
      log.error({ err: error, path: directory.path }, "the directory of routing snapshots cannot be opened");
    }
    try {
      return directory.read();
    } catch (error) {
      return { snapshots: [], problems: [problemOf(directory, "read", error)] };
    }
  }

  /** Something that is kept has changed; several changes within 100 ms make one write. */
  changed(): void {
    if (this.#directory === null || this.#isClosed) return;
    this.#isDirty = true;
    this.#due ??= setTimeout(() => void this.flush(), DEBOUNCE_MS);
  }

  /** To be called a few times a second: writes again what failed, and the time of the last fetch when it matters. */
  tick(): void {
    const { routes } = this.#options;
    const isOld = routes.freshAtMs() - this.#savedFreshAtMs >= FRESHNESS_MS && routes.canGrowStale();
    if (isOld || (this.#isDirty && Math.abs(Date.now() - this.#writtenAtMs) >= FRESHNESS_MS)) this.changed();
  }

  /** Writes what has changed. @returns whether everything that is known is on disk now */
  async flush(): Promise<boolean> {
    if (this.#due !== null) clearTimeout(this.#due);
    this.#due = null;
    // What a write that is under way holds is on disk only when it has ended, and another caller may have begun the next one meanwhile.
    while (this.#writing !== null) await this.#writing;
    if (this.#directory === null || this.#isClosed || !this.#isDirty) return this.#directory !== null;
    this.#writing = this.#write(this.#directory).finally(() => {
      this.#writing = null;
    });
    return await this.#writing;
  }

  /** Writes what has changed, and nothing from then on. */
  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    this.#directory?.close();
  }

  async #write(directory: SnapshotDirectory): Promise<boolean> {
    const { routes, prefix, log, onFailure } = this.#options;
    this.#isDirty = false;
    const nowMs = Date.now();
    const freshAtMs = routes.freshAtMs();
    try {
      await directory.write(encodeSnapshot({ ...routes.saved(), writtenAtMs: nowMs, freshAtMs: wallOf(freshAtMs) }, prefix));
      this.#savedFreshAtMs = freshAtMs;
      this.#writtenAtMs = nowMs;
      this.#writeProblem = null;
      return true;
    } catch (error) {
      this.#isDirty = true;
      this.#writeProblem = problemOf(directory, "written", error);
      if (this.#failures++ === 0)
        log.error({ err: error, path: directory.path }, "the routing snapshot cannot be written: a restart without Kafka would not know this routing");
      onFailure();
      return false;
    }
  }
}

const problemOf = ({ path }: SnapshotDirectory, what: "opened" | "read" | "written", error: unknown): string =>
  `${path} cannot be ${what} (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})`;
