import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, describe, it } from "node:test";
import { resolveJars } from "../../src/dev/cluster/jars.ts";
import { isBrokerReady, isRegistryReady } from "../../src/dev/cluster/probe.ts";
import { randomPrefix, startCluster } from "../../src/dev/cluster/start-cluster.ts";
import { testCluster } from "../fixtures/cluster.ts";
import { until } from "../fixtures/until.ts";

const root = resolve(import.meta.dirname, "../..");
const directory = mkdtempSync(join(tmpdir(), "headgate-cluster-test-"));
const { HEADGATE_TEST_BROKERS: _brokers, HEADGATE_TEST_REGISTRY: _registry, ...env } = process.env;
const silent = (): void => undefined;
/** Where the cluster runs in Docker there need not be a Java. */
const needsJava = spawnSync("java", ["-version"]).error === undefined ? {} : { skip: "there is no Java on this machine" };

/** Zombies are gone for all that matters: nobody may have reaped them yet. */
function isRunning(pid: number): boolean {
  return /^[^Z]/.test(spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" }).stdout.trim());
}

function childrenOf(parent: number): { pid: number; command: string }[] {
  return execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" })
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .flatMap((row) => (row !== null && Number(row[2]) === parent ? [{ pid: Number(row[1]), command: row[3] ?? "" }] : []));
}

async function firstLine(child: ChildProcess): Promise<string> {
  assert.ok(child.stdout);
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return line;
}

/** A keeper that keeps two sleeping processes instead of two JVMs. */
async function keepSleepers(): Promise<{ keeper: ChildProcess; pids: number[]; dataDir: string }> {
  const dataDir = mkdtempSync(join(directory, "data-"));
  const keeper = spawn(process.execPath, [join(root, "src/dev/cluster/keeper.ts")], { detached: true, stdio: ["pipe", "pipe", "inherit"] });
  const processes = ["a", "b"].map((name) => ({ name, command: "sh", args: ["-c", "sleep 600 & sleep 600"], logFile: join(directory, `${name}.log`) }));
  keeper.stdin.write(`${JSON.stringify({ dataDir, processes })}\n`);
  const keeperPid = keeper.pid ?? 0;
  await until("both sleep", () => childrenOf(keeperPid).flatMap(({ pid }) => childrenOf(pid)).length === 4);
  const shells = childrenOf(keeperPid).map(({ pid }) => pid);
  return { keeper, pids: [...shells, ...shells.flatMap((pid) => childrenOf(pid).map((child) => child.pid))], dataDir };
}

/** A Maven that downloads nothing: it counts its runs, takes its time, and writes what the real one would. */
function fakeMaven(name: string, body: string): { env: NodeJS.ProcessEnv; runs: () => number; cache: string } {
  const bin = join(directory, name, "bin");
  const cache = join(directory, name, "cache");
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh
if [ "$1" = -v ]; then echo "Apache Maven 3.9.9"; exit 0; fi
echo run >> "${bin}/runs"
for arg in "$@"; do case "$arg" in -Dheadgate.libs=*) libs="\${arg#*=}";; esac; done
mkdir -p "$libs/kafka" "$libs/registry"
${body}
`;
  writeFileSync(join(bin, "mvn"), script);
  chmodSync(join(bin, "mvn"), 0o755);
  const runs = (): number => (existsSync(join(bin, "runs")) ? readFileSync(join(bin, "runs"), "utf8").trim().split("\n").length : 0);
  return { env: { ...env, PATH: `${bin}:${env.PATH}`, XDG_CACHE_HOME: cache }, runs, cache };
}

const resolving = `import { resolveJars } from ${JSON.stringify(join(root, "src/dev/cluster/jars.ts"))}; console.log((await resolveJars(process.env, () => {})).kafka);`;

describe("the embedded cluster", () => {
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("is gone, with its data, when the process that started it is killed by SIGKILL", needsJava, async () => {
    const main = spawn(process.execPath, [join(root, "src/dev/cluster/main.ts")], {
      env: { ...env, HEADGATE_TEST_CLUSTER: "jvm" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exported = await firstLine(main);
    const [, broker = "", registryUrl = ""] = /^export HEADGATE_TEST_BROKERS=(\S+) HEADGATE_TEST_REGISTRY=(\S+)$/.exec(exported) ?? [];
    assert.ok(await isBrokerReady(broker, 5000), exported);
    assert.ok(await isRegistryReady(registryUrl, 5000), exported);
    const [keeper] = childrenOf(main.pid ?? 0);
    assert.ok(keeper);
    const jvms = childrenOf(keeper.pid);
    assert.equal(jvms.length, 2);
    const properties = jvms.map(({ command }) => /\S+server\.properties/.exec(command)?.[0]).find((path) => path !== undefined) ?? "";
    assert.ok(existsSync(properties));

    main.kill("SIGKILL");

    await until("keeper and JVMs are gone", () => [keeper, ...jvms].every(({ pid }) => !isRunning(pid)));
    assert.ok(!existsSync(dirname(properties)));
    assert.equal(await isBrokerReady(broker, 1000), false);
  });

  it("leaves nothing when stopped, also when its keeper was killed first", needsJava, async () => {
    const cluster = await startCluster({ env: { ...env, HEADGATE_TEST_CLUSTER: "jvm" }, say: silent });
    const keeper = childrenOf(process.pid).find(({ command }) => command.includes("keeper.ts"));
    assert.ok(keeper);
    const jvms = childrenOf(keeper.pid);
    assert.equal(jvms.length, 2);
    process.kill(keeper.pid, "SIGKILL");
    await cluster.stop();
    await until("the JVMs are gone", () => jvms.every(({ pid }) => !isRunning(pid)));
    await cluster.stop();
  });

  it("has a keeper that kills whole process groups and removes the data at the end of its input, and at SIGTERM", async () => {
    for (const end of [(keeper: ChildProcess) => keeper.stdin?.end(), (keeper: ChildProcess) => keeper.kill("SIGTERM")]) {
      const { keeper, pids, dataDir } = await keepSleepers();
      const exited = once(keeper, "exit");
      end(keeper);
      assert.deepEqual(await exited, [0, null]);
      await until("all four are gone", () => pids.every((pid) => !isRunning(pid)));
      assert.ok(!existsSync(dataDir));
    }
  });

  it("downloads once when several processes start for the first time together", needsJava, async () => {
    const maven = fakeMaven("together", "sleep 1; touch $libs/kafka/kafka.jar");
    const starts = Array.from({ length: 3 }, () =>
      spawn(process.execPath, ["--input-type=module-typescript", "-e", resolving], { env: maven.env, stdio: ["ignore", "pipe", "inherit"] }),
    );
    const homes = await Promise.all(starts.map(firstLine));
    assert.equal(new Set(homes).size, 1);
    assert.deepEqual(readdirSync(homes[0] ?? ""), ["kafka.jar"]);
    assert.equal(maven.runs(), 1);
    assert.equal(readdirSync(join(maven.cache, "headgate")).length, 1, "locks or half-finished downloads are left");
  });

  it("never takes a download that was killed for a complete one, and does it again", needsJava, async () => {
    const maven = fakeMaven("killed", `touch $libs/kafka/half.jar; [ -e "$libs/../../finish" ] || exec sleep 600; touch $libs/kafka/kafka.jar`);
    const first = spawn(process.execPath, ["--input-type=module-typescript", "-e", resolving], { env: maven.env, detached: true, stdio: "ignore" });
    const cache = join(maven.cache, "headgate");
    await until("the download has begun", () => existsSync(cache) && readdirSync(cache, { recursive: true }).some((path) => String(path).endsWith("half.jar")));
    assert.ok(first.pid);
    process.kill(-first.pid, "SIGKILL");
    await once(first, "exit");
    assert.ok(readdirSync(cache).every((name) => name.includes(".part-") || name.includes(".lock")));
    writeFileSync(join(maven.cache, "finish"), "");
    const jars = await resolveJars(maven.env, silent);
    assert.ok(existsSync(join(jars.kafka, "kafka.jar")));
    assert.equal(readdirSync(cache).filter((name) => name.includes(".part-")).length, 0);
  });

  it("says what to install, or what failed, when it cannot start", async () => {
    const noJava = { XDG_CACHE_HOME: join(directory, "none"), PATH: join(directory, "none"), DOCKER_HOST: "unix:///nowhere" };
    await assert.rejects(startCluster({ env: noJava, say: silent }), (error: Error & { code?: string; fix?: string }) => {
      assert.equal(error.code, "CLUSTER_UNAVAILABLE");
      assert.match(error.message, /Docker does not answer, and there is no Java/);
      assert.match(error.fix ?? "", /install Java >= 17 and Maven/);
      return true;
    });
    await assert.rejects(startCluster({ env: { ...noJava, HEADGATE_TEST_CLUSTER: "docker" }, say: silent }), { code: "CLUSTER_UNAVAILABLE" });
  });

  it("shows the end of Maven's output when the download fails", needsJava, async () => {
    const maven = fakeMaven("failing", "echo 'could not resolve: no such host'; exit 1");
    await assert.rejects(resolveJars(maven.env, silent), { code: "CLUSTER_UNAVAILABLE", message: /no such host/ });
    assert.deepEqual(readdirSync(join(maven.cache, "headgate")), []);
  });

  it("is the one of HEADGATE_TEST_BROKERS and HEADGATE_TEST_REGISTRY when both are set, and never that of KAFKA_BROKERS", async () => {
    const given = { KAFKA_BROKERS: "production:9092", HEADGATE_TEST_BROKERS: "a:1, b:2", HEADGATE_TEST_REGISTRY: "http://r/apis/ccompat/v7/" };
    const { brokers, registryUrl, kind } = await startCluster({ env: given, say: silent });
    assert.deepEqual({ brokers, registryUrl, kind }, { brokers: ["a:1", "b:2"], registryUrl: "http://r/apis/ccompat/v7", kind: "external" });
    await assert.rejects(startCluster({ env: { HEADGATE_TEST_BROKERS: "a:1" }, say: silent }), {
      code: "CLUSTER_UNAVAILABLE",
      message: /HEADGATE_TEST_REGISTRY is not set/,
    });
    assert.notEqual(randomPrefix(), randomPrefix());
    assert.match(randomPrefix(), /^hgtest-[0-9a-f]{10}\.$/);
  });

  it("counts as ready only when a broker answers as a broker does", async () => {
    const { brokers, registryUrl } = await testCluster();
    assert.equal(await isBrokerReady(brokers.split(",")[0] ?? "", 5000), true);
    assert.equal(await isRegistryReady(registryUrl, 5000), true);
    assert.equal(await isRegistryReady(`${registryUrl}/nothing`, 5000), false);
    const servers = [createServer(() => undefined), createServer((socket) => socket.end("no broker here"))];
    for (const server of servers) {
      await once(server.listen(0, "127.0.0.1"), "listening");
      const address = server.address();
      assert.ok(address !== null && typeof address === "object");
      assert.equal(await isBrokerReady(`127.0.0.1:${address.port}`, 300), false);
      server.close();
    }
  });
});
