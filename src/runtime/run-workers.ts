import { randomBytes } from "node:crypto";
import { Registry } from "prom-client";
import { connectionConfiguration } from "../config/connection.ts";
import { parseConfig } from "../config/parse-config.ts";
import { KnownError } from "../errors/known-error.ts";
import { Readiness, serveHealth } from "./process/health-server.ts";
import { processLogger } from "./process/logger.ts";
import { readSecretFiles } from "./process/secret-files.ts";
import { Workers } from "./process/workers.ts";
import type { Program } from "./program.ts";
import { type ExitCode, exitCodeOf, stopSignals, USUAL_STOP_MS } from "./run-program.ts";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Runs a program as several processes that share its port; each is an instance of its own, with its own connections, records and report. This process
 * does none of the work: it starts again who dies, passes SIGTERM on, serves health and the metrics of all at HEADGATE_PORT, and does what the program `lead`s.
 *
 * @param about `args` make this program run as one process; `shared` names secrets that all must have alike: one that is not set is drawn here
 */
export async function runWorkers(
  program: Program,
  about: { readonly count: number; readonly args: readonly string[]; readonly shared: readonly string[]; readonly env: Env },
): Promise<ExitCode> {
  const { count, args, shared, env } = about;
  let closeServer: () => Promise<void> = async () => undefined;
  let endLead: () => void = () => undefined;
  try {
    const declared = [...Object.keys(connectionConfiguration.shape), ...Object.keys(program.configuration.shape)];
    const read = readSecretFiles(declared, env);
    const config = parseConfig(program.name, connectionConfiguration, read);
    parseConfig(program.name, program.configuration, read);
    const log = processLogger(config.LOG_LEVEL).child({ role: program.name, workers: count });
    const drawn = shared.filter((name) => read[name] === undefined || read[name] === "").map((name) => [name, randomBytes(32).toString("hex")]);
    const workers = new Workers({ count, args, env: Object.fromEntries(drawn), log, stopMs: program.stopMs?.(read) ?? USUAL_STOP_MS });
    endLead = (await program.lead?.({ env: read, log, crew: workers.crew })) ?? endLead;
    if (config.HEADGATE_PORT !== undefined) {
      const readiness = new Readiness();
      readiness.set("all workers listen", () => workers.listening === count);
      const metrics = { metrics: () => workers.metrics(), contentType: Registry.PROMETHEUS_CONTENT_TYPE };
      closeServer = (await serveHealth({ host: config.HEADGATE_HOST, port: config.HEADGATE_PORT, readiness, metrics })).close;
    }
    const ended = workers.run();
    const stop = () => workers.stop();
    for (const signal of stopSignals) process.on(signal, stop);
    const code = await ended;
    log.info({ code }, "all workers have ended");
    return code;
  } catch (error) {
    process.stderr.write(`${error instanceof KnownError ? error.report() : String((error as Error).stack)}\n`);
    return exitCodeOf(error);
  } finally {
    endLead();
    await closeServer();
  }
}
