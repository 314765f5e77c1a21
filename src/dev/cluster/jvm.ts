import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { KnownError } from "../../errors/known-error.ts";
import type { Cluster, ClusterOptions } from "./cluster.ts";
import { cacheDir, type Jars, resolveJars } from "./jars.ts";
import { kafkaSettings, properties } from "./kafka-settings.ts";
import type { KeeperOrder, KeeperReport } from "./keeper.ts";
import { freePorts } from "./ports.ts";
import { isBrokerReady, isRegistryReady, waitUntil } from "./probe.ts";

const keeperFile = fileURLToPath(new URL("keeper.ts", import.meta.url));
const clusterId = "aGVhZGdhdGUtdGVzdC0wMQ";
const startTimeoutMs = 120_000;
const keptLogDirs = 10;

/**
 * Starts Kafka and the schema registry on the local JVM, under a keeper that ends them when this process is gone.
 *
 * @throws {KnownError} CLUSTER_UNAVAILABLE, with the tail of the log of what failed
 */
export async function startJvmCluster(options: Required<ClusterOptions>): Promise<Cluster> {
  const jars = await resolveJars(options.env, options.say);
  for (let attempt = 1; ; attempt++) {
    const started = await startOnce(jars, options);
    if (!(started instanceof Error)) return started;
    // Nobody reserves a free port, so another process may have taken one between the look and the bind.
    if (attempt === 3 || !/Address already in use|BindException|already bound/i.test(started.message)) throw started;
  }
}

async function startOnce(jars: Jars, { env, say }: Required<ClusterOptions>): Promise<Cluster | KnownError> {
  const [brokerPort = 0, controllerPort = 0, registryPort = 0] = await freePorts(3);
  const logDir = freshLogDir(env);
  const dataDir = mkdtempSync(join(tmpdir(), "headgate-cluster-"));
  const broker = `127.0.0.1:${brokerPort}`;
  const registryUrl = `http://127.0.0.1:${registryPort}/apis/ccompat/v7`;
  const kafka = formatted(jars, dataDir, {
    ...kafkaSettings,
    "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://${broker},CONTROLLER://127.0.0.1:${controllerPort}`,
    "log.dirs": join(dataDir, "kafka"),
  });
  const registry = [
    ...["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"],
    ...[`-Dquarkus.http.port=${registryPort}`, "-Dquarkus.http.host=127.0.0.1"],
    ...["-Dapicurio.storage.kind=sql", "-Dapicurio.storage.sql.kind=h2"],
    ...["-jar", join(jars.registry, `apicurio-registry-app-${jars.registryVersion}-runner.jar`)],
  ];
  const keeper = new Keeper({
    dataDir,
    processes: [
      { name: "kafka", command: jars.java, args: kafka, logFile: join(logDir, "kafka.log") },
      { name: "registry", command: jars.java, args: registry, logFile: join(logDir, "registry.log") },
    ],
  });
  try {
    const giveUp = (): Error | undefined => (keeper.ended === undefined ? undefined : new Error(keeper.ended));
    await Promise.all([
      waitUntil(() => isBrokerReady(broker, 2000), { what: "Kafka", timeoutMs: startTimeoutMs, giveUp }),
      waitUntil(() => isRegistryReady(registryUrl, 2000), { what: "the schema registry", timeoutMs: startTimeoutMs, giveUp }),
    ]);
  } catch (error) {
    await keeper.stop();
    const tails = ["kafka", "registry"].map((name) => `--- ${join(logDir, `${name}.log`)}\n${tail(join(logDir, `${name}.log`))}`);
    return new KnownError("CLUSTER_UNAVAILABLE", `the embedded cluster did not start: ${(error as Error).message}\n${tails.join("\n")}`, {
      fix: "read the logs above; the whole logs stay where they are",
      cause: error,
    });
  }
  keeper.onEnd = (what) => say(`the embedded cluster is broken: ${what}; its logs are in ${logDir}`);
  return { brokers: [broker], registryUrl, kind: "jvm", logDir, stop: () => keeper.stop() };
}

/** Writes the configuration, formats the storage (1-3 s: a JVM of its own), and returns the arguments of the broker. */
function formatted(jars: Jars, dataDir: string, settings: Readonly<Record<string, string>>): string[] {
  const file = join(dataDir, "server.properties");
  writeFileSync(file, properties(settings));
  const classes = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", join(jars.kafka, "*")];
  const quick = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
  const format = spawnSync(jars.java, [...quick, ...classes, "kafka.tools.StorageTool", "format", "-t", clusterId, "-c", file], { encoding: "utf8" });
  if (format.status !== 0) {
    rmSync(dataDir, { recursive: true, force: true });
    throw new KnownError("CLUSTER_UNAVAILABLE", `Kafka's storage could not be formatted:\n${format.stderr}${format.stdout}`, {
      fix: "check that there is space in the temporary directory, and remove ~/.cache/headgate if its files were damaged",
      cause: format.error,
    });
  }
  return ["-Xmx384m", "-Xms384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", ...classes, "kafka.Kafka", file];
}

/** A new directory for this cluster's logs; only the newest few are kept. */
function freshLogDir(env: ClusterOptions["env"]): string {
  const logs = join(cacheDir(env ?? {}), "logs");
  mkdirSync(logs, { recursive: true });
  const old = readdirSync(logs).sort().slice(0, -keptLogDirs);
  for (const name of old) rmSync(join(logs, name), { recursive: true, force: true });
  return mkdtempSync(join(logs, `${new Date().toISOString().replaceAll(/[:.]/g, "-")}-${process.pid}-`));
}

function tail(file: string): string {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n").slice(-30).join("\n");
  } catch (error) {
    return `(not readable: ${(error as Error).message})`;
  }
}

/** The other end of `keeper.ts`. */
class Keeper {
  /** Set when one of the processes, or the keeper, ended without being asked to. */
  ended: string | undefined;
  onEnd: (what: string) => void = () => undefined;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #dataDir: string;
  readonly #pids = new Set<number>();
  #isStopping = false;

  constructor(order: KeeperOrder) {
    this.#dataDir = order.dataDir;
    this.#child = spawn(process.execPath, ["--no-warnings", keeperFile], { detached: true, stdio: ["pipe", "pipe", "inherit"] });
    this.#exited = once(this.#child, "close");
    this.#child.once("exit", () => this.#end("its keeper ended"));
    this.#child.stdin?.on("error", () => undefined); // EPIPE: the keeper is gone, which `exit` reports
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    if (this.#child.stdout !== null) createInterface({ input: this.#child.stdout }).on("line", (line) => this.#read(JSON.parse(line) as KeeperReport));
    // The cluster alone must not keep its owner's event loop alive.
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout]) (stream as unknown as { unref(): void } | null)?.unref();
  }

  #read(report: KeeperReport): void {
    if (report.kind === "started") this.#pids.add(report.pid);
    else this.#end(`${report.name} ended (${report.how})`);
  }

  #end(what: string): void {
    if (this.#isStopping || this.ended !== undefined) return;
    this.ended = what;
    this.onEnd(what);
  }

  /** Resolves when the processes and the data are gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#child.ref();
    this.#child.stdin?.end();
    await this.#exited;
    // Only when the keeper itself was killed is there anything left to do.
    if (this.#child.exitCode === 0) return;
    for (const pid of this.#pids) {
      try {
        process.kill(-pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    rmSync(this.#dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
