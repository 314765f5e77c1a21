import { spawn } from "node:child_process";
import { join, resolve } from "node:path";

/** `npm run check`: everything that can be said of the sources without running them. All steps run, whatever the others say. */
const root = resolve(import.meta.dirname, "../..");
const tool = (name: string): string => join(root, "node_modules/.bin", name);

const steps: readonly { readonly title: string; readonly command: string; readonly args: readonly string[] }[] = [
  { title: "types (tsc)", command: tool("tsc"), args: ["-p", "."] },
  { title: "lint and format (biome)", command: tool("biome"), args: ["check", "--error-on-warnings"] },
  {
    title: "boundaries (import table, one-way flow, error list)",
    command: process.execPath,
    args: ["test/run.ts", ...["architecture", "pipeline", "errors"].map((name) => `test/unit/${name}.test.ts`)],
  },
  { title: "unused code and dependencies (knip)", command: tool("knip"), args: ["--no-progress"] },
  { title: "generated contracts are fresh", command: process.execPath, args: ["topics/generate.ts", "--check"] },
];

interface Ran {
  readonly title: string;
  readonly output: string;
  readonly hasFailed: boolean;
  readonly seconds: number;
}

function run({ title, command, args }: (typeof steps)[number]): Promise<Ran> {
  const startedAtMs = performance.now();
  return new Promise((done) => {
    let output = "";
    const settle = (hasFailed: boolean): void => done({ title, output, hasFailed, seconds: (performance.now() - startedAtMs) / 1000 });
    // A terminal's colours are worth keeping, so the tools are told that this is one, if it is.
    const env = process.stdout.isTTY && process.env.NO_COLOR === undefined ? { ...process.env, FORCE_COLOR: "1" } : process.env;
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
      });
    }
    child.once("error", (error) => {
      output += String(error);
      settle(true);
    });
    child.once("close", (code) => settle(code !== 0));
  });
}

// Side by side: they share nothing, and most of them wait for one core.
const running = steps.map(run);
const failed: string[] = [];
for (const one of running) {
  const { title, output, hasFailed, seconds } = await one;
  console.log(`${hasFailed ? "✖" : "✔"} ${title} (${seconds.toFixed(1)} s)`);
  if (!hasFailed) continue;
  failed.push(title);
  console.log(output.trimEnd().replaceAll(/^/gm, "    "));
}
console.log(failed.length === 0 ? "check: all is well" : `check: failed: ${failed.join("; ")}`);
if (failed.length > 0) process.exitCode = 1;
