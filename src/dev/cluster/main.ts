import { KnownError } from "../../errors/known-error.ts";
import { startCluster } from "./start-cluster.ts";

/** `npm run cluster`: keeps a cluster alive until it is interrupted; standard output holds the line to evaluate in a shell. */
try {
  const startedAtMs = performance.now();
  const cluster = await startCluster();
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
  process.stderr.write(`cluster (${cluster.kind}) ready after ${seconds} s${cluster.logDir ? `, logs in ${cluster.logDir}` : ""}; Ctrl-C stops it\n`);
  process.stdout.write(`export HEADGATE_TEST_BROKERS=${cluster.brokers.join(",")} HEADGATE_TEST_REGISTRY=${cluster.registryUrl}\n`);
  const alive = setInterval(() => undefined, 60_000);
  await new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, resolve);
  });
  clearInterval(alive);
  await cluster.stop();
} catch (error) {
  if (!(error instanceof KnownError)) throw error;
  process.stderr.write(`${error.report()}\n`);
  process.exitCode = 3;
}
