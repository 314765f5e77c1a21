import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cacheDir } from "../../../src/dev/cluster/jars.ts";
import { freePort } from "../../../src/dev/demo/processes.ts";
import type { Contender } from "./contender.ts";
import { hasEnded, type Processes, type Started, tailOf } from "./processes.ts";

/**
 * Other gateways that the bench compares with. They are installed once, into headgate's cache directory and not into package.json: nobody who
 * installs headgate needs them. One that cannot be installed or started is absent from the result and named.
 */
const INSTALL_MS = 600_000;
const START_MS = 90_000;
const peersPy = new URL("peers.py", import.meta.url).pathname;
const nothing = { settle: async () => undefined, remark: async () => "" };

interface Place {
  readonly processes: Processes;
  readonly upstreamPort: number;
  /** For configuration files. */
  readonly directory: string;
}

function must(command: readonly [string, ...string[]], cwd: string): void {
  const [file, ...args] = command;
  const { status, stderr, error } = spawnSync(file, args, { cwd, encoding: "utf8", timeout: INSTALL_MS });
  if (status !== 0) throw new Error(`${command.join(" ")} failed: ${error?.message ?? stderr.trim().split("\n").slice(-3).join(" ")}`);
}

/** A directory of the cache that holds exactly what `wanted` names; `install` fills it when it does not. */
function installed(name: string, wanted: string, install: (directory: string) => void): string {
  const directory = join(cacheDir(process.env), "bench", name);
  const marker = join(directory, "installed.txt");
  if (existsSync(marker) && readFileSync(marker, "utf8") === wanted) return directory;
  process.stderr.write(`installing ${name} into ${directory}\n`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  install(directory);
  writeFileSync(marker, wanted);
  return directory;
}

function python(name: string, requirement: string): string {
  const directory = installed(name, requirement, (into) => {
    must(["python3", "-m", "venv", into], into);
    must([join(into, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", requirement], into);
  });
  return join(directory, "bin/python");
}

async function until(what: string, started: Started, isThere: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + START_MS; Date.now() < end; await sleep(200)) {
    if (hasEnded(started)) break;
    if (await isThere().catch(() => false)) return;
  }
  throw new Error(`${what} did not come up:\n${tailOf(started)}`);
}
const answers = (url: string) => async () => (await fetch(url, { signal: AbortSignal.timeout(2_000) })).status < 500;

/** Portkey's gateway, with the @hono/node-server with which it can stream. */
async function portkey({ processes, upstreamPort }: Place): Promise<Contender> {
  const manifest = { private: true, dependencies: { "@portkey-ai/gateway": "1.15.2" }, overrides: { "@hono/node-server": "1.13.8" } };
  const directory = installed("portkey", JSON.stringify(manifest), (into) => {
    writeFileSync(join(into, "package.json"), JSON.stringify(manifest));
    must(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], into);
  });
  const port = await freePort();
  const server = join(directory, "node_modules/@portkey-ai/gateway/build/start-server.js");
  const endWithParent = new URL("../../../src/dev/demo/end-with-parent.ts", import.meta.url).pathname;
  const started = processes.run("portkey", [process.execPath, `--import=${endWithParent}`, server, `--port=${port}`, "--headless"], { on: "proxy", ipc: true });
  await until("portkey", started, answers(`http://127.0.0.1:${port}/`));
  const config = { provider: "openai", api_key: "sk-bench", custom_host: `http://127.0.0.1:${upstreamPort}/v1` };
  return {
    name: "portkey",
    port,
    path: "/v1/chat/completions",
    model: "bench-model",
    headers: { "x-portkey-config": JSON.stringify(config) },
    started,
    ...nothing,
  };
}

/** TensorZero's gateway, as its Python package starts it, with its own logging off: it wants a ClickHouse. */
async function tensorzero({ processes, upstreamPort, directory }: Place): Promise<Contender> {
  const interpreter = python("tensorzero", "tensorzero==2026.6.0");
  const config = join(directory, "tensorzero.toml");
  const provider = `type = "openai"\nmodel_name = "bench-model"\napi_base = "http://127.0.0.1:${upstreamPort}/v1/"\napi_key_location = "none"\n`;
  writeFileSync(config, `[gateway]\nobservability.enabled = false\n[models.bench]\nrouting = ["local"]\n[models.bench.providers.local]\n${provider}`);
  const started = processes.run("tensorzero", [interpreter, peersPy, "tensorzero", config], { on: "proxy" });
  const address = () => /listening: (\S+)/.exec(tailOf(started))?.[1];
  await until("tensorzero", started, async () => address() !== undefined);
  const url = new URL(address() ?? "");
  const path = `${url.pathname.replace(/\/+$/, "")}/chat/completions`;
  return { name: "tensorzero", port: Number(url.port), path, model: "tensorzero::model_name::bench", headers: {}, started, ...nothing };
}

/** LiteLLM's proxy, one worker, without callbacks and without a database. */
async function litellm({ processes, upstreamPort, directory }: Place): Promise<Contender> {
  const interpreter = python("litellm", "litellm[proxy]==1.108.7");
  const port = await freePort();
  const config = join(directory, "litellm.yaml");
  const parameters = `{ model: openai/bench-model, api_base: "http://127.0.0.1:${upstreamPort}/v1", api_key: sk-bench }`;
  writeFileSync(
    config,
    `model_list:\n  - { model_name: bench, litellm_params: ${parameters} }\nrouter_settings: { num_retries: 0, disable_cooldowns: true }\n`,
  );
  const env = { LITELLM_LOCAL_MODEL_COST_MAP: "True", LITELLM_LOG: "ERROR", LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: "True" };
  const started = processes.run("litellm", [interpreter, peersPy, "litellm", config, String(port)], { on: "proxy", env });
  await until("litellm", started, answers(`http://127.0.0.1:${port}/health/liveliness`));
  return { name: "litellm", port, path: "/v1/chat/completions", model: "bench", headers: {}, started, ...nothing };
}

export const peers: Readonly<Record<string, (place: Place) => Promise<Contender>>> = { portkey, tensorzero, litellm };
