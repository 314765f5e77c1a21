import { KnownError } from "../../../errors/known-error.ts";
import type { GatewayFile } from "../gateway-file.ts";
import { secretOf } from "../upstream-config.ts";

/** Where the admin port is, and what it asks for. */
export interface AdminConfig {
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

const MIN_TOKEN = 16;

/**
 * The admin port as environment and file say; the environment comes first. null: there is none.
 *
 * @throws {KnownError} CONFIG_INVALID when there is a port without a token: it would stop candidates for anybody
 */
export function adminConfigOf(
  env: {
    readonly HEADGATE_GATEWAY_ADMIN_PORT?: number | undefined;
    readonly HEADGATE_GATEWAY_ADMIN_HOST?: string | undefined;
    readonly HEADGATE_GATEWAY_ADMIN_TOKEN?: string | undefined;
  },
  file: GatewayFile["admin"],
  all: Readonly<Record<string, string | undefined>>,
): AdminConfig | null {
  const port = env.HEADGATE_GATEWAY_ADMIN_PORT ?? file?.port;
  if (port === undefined) return null;
  const fromFile = file === undefined ? { secret: null } : secretOf("admin.token", { env: file.tokenEnv, file: file.tokenFile }, all);
  const token = env.HEADGATE_GATEWAY_ADMIN_TOKEN ?? fromFile.secret;
  if (token === null || token.length < MIN_TOKEN) {
    const problem = fromFile.problem ?? (token === null ? "it has no token" : `its token has fewer than ${MIN_TOKEN} characters`);
    throw new KnownError("CONFIG_INVALID", `the gateway's admin port ${port} cannot be opened: ${problem}`, {
      fix: "set HEADGATE_GATEWAY_ADMIN_TOKEN (or HEADGATE_GATEWAY_ADMIN_TOKEN_FILE) to 16 random characters or more, for example of openssl rand -hex 32",
    });
  }
  return { host: env.HEADGATE_GATEWAY_ADMIN_HOST ?? file?.host ?? "127.0.0.1", port, token };
}
