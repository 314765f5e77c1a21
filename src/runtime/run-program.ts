import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { collectDefaultMetrics, Registry } from "prom-client";
import { type ConnectionConfig, connectionConfiguration, connectionProblems } from "../config/connection.ts";
import { parseConfig } from "../config/parse-config.ts";
import type { ErrorCode } from "../errors/catalogue.ts";
import { KnownError } from "../errors/known-error.ts";
import { pause } from "./deps.ts";
import { isOfKilledClient } from "./kafka/client.ts";
import { securityOf } from "./kafka/security.ts";
import { connectLog } from "./log-client.ts";
import { connectPatiently } from "./patient-connect.ts";
import type { LogClient } from "./port.ts";
import { firstProcess } from "./process/crew.ts";
import { Readiness, serveHealth } from "./process/health-server.ts";
import { processLogger } from "./process/logger.ts";
import { readSecretFiles } from "./process/secret-files.ts";
import { isWorker, leaveWorkers, onAbandoned } from "./process/workers.ts";
import { shareMetrics } from "./process/workers-metrics.ts";
import type { Program, RunningProgram } from "./program.ts";

/** 0: stopped as asked; 2: configuration or usage, restarting will not help; 3: crash, restart it. */
export type ExitCode = 0 | 2 | 3;

type Env = Readonly<Record<string, string | undefined>>;

/** Budget of a graceful stop, if no program asks for more; after it the process ends as it is, which costs nothing but repeated work. */
export const USUAL_STOP_MS = 10_000;
const SAME_WISH_MS = 1_000;
/** Each asks to stop; the last one comes when the terminal is closed, and Node would end at once. */
export const stopSignals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const lasting: ReadonlySet<ErrorCode> = new Set(["CONFIG_INVALID", "SPEC_INVALID", "RUBRIC_INVALID", "TOPIC_MISSING", "LAYOUT_MISMATCH", "LAYOUT_UNKNOWN"]);

/** Runs one program until it ends; see `runPrograms`. */
export function runProgram(program: Program, env: Env): Promise<ExitCode> {
  return runPrograms([program], env);
}

/**
 * Runs programs in this process until SIGTERM, SIGINT or SIGHUP, or until one of them ends: configuration, logger, metrics,
 * health server, graceful stop. The first that fails stops all. The caller ends the process with the exit code.
 * Takes over the process: signals, and errors that nobody handles, which end it at once with 3.
 */
export async function runPrograms(programs: readonly Program[], env: Env): Promise<ExitCode> {
  const host = new Host(programs);
  try {
    host.configure(env);
  } catch (error) {
    process.stderr.write(`${error instanceof KnownError ? error.report() : stackOf(error)}\n`);
    return exitCodeOf(error);
  }
  return host.run();
}

class Host {
  readonly #programs: readonly Program[];
  readonly #metrics = new Registry();
  readonly #readiness = new Readiness();
  readonly #clients = new Set<LogClient>();
  readonly #running: RunningProgram[] = [];
  readonly #stopAsked = Promise.withResolvers<void>();
  /** Rejects with what the first program that cannot go on has failed of. */
  readonly #failed = Promise.withResolvers<never>();
  readonly #stopping = new AbortController();
  #env: Env = {};
  #config: ConnectionConfig | null = null;
  #log: Logger = processLogger("info");
  #isStopping = false;
  #askedAtMs = 0;
  #isAbandoned = false;
  #isStarted = false;

  constructor(programs: readonly Program[]) {
    this.#programs = programs;
    this.#failed.promise.catch(() => undefined); // looked at in `run`, unless the process stops before
  }

