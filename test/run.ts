import { globSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { Cluster } from "../src/dev/cluster/cluster.ts";
import { startCluster } from "../src/dev/cluster/start-cluster.ts";
import { KnownError } from "../src/errors/known-error.ts";
import { closingLine, type Outcome } from "./runner/outcome.ts";
import { type FileRun, killAll, runFiles } from "./runner/run-files.ts";

/**
 * `npm test` runs everything: unit and contract tests in four processes, then each file of `test/kafka` and `test/system` in a
 * process of its own, one after the other, on one cluster. `unit` as argument runs the first half; paths run just those.
 * The last line printed is `N passed, N failed`, with `, N skipped` if any; the exit code is 1 unless all is well.
 */
const root = resolve(import.meta.dirname, "..");
/** Longer than a demo waits for its stories on a slow machine, so that it says itself what did not end. */
const fileTimeoutMs = Number(process.env.HEADGATE_TEST_FILE_TIMEOUT_MS || 20 * 60_000);
const outcomes: Outcome[] = [];

function fail(file: string, error: string): void {
  console.log(`✖ ${file}\n${indent(error)}`);
  outcomes.push({ file, name: "", result: "failed", error });
}

const indent = (text: string): string => text.replaceAll(/^/gm, "    ");

function testFiles(args: readonly string[]): string[] {
  const found = (folder: string): string[] => globSync(join(folder, "**/*.test.ts")).sort();
  if (args.length === 0) return ["unit", "contract", "kafka", "system"].flatMap((folder) => found(join(root, "test", folder)));
  if (args.length === 1 && args[0] === "unit") return ["unit", "contract"].flatMap((folder) => found(join(root, "test", folder)));
  return args.flatMap((arg) => {
    const path = resolve(arg);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) fail(arg, "there is no such file or folder");
    return stat === undefined ? [] : stat.isDirectory() ? found(path) : [path];
  });
}

async function runBatch(title: string, files: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const startedAtMs = performance.now();
  const ran = await runFiles(files, { env, timeoutMs: fileTimeoutMs });
  outcomes.push(...ran.outcomes);
  const hasFailed = ran.outcomes.some((outcome) => outcome.result === "failed");
  console.log(`${hasFailed ? "✖" : "✔"} ${title}: ${closingLine(ran.outcomes)} (${((performance.now() - startedAtMs) / 1000).toFixed(1)} s)`);
  for (const { file, name, error } of ran.outcomes.filter((outcome) => outcome.result === "failed")) {
    console.log(`  ✖ ${relative(root, file)} > ${name}\n${indent(error ?? "")}`);
  }
  for (const { file, name, error } of ran.outcomes.filter((outcome) => outcome.result === "skipped")) {
    console.error(`  ○ not run: ${relative(root, file)} > ${name}${error ? `: ${error}` : ""}`);
  }
  if (hasFailed) showOutput(ran);
}

function showOutput({ output }: FileRun): void {
  if (output.trim() !== "") console.log(`  --- what it printed (the end of it) ---\n${indent(output.trimEnd().split("\n").slice(-60).join("\n"))}`);
}

async function main(args: readonly string[]): Promise<void> {
  const files = testFiles(args);
  const isPure = (file: string): boolean => /^test\/(unit|contract)\//.test(relative(root, file));
  const pure = files.filter(isPure);
  const live = files.filter((file) => !isPure(file));
  // Four processes on two or more cores, since some tests wait and most compute: dealt in turn, so that neighbours in one folder do not gang up.
  const shards = [0, 1, 2, 3].map((shard) => pure.filter((_, i) => i % 4 === shard)).filter((shard) => shard.length > 0);
  await Promise.all(shards.map((shard, i) => runBatch(`unit and contract tests ${i + 1}/${shards.length}, ${shard.length} files`, shard, process.env)));
  if (live.length === 0) return;
  let cluster: Cluster;
  try {
    cluster = await startCluster({ say: console.log });
  } catch (error) {
    fail("the cluster", error instanceof KnownError ? error.report() : String((error as Error).stack));
    return;
  }
  console.log(
    `cluster: ${cluster.kind}, brokers ${cluster.brokers.join(",")}, registry ${cluster.registryUrl}${cluster.logDir ? `, logs ${cluster.logDir}` : ""}`,
  );
  const env = { ...process.env, HEADGATE_TEST_BROKERS: cluster.brokers.join(","), HEADGATE_TEST_REGISTRY: cluster.registryUrl };
  try {
    for (const file of live) await runBatch(relative(root, file), [file], env);
  } finally {
    await cluster.stop();
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    killAll();
    process.exit(1);
  });
}

if (Number(process.versions.node.split(".")[0]) < 24) {
  fail("node", `this is Node ${process.version}, headgate needs 24 or newer: run the tests by \`npm test\`, which takes the Node of node_modules`);
} else {
  await main(process.argv.slice(2)).catch((error: Error) => fail("the test runner", String(error.stack)));
}
if (outcomes.every((outcome) => outcome.result === "skipped")) fail("the test run", "no test ran at all");
console.log(closingLine(outcomes));
if (outcomes.some((outcome) => outcome.result === "failed")) process.exitCode = 1;
