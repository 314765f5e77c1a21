import { existsSync } from "node:fs";
import { request } from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import type { StartedTestContainer } from "testcontainers";
import type { Cluster, ClusterOptions } from "./cluster.ts";
import { pomVersions } from "./jars.ts";
import { kafkaEnvironment, kafkaSettings } from "./kafka-settings.ts";
import { freePorts } from "./ports.ts";
import { isBrokerReady, isRegistryReady, waitUntil } from "./probe.ts";

type Env = Readonly<Record<string, string | undefined>>;

const pingTimeoutMs = 1000;
const startTimeoutMs = 120_000;

/** True when a Docker engine really answers a ping; a client or a socket file alone proves nothing. */
export async function isDockerUp(env: Env): Promise<boolean> {
  const host = env.DOCKER_HOST;
  if (host?.startsWith("tcp://")) {
    const { hostname, port } = new URL(host);
    // With TLS the plain ping is refused, and testcontainers finds out for itself; a remote engine is always asked for on purpose.
    return env.DOCKER_TLS_VERIFY ? true : ping({ host: hostname, port: Number(port || 2375) });
  }
  const sockets = host?.startsWith("unix://")
    ? [host.slice("unix://".length)]
    : ["/var/run/docker.sock", join(env.XDG_RUNTIME_DIR ?? "/run/user/0", "docker.sock"), join(homedir(), ".docker", "run", "docker.sock")];
  for (const socketPath of sockets.filter((path) => existsSync(path))) {
    if (await ping({ socketPath })) return true;
  }
  return false;
}

function ping(where: { host: string; port: number } | { socketPath: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ ...where, path: "/_ping", timeout: pingTimeoutMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.once("timeout", () => asked.destroy(new Error("no answer")));
    asked.once("error", () => resolve(false));
    asked.end();
  });
}

/**
 * Starts Kafka and the registry as containers. Testcontainers' reaper removes them when this process dies.
 *
 * @throws {Error} when an image cannot be pulled or a container does not become ready
 */
export async function startDockerCluster({ say }: Required<ClusterOptions>): Promise<Cluster> {
  // Loaded here only: it costs half a second that nobody without Docker should wait for.
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import("testcontainers");
  const versions = pomVersions();
  const host = (await getContainerRuntimeClient()).info.containerRuntime.host;
  // Clients must reach the broker by the address that it advertises, so its port is fixed before it starts.
  const [brokerPort = 0] = await freePorts(1);
  const started: StartedTestContainer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((container) => container.stop({ remove: true, removeVolumes: true, timeout: 0 })));
  };
  try {
    say(`starting apache/kafka:${versions.kafka} and apicurio/apicurio-registry:${versions.registry} in Docker`);
    const kafka = new GenericContainer(`apache/kafka:${versions.kafka}`)
      .withExposedPorts({ container: brokerPort, host: brokerPort })
      .withEnvironment({
        ...kafkaEnvironment({
          ...kafkaSettings,
          "controller.quorum.voters": "1@localhost:9093",
          listeners: `PLAINTEXT://0.0.0.0:${brokerPort},CONTROLLER://localhost:9093`,
          "advertised.listeners": `PLAINTEXT://${host}:${brokerPort}`,
        }),
        KAFKA_HEAP_OPTS: "-Xms384m -Xmx384m",
      })
      .withStartupTimeout(startTimeoutMs);
    const registry = new GenericContainer(`apicurio/apicurio-registry:${versions.registry}`)
      .withExposedPorts(8080)
      .withEnvironment({ APICURIO_STORAGE_KIND: "sql", APICURIO_STORAGE_SQL_KIND: "h2" })
      .withWaitStrategy(Wait.forHttp("/apis/ccompat/v7/subjects", 8080).forStatusCode(200))
      .withStartupTimeout(startTimeoutMs);
    const both = await Promise.allSettled([kafka.start(), registry.start()]);
    for (const one of both) if (one.status === "fulfilled") started.push(one.value);
    for (const one of both) if (one.status === "rejected") throw one.reason;
    const broker = `${host}:${brokerPort}`;
    const registryUrl = `http://${host}:${started[1]?.getMappedPort(8080)}/apis/ccompat/v7`;
    await waitUntil(() => isBrokerReady(broker, 2000), { what: "Kafka", timeoutMs: startTimeoutMs });
    await waitUntil(() => isRegistryReady(registryUrl, 2000), { what: "the schema registry", timeoutMs: startTimeoutMs });
    return { brokers: [broker], registryUrl, kind: "docker", stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
