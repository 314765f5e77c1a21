import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KnownError } from "../../errors/known-error.ts";
import type { Cluster, ClusterOptions } from "./cluster.ts";
import { cacheDir, type Jars, resolveJars } from "./jars.ts";
import { kafkaSettings, properties } from "./kafka-settings.ts";
import { Keeper } from "./keeper-handle.ts";
import { freePorts } from "./ports.ts";
import { isBrokerReady, isRegistryReady, waitUntil } from "./probe.ts";

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

/**
 * Writes the configuration of one node into a directory, formats its storage (1-3 s: a JVM of its own), and returns the arguments of the broker.
 *
 * @param more arguments of the formatting, as for users that are there from the beginning
 * @throws {KnownError} CLUSTER_UNAVAILABLE; the directory is removed then
 */
export function formatted(jars: Jars, dataDir: string, settings: Readonly<Record<string, string>>, more: readonly string[] = []): string[] {
  const file = join(dataDir, "server.properties");
  writeFileSync(file, properties(settings));
  const classes = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", join(jars.kafka, "*")];
  const quick = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
  const format = spawnSync(jars.java, [...quick, ...classes, "kafka.tools.StorageTool", "format", "-t", clusterId, "-c", file, ...more], { encoding: "utf8" });
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
