import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { KnownError } from "../../../errors/known-error.ts";

/**
 * Connections that wait to be accepted, as many as the system allows (on Linux `net.core.somaxconn`). With Node's 511 a burst of callers after a restart
 * overflows: the system then answers with SYN cookies, and resets those that it cannot place.
 */
const BACKLOG = 4_096;

/**
 * Listens.
 *
 * @param variables what to set to listen elsewhere, for the message
 * @returns the address, for example http://127.0.0.1:8080
 * @throws {KnownError} CONFIG_INVALID
 */
export async function listen(server: Server, { host, port }: { readonly host: string; readonly port: number }, variables: string): Promise<string> {
  server.listen({ port, host, backlog: BACKLOG });
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new KnownError("CONFIG_INVALID", `the gateway cannot listen on ${host}:${port}: ${(cause as Error).message}`, {
      fix: `stop what listens there, or set ${variables} (port 0: any free port)`,
      cause,
    });
  }
  const address = server.address() as AddressInfo;
  return `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`;
}
