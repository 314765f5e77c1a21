import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import { KnownError } from "../../errors/known-error.ts";
import type { FollowedTables } from "../program.ts";
import { steadyNowMs } from "../steady-clock.ts";

/** A table that was last fetched so long ago says nothing of now, ms: longer than a broker's restart, after which tables are fresh again within seconds. */
const STALE_TABLE_MS = 60_000;

/** A table that is too old; `ageSeconds` null: it has not been fetched yet. */
interface StaleTable {
  readonly role: string;
  readonly table: string;
  readonly ageSeconds: number | null;
}

/** Conditions of a process, by name, and the tables that its roles decide by; ready when all conditions hold and no table is too old. */
export class Readiness {
  readonly #conditions = new Map<string, () => boolean>();
  readonly #followed = new Map<string, FollowedTables>();
  readonly #nowMs: () => number;
  readonly #mayBeStale: boolean;

  /** @param about `mayBeStale`: old tables are told, and it is ready all the same; `nowMs` is the steady clock */
  constructor({ mayBeStale = false, nowMs = steadyNowMs }: { readonly mayBeStale?: boolean; readonly nowMs?: () => number } = {}) {
    this.#mayBeStale = mayBeStale;
    this.#nowMs = nowMs;
  }

  /** Tables of a role from now on, instead of those that it had before. */
  follow(role: string, tables: FollowedTables): void {
    this.#followed.set(role, tables);
  }

  /** What `/readyz` answers. */
  state(): { readonly ready: boolean; readonly missing: readonly string[]; readonly stale: readonly StaleTable[] } {
    const missing = this.#missing();
    const stale = [...this.#followed].flatMap(([role, tables]) => Object.entries(tables).flatMap(([table, of]) => this.#stale(role, table, of.freshAtMs())));
    return { ready: missing.length === 0 && (this.#mayBeStale || stale.length === 0), missing, stale };
  }

  #stale(role: string, table: string, freshAtMs: number): StaleTable[] {
    if (freshAtMs === 0) return [{ role, table, ageSeconds: null }];
    const ageMs = this.#nowMs() - freshAtMs;
    return ageMs < STALE_TABLE_MS ? [] : [{ role, table, ageSeconds: Math.floor(ageMs / 1_000) }];
  }

  set(name: string, isReady: () => boolean): void {
    this.#conditions.set(name, isReady);
  }

  #missing(): string[] {
    return [...this.#conditions].flatMap(([name, isReady]) => (isReady() ? [] : [name]));
  }
}

/**
 * `/healthz` (the process runs), `/readyz` (it does its work; 503 with the names of what is missing, and with tables that are too old) and `/metrics`.
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
      const state = readiness.state();
      return answer(state.ready ? 200 : 503, "application/json", `${JSON.stringify(state)}\n`);
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
