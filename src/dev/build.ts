import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * `npm run build [-- DIR]`: writes what is published to `dist/` (or DIR): `src` without `src/dev`, and `topics`, as JavaScript
 * with declarations. `node DIR/src/cli/main.js` runs on a plain Node >= 24.
 */
const root = resolve(import.meta.dirname, "../..");
const out = resolve(process.argv[2] ?? join(root, "dist"));
const compiler = join(root, "node_modules/.bin/tsc");

if (process.argv[2] === undefined) rmSync(out, { recursive: true, force: true });
else if (existsSync(out)) throw new Error(`${out} is there already; name a new directory`);
const compiled = spawnSync(compiler, ["-p", join(root, "tsconfig.build.json"), "--outDir", out], { stdio: "inherit" });
if (compiled.status !== 0) process.exit(1);

for (const generated of ["avro", "asyncapi.json", "rollout.schema.json"])
  cpSync(join(root, "topics", generated), join(out, "topics", generated), { recursive: true });
const bin = join(out, "src/cli/main.js");
if (!readFileSync(bin, "utf8").startsWith("#!/usr/bin/env node\n")) throw new Error("src/cli/main.ts has lost its first line, #!/usr/bin/env node");
chmodSync(bin, 0o755);
process.stdout.write(`built ${out}\n`);
