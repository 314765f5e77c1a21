import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { KnownError } from "../../errors/known-error.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Where the cluster's programs are: `kafka` and `registry` are directories. */
export interface Jars {
  readonly java: string;
  readonly kafka: string;
  readonly registry: string;
  readonly kafkaVersion: string;
  readonly registryVersion: string;
}

const pomFile = fileURLToPath(new URL("pom.xml", import.meta.url));
const oldestJava = 17;

/** Per-user cache of everything under src/dev, `~/.cache/headgate` by default. */
export function cacheDir(env: Env): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "headgate");
}

/** Versions that the pom names; the pom is the one place where they stand. */
export function pomVersions(): { readonly kafka: string; readonly registry: string } {
  const pom = readFileSync(pomFile, "utf8");
  const property = (name: string): string => {
    const value = new RegExp(`<${name}>([^<]+)</${name}>`).exec(pom)?.[1];
    if (value === undefined) throw new Error(`${pomFile} does not set ${name}`);
    return value;
  };
  return { kafka: property("kafka.version"), registry: property("registry.version") };
}

/**
 * Finds Java, and the jars in the cache; downloads them by Maven the first time (about 150 MB). The cache directory appears
 * by one rename, so a download that was cut short never looks complete, and a second process that starts meanwhile waits.
 *
 * @param say gets progress in whole lines
 * @throws {KnownError} CLUSTER_UNAVAILABLE when there is no Java >= 17, no Maven, or the download fails
 */
export async function resolveJars(env: Env, say: (line: string) => void): Promise<Jars> {
  const java = findJava(env);
  const versions = pomVersions();
  const digest = createHash("sha256").update(readFileSync(pomFile)).digest("hex").slice(0, 8);
  const cache = cacheDir(env);
  const home = join(cache, `kafka-${versions.kafka}-registry-${versions.registry}-${digest}`);
  if (!existsSync(home)) {
    mkdirSync(cache, { recursive: true });
    await withLock(`${home}.lock`, say, async () => {
      if (!existsSync(home)) await download(env, home, say);
    });
  }
  return { java, kafka: join(home, "kafka"), registry: join(home, "registry"), kafkaVersion: versions.kafka, registryVersion: versions.registry };
}

function findJava(env: Env): string {
  const java = env.JAVA_HOME ? join(env.JAVA_HOME, "bin", "java") : "java";
  const asked = spawnSync(java, ["-version"], { encoding: "utf8", env });
  const version = /version "(?:1\.)?(\d+)/.exec(asked.stderr ?? "")?.[1];
  if (asked.error !== undefined || version === undefined) throw unavailable(`there is no Java (${java} does not run)`, asked.error);
  if (Number(version) < oldestJava) throw unavailable(`Java ${version} (${java}) is too old: Kafka needs ${oldestJava} or newer`);
  return java;
}

function unavailable(problem: string, cause?: unknown): KnownError {
  return new KnownError("CLUSTER_UNAVAILABLE", `no embedded Kafka can be started: Docker does not answer, and ${problem}`, {
    fix: `start Docker, or install Java >= ${oldestJava} and Maven (Debian: apt-get install openjdk-17-jre-headless maven; macOS: brew install openjdk@17 maven), or set HEADGATE_TEST_BROKERS and HEADGATE_TEST_REGISTRY to a cluster for tests`,
    cause,
  });
}

async function download(env: Env, home: string, say: (line: string) => void): Promise<void> {
  const version = spawnSync("mvn", ["-v"], { encoding: "utf8", env });
  if (version.error !== undefined || version.status !== 0) throw unavailable("there is no Maven (mvn does not run)", version.error);
  const isMaven4 = /Apache Maven (?:[4-9]|\d\d)/.test(version.stdout);
  say("downloading Kafka and the schema registry by Maven, about 150 MB, once per machine");
  // Left by a download that was killed: under the lock nobody else can be using them.
  for (const left of globSync(`${home}.part-*`)) rmSync(left, { recursive: true, force: true });
  const staging = mkdtempSync(`${home}.part-`);
  try {
    const args = ["-B", "-U", "-f", pomFile, `-Dheadgate.libs=${staging}`, ...(isMaven4 ? ["-Ddependency.plugin.version=3.8.1"] : []), "package"];
    const failure = await runMaven(env, args, say);
    if (failure !== undefined) {
      throw new KnownError("CLUSTER_UNAVAILABLE", `no embedded Kafka can be started: Maven could not download its jars\n${failure}`, {
        fix: "check that Maven Central (or your mirror in ~/.m2/settings.xml) can be reached, then try again",
      });
    }
    rmSync(join(staging, "target"), { recursive: true, force: true });
    renameSync(staging, home);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** @returns the last lines of Maven's output when it failed */
function runMaven(env: Env, args: readonly string[], say: (line: string) => void): Promise<string | undefined> {
  return new Promise((resolve) => {
    const maven = spawn("mvn", args, { stdio: ["ignore", "pipe", "pipe"], env: { ...env } });
    const tail: string[] = [];
    let fetched = 0;
    let current = "";
    const timer = setInterval(() => say(`  ${fetched} files downloaded ${current}`.trimEnd()), 3000);
    const read = (chunk: string): void => {
      for (const line of chunk.split(/[\r\n]+/).filter((part) => part.trim() !== "")) {
        if (line.includes("Downloaded from")) fetched++;
        else if (line.startsWith("Progress")) current = line.replace(/^Progress \(\d+\): /, "- ").trim();
        else tail.push(line);
      }
      tail.splice(0, tail.length - 25);
    };
    maven.stdout.setEncoding("utf8").on("data", read);
    maven.stderr.setEncoding("utf8").on("data", read);
    const settle = (failure: string | undefined): void => {
      clearInterval(timer);
      resolve(failure);
    };
    maven.once("error", (error) => settle(error.message));
    maven.once("close", (code) => settle(code === 0 ? undefined : tail.join("\n")));
  });
}

/** Runs `work` while this process holds the lock file; takes over a lock whose owner is dead. */
async function withLock(lockFile: string, say: (line: string) => void, work: () => Promise<void>): Promise<void> {
  const mine = `${lockFile}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    let told = false;
    while (!tryLink(mine, lockFile)) {
      const owner = readOwner(lockFile);
      if (owner !== undefined && !isAlive(owner)) {
        breakLock(lockFile, owner);
        continue;
      }
      if (!told) say(`waiting for another process (${owner}) that is downloading the same jars`);
      told = true;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    try {
      await work();
    } finally {
      rmSync(lockFile, { force: true });
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** A hard link appears with its content in one step, unlike a file that is created and then written. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readOwner(lockFile: string): number | undefined {
  try {
    return Number(readFileSync(lockFile, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Moves the dead owner's lock aside; if another process was faster and its lock was moved instead, that one is put back. */
function breakLock(lockFile: string, deadOwner: number): void {
  const aside = `${lockFile}.stale-${process.pid}`;
  try {
    renameSync(lockFile, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if (readOwner(aside) !== deadOwner) tryLink(aside, lockFile);
  rmSync(aside, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
