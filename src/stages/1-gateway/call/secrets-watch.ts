import type { Logger } from "pino";
import type { Upstream } from "./upstream.ts";

/** How often files of keys and certificates are read again, ms. */
const EVERY_MS = 2_000;

/**
 * Reads the upstreams' files of keys and certificates again and again, so that a rotated secret is used without a restart. What a file holds is
 * never told.
 *
 * @returns ends it
 */
export function watchSecrets(upstreams: ReadonlyMap<string, Upstream>, log: Logger): () => void {
  const problems = new Map<string, string>();
  const look = (upstream: Upstream) => {
    const { name } = upstream.config;
    const result = upstream.refresh();
    if (typeof result === "object") {
      if (problems.get(name) !== result.problem)
        log.error({ upstream: name, problem: result.problem }, "a secret cannot be read again: the old one stays in use");
      problems.set(name, result.problem);
      return;
    }
    if (result === "changed") log.info({ upstream: name }, "a key or certificate has changed and is used from now on");
    problems.delete(name);
  };
  for (const { config } of upstreams.values()) {
    if (config.tls?.acceptsAnyCertificate) log.warn({ upstream: config.name }, "tls.insecure: whoever answers at this upstream's address is trusted");
  }
  const watched = [...upstreams.values()].filter(({ config }) => config.apiKeyFile !== null || config.tls !== null);
  const timer = setInterval(() => watched.forEach(look), EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
