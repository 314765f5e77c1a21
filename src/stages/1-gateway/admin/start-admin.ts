import type { Logger } from "pino";
import { listen } from "../http/listen.ts";
import type { AdminConfig } from "./admin-config.ts";
import { type AdminDeps, adminServer } from "./admin-server.ts";

export interface Admin {
  readonly url: string;
  close(): void;
}

/** Opens the admin port. @throws {KnownError} CONFIG_INVALID when it cannot listen */
export async function startAdmin(config: AdminConfig, deps: Omit<AdminDeps, "token">, log: Logger): Promise<Admin> {
  const server = adminServer({ token: config.token, ...deps });
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
