import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { freePort } from "../../../../src/dev/demo/processes.ts";
import { ask } from "./harness.ts";

/** For a machine that does much else at the same time. */
export const deadlineMs = 120_000;

export interface Running {
  readonly process: ChildProcess;
  readonly url: string;
  readonly healthUrl: string;
  readonly adminUrl: string;
  /** The gateway's file, and its data directory. */
  readonly file: string;
  readonly data: string;
  /** Process ids of the workers that have listened, in that order. */
  listened(): number[];
  /** How many times a worker ended unasked. */
  failures(): number;
  /** How many times a worker said that it stops. */
  stopping(): number;
  /** What all of its processes have said. */
  output(): string;
  chat(headers?: Readonly<Record<string, string>>): Promise<Response>;
}

export const adminToken = "0123456789abcdef";

/** A worker that a failed test has stopped goes on, and ends since its first process has. Nothing happens to one that has ended, or whose number is another's by now. */
function wake(pid: number): void {
  try {
    process.kill(pid, "SIGCONT");
  } catch {
    // It has ended.
  }
}

/** `headgate gateway --workers 2` as a process of its own, with a Kafka that is not there. */
export async function running(t: TestContext, yaml: string, given: { readonly data?: string; readonly healthPort?: number } = {}): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-workers-"));
  const file = join(directory, "gateway.yaml");
  writeFileSync(file, yaml);
  const [port, health, admin] = [await freePort(), given.healthPort ?? (await freePort()), await freePort()];
  const data = given.data ?? join(directory, "data");
  const env = {
    PATH: process.env.PATH,
    KAFKA_BROKERS: "127.0.0.1:9",
    SCHEMA_REGISTRY_URL: "http://127.0.0.1:9",
    HEADGATE_PORT: String(health),
    HEADGATE_GATEWAY_PORT: String(port),
    HEADGATE_GATEWAY_CONFIG: file,
    HEADGATE_GATEWAY_DATA: data,
    HEADGATE_GATEWAY_ADMIN_PORT: String(admin),
    HEADGATE_GATEWAY_ADMIN_TOKEN: adminToken,
    NODE_NO_WARNINGS: "1",
  };
  const child = spawn(process.execPath, ["src/cli/main.ts", "gateway", "--workers", "2"], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  const listened = () => [...output.matchAll(/"pid":(\d+)[^\n]*"gateway listens"/g)].map(([, pid]) => Number(pid));
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    for (const pid of listened()) wake(pid);
    rmSync(directory, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${port}`;
  return {
    process: child,
    url,
    file,
    data,
    adminUrl: `http://127.0.0.1:${admin}`,
    healthUrl: `http://127.0.0.1:${health}`,
    listened,
    failures: () => output.split("a worker ended unasked").length - 1,
    output: () => output,
    stopping: () => output.split('"msg":"stopping"').length - 1,
    chat: (headers = {}) =>
      fetch(`${url}/v1/chat/completions`, { method: "POST", headers: { connection: "close", ...headers }, body: JSON.stringify(ask("hi", { user: "u" })) }),
  };
}
