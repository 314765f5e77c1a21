import { randomBytes } from "node:crypto";
import { KnownError } from "../../errors/known-error.ts";
import type { Cluster, ClusterOptions } from "./cluster.ts";
import { isDockerUp, startDockerCluster } from "./docker.ts";
import { startJvmCluster } from "./jvm.ts";

/**
 * Hands out a real Kafka and a real schema registry: the ones of HEADGATE_TEST_BROKERS and HEADGATE_TEST_REGISTRY if set,
 * else containers if Docker answers, else both on the local JVM. Never KAFKA_BROKERS: that is somebody's production.
 * HEADGATE_TEST_CLUSTER=docker or jvm asks for one kind. Whatever was started ends with this process, however it dies.
 *
 * @throws {KnownError} CLUSTER_UNAVAILABLE when none of them works on this machine
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const env = options.env ?? process.env;
  const say = options.say ?? ((line: string): void => void process.stderr.write(`${line}\n`));
  const external = externalCluster(env);
  if (external !== undefined) return external;
  const wanted = env.HEADGATE_TEST_CLUSTER || "any";
  if (!["any", "docker", "jvm"].includes(wanted)) {
    throw new KnownError("CLUSTER_UNAVAILABLE", `HEADGATE_TEST_CLUSTER is ${wanted}, which is no kind of cluster`, {
      fix: "set it to docker or jvm, or unset it",
    });
  }
  if (wanted !== "jvm") {
    const fromDocker = (await isDockerUp(env)) ? await startDockerCluster({ env, say }).catch((error: Error) => error) : new Error("Docker does not answer");
    if (!(fromDocker instanceof Error)) return fromDocker;
    if (wanted === "docker") {
      throw new KnownError("CLUSTER_UNAVAILABLE", `the cluster cannot be started in Docker: ${fromDocker.message}`, {
        fix: "start Docker and see that it can pull images, or unset HEADGATE_TEST_CLUSTER",
        cause: fromDocker,
      });
    }
    if (fromDocker.message !== "Docker does not answer") say(`Docker answers but cannot run the cluster (${fromDocker.message}); trying the local JVM`);
  }
  return startJvmCluster({ env, say });
}

function externalCluster(env: Readonly<Record<string, string | undefined>>): Cluster | undefined {
  const { HEADGATE_TEST_BROKERS: brokers, HEADGATE_TEST_REGISTRY: registryUrl } = env;
  if (!brokers && !registryUrl) return undefined;
  if (!brokers || !registryUrl) {
    throw new KnownError("CLUSTER_UNAVAILABLE", `${brokers ? "HEADGATE_TEST_REGISTRY" : "HEADGATE_TEST_BROKERS"} is not set, but the other one is`, {
      fix: "set both HEADGATE_TEST_BROKERS (host:port,...) and HEADGATE_TEST_REGISTRY (URL), or neither",
    });
  }
  return {
    brokers: brokers.split(",").map((broker) => broker.trim()),
    registryUrl: registryUrl.replace(/\/+$/, ""),
    kind: "external",
    stop: async () => undefined,
  };
}

/** A topic prefix that nobody else uses: tests and demos that share a cluster are kept apart by it. */
export function randomPrefix(): string {
  return `hgtest-${randomBytes(5).toString("hex")}.`;
}
