import cluster, { type Worker } from "node:cluster";
import type { Logger } from "pino";
import type { ExitCode } from "../run-program.ts";
import { type Crew, CrewLead } from "./crew.ts";
import { SharedRates } from "./shared-rate.ts";
import { WorkersMetrics } from "./workers-metrics.ts";

export interface WorkersOptions {
  /** How many processes share the work. */
  readonly count: number;
  /** Arguments of this program that make a worker. */
  readonly args: readonly string[];
  /** Added to the environment of each worker. */
  readonly env: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** Longest time that a worker may take to stop, ms. */
  readonly stopMs: number;
  /** Pauses before a worker that died is started again: the first, and the longest, ms. */
  readonly backoffMs?: { readonly first: number; readonly longest: number };
}

/** A worker that lived for so long had no trouble starting: its next end is paused for as a first one. */
const STEADY_MS = 10_000;
/** For so long after the time that a worker may take to stop it is left alone; then it is killed, ms. */
const KILL_RESERVE_MS = 2_000;
const BROKEN_CONFIGURATION = 2;

interface Slot {
  readonly index: number;
  worker: Worker | null;
  startedAtMs: number;
  failures: number;
  isListening: boolean;
  restart: NodeJS.Timeout | undefined;
}

/**
 * The first process of a role that runs as several: it starts workers, which share the ports that they listen on, starts again who dies, and stops all
 * when it is asked to. It does none of the role's work, so that nothing that can crash a worker can crash it.
 */
export class Workers {
  readonly #options: WorkersOptions;
  readonly #slots: Slot[];
  readonly #metrics: WorkersMetrics;
  readonly #rates = new SharedRates();
  readonly #crew: CrewLead;
  readonly #ended = Promise.withResolvers<ExitCode>();
  #isStopping = false;
  /** A worker has accepted connections: the configuration was right once. */
  #hasListened = false;
  #code: ExitCode = 0;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#crew = new CrewLead(options.count);
    this.#metrics = new WorkersMetrics(options.count);
    this.#slots = Array.from({ length: options.count }, (_, index) => ({
      index,
      worker: null,
      startedAtMs: 0,
      failures: 0,
      isListening: false,
      restart: undefined,
    }));
  }

  /** Starts the workers. @returns a promise of the exit code: 2 when the configuration is wrong from the start (all stop then), else 0, or 3 when one had to be killed */
  run(): Promise<ExitCode> {
    cluster.setupPrimary({ args: [...this.#options.args] });
    for (const slot of this.#slots) this.#start(slot);
    return this.#ended.promise;
  }

  /** What all of them are asked and told. */
  get crew(): Crew {
    return this.#crew;
  }

  /** How many accept connections now. */
  get listening(): number {
    return this.#slots.filter(({ isListening }) => isListening).length;
  }

  /** Metrics of all workers together, in Prometheus' text form, also while one of them hangs. */
  metrics(): Promise<string> {
    return this.#metrics.read();
  }

  /** Asks all workers to stop; what `run` promised resolves when they have ended. Asking again changes nothing. */
  stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const killAfterMs = this.#options.stopMs + KILL_RESERVE_MS;
    for (const slot of this.#slots) {
      clearTimeout(slot.restart);
      const running = slot.worker;
      if (running === null) continue;
      running.process.kill("SIGTERM");
      setTimeout(() => {
        if (slot.worker !== running) return;
        this.#options.log.error({ worker: slot.index }, `a worker has not stopped within ${killAfterMs / 1000} s: it is killed`);
        this.#code = 3;
        running.process.kill("SIGKILL");
      }, killAfterMs).unref();
    }
    this.#look();
  }

  #start(slot: Slot): void {
    const { env, log } = this.#options;
    slot.startedAtMs = Date.now();
    const worker = cluster.fork({ ...env, HEADGATE_WORKER: String(slot.index) });
    slot.worker = worker;
    this.#rates.serve(worker);
    this.#crew.serve(worker, slot.index);
    this.#metrics.serve(worker);
    worker.on("listening", () => {
      slot.isListening = true;
      this.#hasListened = true;
    });
    worker.on("error", (error) => log.warn({ err: error, worker: slot.index }, "the channel to a worker failed"));
    worker.once("exit", (code, signal) => {
      slot.worker = null;
      slot.isListening = false;
      this.#afterEnd(slot, signal ?? code);
    });
  }

  #afterEnd(slot: Slot, how: number | string): void {
    const { log, backoffMs = { first: 200, longest: 10_000 } } = this.#options;
    if (this.#isStopping) {
      // One that was asked before it could listen to signals ends by the signal itself.
      if (how !== 0 && how !== "SIGTERM" && this.#code === 0) this.#code = 3;
      this.#look();
      return;
    }
    // It has said why, and it would be the same again. Later it is a file that is wrong by now: the others, which read it when it was right, go on.
    if (how === BROKEN_CONFIGURATION && !this.#hasListened) {
      this.#code = BROKEN_CONFIGURATION;
      this.stop();
      return;
    }
    slot.failures = Date.now() - slot.startedAtMs >= STEADY_MS ? 1 : slot.failures + 1;
    const pauseMs = Math.min(backoffMs.longest, backoffMs.first * 2 ** (slot.failures - 1));
    log.error({ worker: slot.index, how, failures: slot.failures, restartInMs: pauseMs }, "a worker ended unasked and is started again");
    slot.restart = setTimeout(() => this.#start(slot), pauseMs);
  }

  #look(): void {
    if (this.#slots.every(({ worker }) => worker === null)) this.#ended.resolve(this.#code);
  }
}

/** Whether this process is such a worker. */
export const isWorker = (): boolean => cluster.isWorker;

/** A worker that has done its work lets go of the first process, whose channel would keep it alive. */
export function leaveWorkers(): void {
  if (process.connected) cluster.worker?.disconnect();
}

/**
 * Tells a worker that its first process has died: no call comes any more, and nobody would start it again. Node alone would end it at once, with code 0, in the
 * middle of its calls.
 *
 * @returns ends that
 */
export function onAbandoned(listener: () => void): () => void {
  if (cluster.worker === undefined) return () => undefined;
  // Read by Node when the channel closes: leave the process alone.
  cluster.worker.exitedAfterDisconnect = true;
  process.once("disconnect", listener);
  return () => void process.off("disconnect", listener);
}
