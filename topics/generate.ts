import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { asyncApi } from "./asyncapi.ts";
import { avroOf } from "./avro.ts";
import { allTopics } from "./index.ts";
import { rolloutSpec } from "./rollout-spec.ts";

const folder = dirname(fileURLToPath(import.meta.url));

/** Every file that is derived from the zod contracts, by path relative to `topics/`; equal contracts give equal bytes. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, unknown>(allTopics.map((topic) => [`avro/${topic.name}.avsc`, avroOf(topic)]));
  files.set("asyncapi.json", asyncApi());
  files.set("rollout.schema.json", rolloutSchema());
  return new Map([...files].map(([path, content]) => [path, `${JSON.stringify(content, null, 2)}\n`]));
}

/** JSON Schema of what people write, before defaults: editors and CI of other teams check specs with it. */
function rolloutSchema(): object {
  const { $schema, ...rest } = z.toJSONSchema(rolloutSpec, { io: "input" });
  return { $schema, title: "headgate rollout spec", description: "A declared rollout: `headgate rollout apply FILE`", ...rest };
}

/** Files that are not as the contracts say, relative to `topics/`: changed, missing, or of a topic that is gone. */
export function staleFiles(): string[] {
  const wanted = generatedFiles();
  const changed = [...wanted].filter(([path, text]) => !existsSync(join(folder, path)) || readFileSync(join(folder, path), "utf8") !== text);
  return [...changed.map(([path]) => path), ...orphans(wanted)];
}

function orphans(wanted: ReadonlyMap<string, string>): string[] {
  const present = existsSync(join(folder, "avro")) ? readdirSync(join(folder, "avro")) : [];
  return present.map((name) => `avro/${name}`).filter((path) => !wanted.has(path));
}

function writeFiles(): void {
  const wanted = generatedFiles();
  mkdirSync(join(folder, "avro"), { recursive: true });
  for (const path of orphans(wanted)) rmSync(join(folder, path));
  for (const [path, text] of wanted) writeFileSync(join(folder, path), text);
}

if (import.meta.main) {
  const stale = staleFiles();
  if (!process.argv.includes("--check")) {
    writeFiles();
    console.log(stale.length === 0 ? "generated files were up to date" : `generated ${stale.map((path) => `topics/${path}`).join(", ")}`);
  } else if (stale.length > 0) {
    console.error(`stale generated files: ${stale.map((path) => `topics/${path}`).join(", ")}\n  fix: npm run generate, and commit what it writes`);
    process.exitCode = 1;
  }
}
