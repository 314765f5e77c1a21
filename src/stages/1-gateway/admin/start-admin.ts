import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { listen } from "../http/listen.ts";
import { brakeHere } from "../routing/brake-here.ts";
import type { BrakeWriter } from "../routing/brake-writer.ts";
import type { LiveRoutes } from "../routing/live-routes.ts";
import type { SnapshotKeeper } from "../routing/snapshot-keeper.ts";
import type { AdminConfig } from "./admin-config.ts";
import { adminServer } from "./admin-server.ts";

export interface AdminParts {
  readonly instance: string;
  readonly routes: LiveRoutes;
  readonly snapshot: SnapshotKeeper;
  readonly writer: BrakeWriter;
  /** What `GET /v1/status` shows. */
  readonly status: () => Promise<object>;
  readonly log: Logger;
}

export interface Admin {
  readonly url: string;
  close(): void;
}

/** A brake is obeyed before this; an operator waits no longer for the disk. */
const KEEP_MS = 2_000;

/** Opens the admin port. @throws {KnownError} CONFIG_INVALID when it cannot listen */
export async function startAdmin(config: AdminConfig, parts: AdminParts): Promise<Admin> {
  const { routes, snapshot, writer, log, instance } = parts;
  const server = adminServer({
    token: config.token,
    status: parts.status,
    brake: async (asked) => {
      const brake = brakeHere(routes, asked, Date.now());
      writer.tick();
      log.warn({ route: brake.route, rollout: brake.rollout, attempt: brake.attempt, actor: brake.actor, reason: brake.reason }, "braked by the admin port");
      const kept = await Promise.race([snapshot.flush(), pause(KEEP_MS, false, { ref: false })]);
      return { ...brake, gateway: instance, obeyed: true, kept };
    },
  });
  const url = await listen(server, config, "HEADGATE_GATEWAY_ADMIN_PORT and HEADGATE_GATEWAY_ADMIN_HOST");
  log.info({ url }, "the admin port listens");
  return {
    url,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
