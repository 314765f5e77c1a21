import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { Counter, collectDefaultMetrics, Registry } from "prom-client";
import { type ConnectionConfig, connectionConfiguration, connectionProblems } from "../config/connection.ts";
import { parseConfig } from "../config/parse-config.ts";
import type { ErrorCode } from "../errors/catalogue.ts";
import { KnownError } from "../errors/known-error.ts";
import { backoffMs, pause } from "./deps.ts";
import { isOfKilledClient } from "./kafka/client.ts";
import { securityOf } from "./kafka/security.ts";
import { connectLog } from "./log-client.ts";
import { connectPatiently } from "./patient-connect.ts";
import type { LogClient } from "./port.ts";
import { firstProcess } from "./process/crew.ts";
import { Readiness, serveHealth } from "./process/health-server.ts";
import { processLogger } from "./process/logger.ts";
import { programMetrics } from "./process/program-metrics.ts";
import { readSecretFiles } from "./process/secret-files.ts";
import { type Stoppable, stopInTime } from "./process/stop-in-time.ts";
import { isWorker, leaveWorkers, onAbandoned } from "./process/workers.ts";
import { shareMetrics } from "./process/workers-metrics.ts";
import type { Program, RunningProgram } from "./program.ts";

/** 0: stopped as asked; 2: configuration or usage, restarting will not help; 3: crash, restart it. */
export type ExitCode = 0 | 2 | 3;

type Env = Readonly<Record<string, string | undefined>>;

/** Budget of a graceful stop, if no program asks for more; after it the process ends as it is, which costs nothing but repeated work. */
export const USUAL_STOP_MS = 10_000;
const SAME_WISH_MS = 1_000;
/** A program that has run for so long is started again as if it had never failed. */
const STEADY_MS = 60_000;
/** Each asks to stop; the last one comes when the terminal is closed, and Node would end at once. */
export const stopSignals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const lasting: ReadonlySet<ErrorCode> = new Set(["CONFIG_INVALID", "SPEC_INVALID", "RUBRIC_INVALID", "TOPIC_MISSING", "LAYOUT_MISMATCH", "LAYOUT_UNKNOWN"]);

/** Runs one program until it ends; see `runPrograms`. */
export function runProgram(program: Program, env: Env): Promise<ExitCode> {
  return runPrograms([program], env);
}

/**
 * Runs programs in this process until SIGTERM, SIGINT or SIGHUP, or until one of them ends by itself: configuration, logger, metrics,
 * health server, graceful stop. One that fails alone in its process stops it; beside others it is started again, unless what it was
 * given is wrong from the beginning. The caller ends the process with the exit code.
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

/** One run of a program, with what it holds of the process. */
class Attempt {
  readonly program: Program;
  readonly metrics: Registry;
  readonly withdraw: () => void;
  readonly clients = new Set<LogClient>();
  running: RunningProgram | null = null;
  hasEnded = false;

  constructor(program: Program, metrics: Registry) {
    this.program = program;
    ({ metrics: this.metrics, withdraw: this.withdraw } = programMetrics(metrics));
  }

  get isRunning(): boolean {
    return this.running !== null && !this.hasEnded;
  }
}

