import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import { KnownError } from "../../errors/known-error.ts";

/** Conditions of a process, by name; ready when all hold. */
export class Readiness {
  readonly #conditions = new Map<string, () => boolean>();

  set(name: string, isReady: () => boolean): void {
    this.#conditions.set(name, isReady);
  }

  /** Names of the conditions that do not hold. */
  missing(): string[] {
    return [...this.#conditions].flatMap(([name, isReady]) => (isReady() ? [] : [name]));
  }
}

/**
 * `/healthz` (the process runs), `/readyz` (it does its work; 503 with the names of what is missing) and `/metrics`.
 *
 * @returns the port that is bound and a function that closes the server
 * @throws {KnownError} CONFIG_INVALID when the port is taken
 */
export async function serveHealth(about: {
  readonly host: string;
  readonly port: number;
  readonly readiness: Readiness;
  readonly metrics: Pick<Registry, "metrics" | "contentType">;
}) {
  const { host, port, readiness, metrics } = about;
  const server: Server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string) => response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
    const path = (request.url ?? "/").split("?")[0];
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "text/plain", "only GET\n");
    if (path === "/healthz") return answer(200, "application/json", '{"status":"ok"}\n');
    if (path === "/readyz") {
      const missing = readiness.missing();
      return answer(missing.length === 0 ? 200 : 503, "application/json", `${JSON.stringify({ ready: missing.length === 0, missing })}\n`);
    }
    if (path !== "/metrics") return answer(404, "text/plain", "try /healthz, /readyz or /metrics\n");
    return metrics.metrics().then(
      (text) => answer(200, metrics.contentType, text),
      () => answer(500, "text/plain", "the metrics cannot be read\n"),
    );
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host, port }, () => resolve());
  try {
    await promise;
  } catch (cause) {
    throw new KnownError("CONFIG_INVALID", `cannot listen on ${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fix: "stop what listens there, or set HEADGATE_PORT (0: any free port)",
      cause,
    });
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