  /** @throws {KnownError} CONFIG_INVALID with every wrong variable of every program */
  configure(env: Env): void {
    const declared = [connectionConfiguration, ...this.#programs.map(({ configuration }) => configuration)].flatMap((shape) => Object.keys(shape.shape));
    this.#env = readSecretFiles([...new Set(declared)], env);
    const name = this.#programs.map((program) => program.name).join(", ");
    const config = parseConfig(name, connectionConfiguration, this.#env);
    const problems = connectionProblems(config);
    if (problems.length > 0) {
      throw new KnownError("CONFIG_INVALID", `${name} cannot start:\n  ${problems.join("\n  ")}`, {
        fix: "set the variables above; the configuration table in README.md lists all of them",
      });
    }
    for (const program of this.#programs) parseConfig(program.name, program.configuration, this.#env);
    this.#config = config;
    this.#log = processLogger(config.LOG_LEVEL);
  }

  get #settings(): ConnectionConfig {
    if (this.#config === null) throw new Error("not configured");
    return this.#config;
  }

  async run(): Promise<ExitCode> {
    const unlisten = this.#takeOver();
    let code: ExitCode = 0;
    let closeServer: () => Promise<void> = async () => undefined;
    try {
      collectDefaultMetrics({ register: this.#metrics });
      shareMetrics(this.#metrics);
      this.#readiness.set("started", () => this.#isStarted);
      this.#readiness.set("not stopping", () => !this.#isStopping);
      closeServer = await this.#serve();
      await Promise.race([this.#startAll(), this.#stopAsked.promise, this.#failed.promise]);
      this.#isStarted = true;
      await Promise.race([...this.#running.map(({ finished }) => finished), this.#stopAsked.promise, this.#failed.promise]);
    } catch (error) {
      code = exitCodeOf(error);
      this.#report(error);
    }
    this.#isStopping = true;
    this.#stopping.abort();
    const stopMs = Math.max(USUAL_STOP_MS, ...this.#programs.map((program) => program.stopMs?.(this.#env) ?? 0));
    const stopped = new AbortController(); // or the timer would keep the process for the rest of its time
    const isDone = await Promise.race([this.#stopAll().then(() => true), pause(stopMs, stopped.signal).then(() => false)]);
    stopped.abort();
    if (!isDone) this.#log.error(`not stopped within ${stopMs / 1000} s: ending all the same`);
    await closeServer();
    unlisten();
    if (!isDone || this.#isAbandoned) code = 3;
    this.#log.info({ code }, "ended");
    leaveWorkers();
    return code;
  }

  async #startAll(): Promise<void> {
    for (const program of this.#programs) {
      if (this.#isStopping) return;
      const instance = `${program.name}-${randomBytes(6).toString("hex")}`;
      const log = this.#log.child({ role: program.name, instance });
      const running = await program.start({
        env: this.#env,
        log,
        metrics: this.#metrics,
        instance,
        connect: (options) => this.#connect(program.name, instance, log, options?.isPatient ?? true),
        readiness: (name, isReady) => this.#readiness.set(this.#programs.length === 1 ? name : `${program.name}: ${name}`, isReady),
        first: firstProcess(),
      });
      running.finished.catch((error: unknown) => this.#failed.reject(error)); // also while others wait for Kafka
      this.#running.push(running);
      if (this.#isStopping) await running.stop();
      log.info("started");
    }
  }

  async #connect(role: string, instance: string, log: Logger, isPatient: boolean): Promise<LogClient> {
    const connect = () => this.#connectOnce(role, instance, log);
    const client = isPatient ? await connectPatiently(connect, log, this.#stopping.signal) : await connect();
    return client ?? new Promise<never>(() => undefined); // the process stops
  }

  async #connectOnce(role: string, instance: string, log: Logger): Promise<LogClient> {
    const config = this.#settings;
    const client = await connectLog({
      brokers: config.KAFKA_BROKERS.split(","),
      registryUrl: config.SCHEMA_REGISTRY_URL,
      prefix: config.HEADGATE_PREFIX,
      clientId: `headgate-${role}-${instance}`,
      log,
      security: securityOf(config),
      metrics: this.#metrics,
      sessionTimeoutMs: config.HEADGATE_SESSION_TIMEOUT_MS,
      acceptGap: config.HEADGATE_ACCEPT_GAP === "true",
    });
    this.#clients.add(client);
    return client;
  }

  async #serve(): Promise<() => Promise<void>> {
    const { HEADGATE_PORT: wanted, HEADGATE_HOST: host } = this.#settings;
    // Of a worker the first process serves them, for all.
    if (wanted === undefined || isWorker()) return async () => undefined;
    const { port, close } = await serveHealth({ host, port: wanted, readiness: this.#readiness, metrics: this.#metrics });
    this.#log.info({ host, port }, "health, readiness and metrics are served");
    return close;
  }

  async #stopAll(): Promise<void> {
    for (const ended of await Promise.allSettled(this.#running.map((running) => running.stop()))) {
      if (ended.status === "rejected") this.#log.error({ err: ended.reason }, "a program failed to stop");
    }
    await Promise.allSettled([...this.#clients].map((client) => client.close()));
  }

  #report(error: unknown): void {
    if (error instanceof KnownError) {
      this.#log.fatal({ code: error.code, fix: error.fix, err: error }, error.message);
      process.stderr.write(`${error.report()}\n`);
    } else {
      this.#log.fatal({ err: error }, "crashed");
      process.stderr.write(`${stackOf(error)}\n`);
    }
  }

  #takeOver(): () => void {
    const onSignal = (signal: string) => {
      // A terminal signals all processes, and the first of several signals its workers too: that is one wish.
      if (this.#isStopping && Date.now() - this.#askedAtMs < SAME_WISH_MS) return;
      if (this.#isStopping) {
        this.#log.warn({ signal }, "asked to stop twice: ending at once");
        process.exit(3);
      }
      this.#log.info({ signal }, "stopping");
      this.#isStopping = true;
      this.#askedAtMs = Date.now();
      this.#stopAsked.resolve();
    };
    const onError = (error: unknown) => {
      this.#report(error);
      process.exit(3);
    };
    const onRejection = (error: unknown) => {
      if (isOfKilledClient(error)) this.#log.debug({ err: error }, "a request of a client that was closed ended");
      else onError(error);
    };
    const unwatch = onAbandoned(() => {
      this.#isAbandoned = !this.#isStopping;
      onSignal("the first process has died");
    });
    for (const signal of stopSignals) process.on(signal, onSignal);
    process.on("uncaughtException", onError);
    process.on("unhandledRejection", onRejection);
    return () => {
      unwatch();
      for (const signal of stopSignals) process.off(signal, onSignal);
      process.off("uncaughtException", onError);
      process.off("unhandledRejection", onRejection);
    };
  }
}

/** How a process ends that failed with this. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof KnownError && lasting.has(error.code) ? 2 : 3;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
