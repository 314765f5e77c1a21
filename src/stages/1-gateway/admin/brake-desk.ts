import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import type { Brake } from "../../../../topics/index.ts";
import { type AskedBrake, brakeHere, obeyHere } from "../routing/brake-here.ts";
import type { BrakeWriter } from "../routing/brake-writer.ts";
import type { LiveRoutes } from "../routing/live-routes.ts";
import type { SnapshotKeeper } from "../routing/snapshot-keeper.ts";

/** A brake is obeyed before this; an operator waits no longer for the disk. */
const KEEP_MS = 2_000;

/** Where a process takes brakes that do not come from the topic. */
export class BrakeDesk {
  readonly #routes: LiveRoutes;
  readonly #snapshot: SnapshotKeeper;
  readonly #writer: BrakeWriter;
  readonly #log: Logger;

  constructor(parts: { readonly routes: LiveRoutes; readonly snapshot: SnapshotKeeper; readonly writer: BrakeWriter; readonly log: Logger }) {
    this.#routes = parts.routes;
    this.#snapshot = parts.snapshot;
    this.#writer = parts.writer;
    this.#log = parts.log;
  }

  /** Brakes what a route serves now, or all routes: obeyed when this returns. @throws {KnownError} NOT_FOUND, CONFLICT */
  brake(asked: AskedBrake): Brake {
    const brake = brakeHere(this.#routes, asked, Date.now());
    this.#writer.tick();
    this.#log.warn(
      { route: brake.route, rollout: brake.rollout, attempt: brake.attempt, actor: brake.actor, reason: brake.reason },
      "braked by the admin port",
    );
    return brake;
  }

  /** Obeys brakes that another process of this gateway took: obeyed when this returns. */
  obey(brakes: readonly Brake[]): void {
    for (const brake of brakes) obeyHere(this.#routes, brake);
    this.#writer.tick();
  }

  /** Waits for the disk, but not for long. @returns whether what was braked outlives this process */
  keep(): Promise<boolean> {
    return Promise.race([this.#snapshot.flush(), pause(KEEP_MS, false, { ref: false })]);
  }
}
