import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { writeAtomically } from "../disk/write-atomically.ts";
import type { LiveRoutes } from "./live-routes.ts";
import { encodeSnapshot, type FoundSnapshot, findSnapshot, restoredFreshness } from "./snapshot.ts";

const FILE = "routing.snapshot";
const DEBOUNCE_MS = 100;
/** How often the time of the last fetch is brought up to date: a restart then loses at most so much of its staleness limit. */
const FRESHNESS_MS = 5_000;

/** How the snapshot stands, for `/readyz` and metrics. */
export interface SnapshotState {
  /** `off`: no directory is configured. */
  readonly found: FoundSnapshot["kind"] | "off";
  readonly problem: string | null;
  /** Last successful write, epoch ms; 0: none yet. */
  readonly writtenAtMs: number;
  readonly failures: number;
}

export interface SnapshotKeeperOptions {
  /** null: nothing is kept. */
  readonly directory: string | null;
  readonly routes: LiveRoutes;
  readonly log: Logger;
  readonly onFailure: () => void;
}

/** Keeps what a gateway knows of routing and brakes on disk, off the request path, and brings it back at start. */
export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  readonly #path: string | null;
  #found: FoundSnapshot | { readonly kind: "off" } = { kind: "off" };
  #due: NodeJS.Timeout | null = null;
  #writing: Promise<boolean> | null = null;
  #isDirty = false;
  #savedFreshAtMs = 0;
  #writtenAtMs = 0;
  #failures = 0;

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
    this.#path = options.directory === null ? null : join(options.directory, FILE);
  }

  get state(): SnapshotState {
    const problem = this.#found.kind === "refused" ? this.#found.problem : null;
    return { found: this.#found.kind, problem, writtenAtMs: this.#writtenAtMs, failures: this.#failures };
  }

  /** Brings back what was kept; to be called once, before calls are served and before any table arrives. */
  restore(nowMs: number): void {
    const { log, routes, directory } = this.#options;
    if (this.#path === null || directory === null) {
      log.warn("no data directory (HEADGATE_GATEWAY_DATA): after a restart without Kafka this gateway knows no routing and no brakes");
      return;
    }
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      // Told again with each write: a broken disk is no reason not to serve.
      log.error({ err: error, directory }, "the data directory cannot be made");
    }
    this.#found = findSnapshot(this.#path);
    if (this.#found.kind === "refused")
      log.error({ problem: this.#found.problem }, "the routing snapshot is refused: routes are served from the configuration");
    if (this.#found.kind !== "restored") return;
    const { snapshot } = this.#found;
    routes.restore(snapshot, restoredFreshness(snapshot, nowMs));
    log.info({ path: this.#path, writtenAtMs: snapshot.writtenAtMs, tables: snapshot.tables.length }, "routing restored from disk");
  }

  /** Something that is kept has changed; several changes within 100 ms make one write. */
  changed(): void {
    if (this.#path === null) return;
    this.#isDirty = true;
    this.#due ??= setTimeout(() => void this.flush(), DEBOUNCE_MS);
  }

  /** To be called a few times a second: writes again what failed, and the time of the last fetch when it matters. */
  tick(): void {
    const { routes } = this.#options;
    const isOld = routes.freshAtMs() - this.#savedFreshAtMs >= FRESHNESS_MS && routes.canGrowStale();
    if (isOld || (this.#isDirty && Date.now() - this.#writtenAtMs >= FRESHNESS_MS)) this.changed();
  }

  /** Writes what has changed. @returns whether everything that is known is on disk now */
  async flush(): Promise<boolean> {
    if (this.#due !== null) clearTimeout(this.#due);
    this.#due = null;
    await this.#writing;
    if (this.#path === null || !this.#isDirty) return this.#path !== null;
    this.#writing ??= this.#write(this.#path).finally(() => {
      this.#writing = null;
    });
    return await this.#writing;
  }

  async #write(path: string): Promise<boolean> {
    const { routes, log, onFailure } = this.#options;
    this.#isDirty = false;
    const nowMs = Date.now();
    const freshAtMs = routes.freshAtMs();
    try {
      await writeAtomically(path, encodeSnapshot({ ...routes.saved(), writtenAtMs: nowMs, freshAtMs }));
      this.#savedFreshAtMs = freshAtMs;
      this.#writtenAtMs = nowMs;
      return true;
    } catch (error) {
      this.#isDirty = true;
      if (this.#failures++ === 0)
        log.error({ err: error, path }, "the routing snapshot cannot be written: a restart without Kafka would not know this routing");
      onFailure();
      return false;
    }
  }
}