class Host {
  readonly #programs: readonly Program[];
  readonly #metrics = new Registry();
  readonly #restarts = new Counter({
    name: "headgate_role_restarts_total",
    help: "Roles that could not go on beside others in their process, and were started again",
    labelNames: ["role"],
    registers: [this.#metrics],
  });
  readonly #readiness: Readiness;
  /** The newest of each program. */
  readonly #attempts = new Map<string, Attempt>();
  readonly #stopAsked = Promise.withResolvers<void>();
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
    this.#readiness = new Readiness({ mayBeStale: programs.some(({ servesWithoutKafka }) => servesWithoutKafka) });
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
      // Known from the start, or the first restart would be no growth.
      if (this.#programs.length > 1) for (const { name: role } of this.#programs) this.#restarts.inc({ role }, 0);
      shareMetrics(this.#metrics);
      this.#readiness.set("started", () => this.#isStarted);
      this.#readiness.set("not stopping", () => !this.#isStopping);
      closeServer = await this.#serve();
      await Promise.race([this.#runAll(), this.#stopAsked.promise]);
    } catch (error) {
      code = exitCodeOf(error);
      this.#report(error);
    }
    this.#isStopping = true;
    this.#stopping.abort();
    const stopMs = Math.max(USUAL_STOP_MS, ...this.#programs.map((program) => program.stopMs?.(this.#env) ?? 0));
    const end = await stopInTime(
      [...this.#attempts.values()].map((attempt) => this.#ending(attempt)),
      stopMs,
    );
    if (end === "part") this.#log.error(`not stopped within ${stopMs / 1000} s: ending all the same`);
    if (end === "work") this.#log.warn(`all is stopped; Kafka has not answered the goodbyes within ${stopMs / 1000} s: ending without`);
    await closeServer();
    unlisten();
    if (end === "part" || this.#isAbandoned) code = 3;
    this.#log.info({ code }, "ended");
    leaveWorkers();
    return code;
  }

  /** Starts the programs in order, and resolves when one of them has ended by itself. @throws what a program failed with that may not be started again */
  async #runAll(): Promise<void> {
    const ends: Promise<void>[] = [];
    for (const program of this.#programs) {
      const isTried = Promise.withResolvers<void>();
      ends.push(this.#keep(program, isTried.resolve));
      await Promise.race([isTried.promise, ...ends]);
      if (this.#isStopping) return;
    }
    this.#isStarted = true;
    await Promise.race(ends);
  }

  /**
   * Runs a program until it ends. Alone in its process it fails with it, and whoever watches the process starts it again; beside others it is started again here,
   * for they have done nothing: a judge that Kafka has thrown out must not take the gateway with it. Only what was wrong from the beginning ends all.
   */
  async #keep(program: Program, isTried: () => void): Promise<void> {
    for (let failures = 0, hasRun = false; ; failures++) {
      const attempt = new Attempt(program, this.#metrics);
      const startedAtMs = performance.now();
      try {
        await this.#start(attempt);
        hasRun = true;
        isTried();
        return await attempt.running?.finished;
      } catch (error) {
        if (this.#isStopping || this.#programs.length === 1 || (!hasRun && exitCodeOf(error) === 2)) throw error;
        if (performance.now() - startedAtMs > STEADY_MS) failures = 0;
        this.#log.error({ role: program.name, err: error }, "a program cannot go on: it is started again, the others are not touched");
      }
      attempt.hasEnded = true;
      this.#readiness.follow(program.name, {});
      this.#restarts.inc({ role: program.name });
      isTried();
      const { promise: stopAsked } = this.#stopAsked;
      await Promise.race([this.#end(attempt), pause(USUAL_STOP_MS), stopAsked]);
      attempt.withdraw();
      await Promise.race([pause(backoffMs(failures, 1_000, 30_000)), stopAsked]);
      if (this.#isStopping) return;
    }
  }

  async #start(attempt: Attempt): Promise<void> {
    const { program, clients } = attempt;
    const { name } = program;
    const instance = `${name}-${randomBytes(6).toString("hex")}`;
    const log = this.#log.child({ role: name, instance });
    this.#attempts.set(name, attempt);
    if (this.#programs.length > 1) this.#readiness.set(`${name} runs`, () => attempt.isRunning);
    const running = await program.start({
      env: this.#env,
      log,
      metrics: attempt.metrics,
      instance,
      connect: async (options) => {
        const client = await this.#connect(name, instance, log, options?.isPatient ?? true);
        clients.add(client);
        return client;
      },
      readiness: (condition, isReady) => this.#readiness.set(this.#programs.length === 1 ? condition : `${name}: ${condition}`, isReady),
      first: firstProcess(),
    });
    attempt.running = running;
    this.#readiness.follow(name, running.tables ?? {});
    running.finished.catch(() => undefined); // looked at in `#keep`
    if (this.#isStopping) await running.stop();
    log.info("started");
  }

  async #end(attempt: Attempt): Promise<void> {
    const { finish, sayGoodbye } = this.#ending(attempt);
    await finish();
    await sayGoodbye();
  }

  #ending({ program, running, clients }: Attempt): Stoppable {
    return {
      finish: async () => {
        await running?.stop().catch((error: unknown) => this.#log.error({ role: program.name, err: error }, "a program failed to stop"));
      },
      sayGoodbye: async () => {
        await Promise.allSettled([...clients].map((client) => client.close()));
      },
    };
  }

  async #connect(role: string, instance: string, log: Logger, isPatient: boolean): Promise<LogClient> {
    const connect = () => this.#connectOnce(role, instance, log);
    const client = isPatient ? await connectPatiently(connect, log, this.#stopping.signal) : await connect();
    return client ?? new Promise<never>(() => undefined); // the process stops
  }

  async #connectOnce(role: string, instance: string, log: Logger): Promise<LogClient> {
    const config = this.#settings;
    return connectLog({
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
  }

  async #serve(): Promise<() => Promise<void>> {
    const { HEADGATE_PORT: wanted, HEADGATE_HOST: host } = this.#settings;
    // Of a worker the first process serves them, for all.
    if (wanted === undefined || isWorker()) return async () => undefined;
    const { port, close } = await serveHealth({ host, port: wanted, readiness: this.#readiness, metrics: this.#metrics });
    this.#log.info({ host, port }, "health, readiness and metrics are served");
    return close;
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
