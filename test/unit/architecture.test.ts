import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join, normalize, resolve } from "node:path";
import { describe, it } from "node:test";

const root = resolve(import.meta.dirname, "../..");

interface Row {
  readonly files: RegExp;
  /** What these files may load when they run; `$1` is the first group of `files`. Type-only imports are free. */
  readonly may: string;
}

const stageCommon = "src/stages/$1/|src/domain/|src/runtime/|src/config/|src/errors/|topics/|node:|zod$|pino$|prom-client$";

/** The dependency rule, one row per folder; the first row that fits a file holds. */
const table: readonly Row[] = [
  { files: /^topics\/generate\.ts$/, may: "topics/|node:|zod$" },
  { files: /^topics\//, may: "topics/|zod$" },
  { files: /^src\/errors\//, may: "src/errors/" },
  { files: /^src\/domain\//, may: "src/domain/|src/errors/|tdigest$" },
  // Checks of callers' schemas and patterns, bounded in time: whoever has the whole answer runs them, the gateway or the sampler.
  { files: /^src\/checks\//, may: "src/checks/|src/domain/checks/|node:(?:crypto|vm)$|ajv(/|$)" },
  { files: /^src\/config\//, may: "src/config/|src/errors/|zod$" },
  { files: /^src\/runtime\//, may: "src/runtime/|src/config/|src/errors/|src/domain/hash/|topics/|node:|zod$|kafkajs$|@kafkajs/|avsc$|pino$|prom-client$" },
  { files: /^src\/stages\/(1-gateway)\//, may: `${stageCommon}|src/checks/|undici$|yaml$` },
  { files: /^src\/stages\/(2-sampler)\//, may: `${stageCommon}|src/checks/` },
  { files: /^src\/stages\/(3-judge)\//, may: `${stageCommon}|openai(/|$)|yaml$` },
  { files: /^src\/stages\/(6-control)\//, may: `${stageCommon}|fastify$|yaml$` },
  { files: /^src\/stages\/(7-prober)\//, may: `${stageCommon}|ajv(/|$)` },
  { files: /^src\/stages\/(\d-[a-z]+)\//, may: stageCommon },
  { files: /^src\/pipeline\.ts$/, may: "topics/" },
  { files: /^src\/(?:cli|dev)\//, may: "src/(?!stages/)|src/stages/\\d-[a-z]+/main\\.ts$|topics/|node:|(?!kafkajs|@kafkajs|src/|test/)[a-z@]" },
];

/** Static, dynamic and re-export edges, and `require`. */
const specifier = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"'\s]+)["']/g;
const computedImport = /\b(?:import|require)\s*\(\s*(?!["'\s)])/;

/** Code as it runs: types erased, comments gone (a doc comment may well name what the code must not use). */
function codeOf(source: string): string {
  const stringOrComment = /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return stripTypeScriptTypes(source).replace(stringOrComment, (_, string: string | undefined) => string ?? " ");
}

type Sources = Readonly<Record<string, string>>;

function brokenImports(sources: Sources): string[] {
  return Object.entries(sources).flatMap(([file, source]) => {
    const row = table.find(({ files }) => files.test(file));
    if (row === undefined) return [`${file} has no row`];
    const allowed = new RegExp(`^(?:${row.may.replaceAll("$1", row.files.exec(file)?.[1] ?? "")})`);
    const code = codeOf(source);
    const edges = [...code.matchAll(specifier)].map(([, to = ""]) => (to.startsWith(".") ? normalize(join(file, "..", to)) : to));
    const broken = edges.filter((to) => !allowed.test(to)).map((to) => `${file} -> ${to}`);
    return computedImport.test(code) ? [...broken, `${file} imports something that is computed`] : broken;
  });
}

const clocksAndDice = /\bDate\s*\.\s*now\b|\bnew\s+Date\s*\(\s*\)|(?<!new\s)\bDate\s*\(|\bMath\s*\.\s*random\b|\bperformance\s*\.\s*now\b|\bcrypto\b/g;
/**
 * Math functions whose last digits differ between machines and versions; the reducer has its own (`stats/ln.ts`). Powers are
 * among them, but for whole powers of two, which every engine computes exactly.
 */
const inexactMath =
  /\bMath\s*\.\s*(?:log|log1p|log2|log10|exp|expm1|pow|tanh|sinh|cosh|cbrt)\b|\bMath\s*\[|[=(,]\s*Math\s*[;,)]|(?:[^\s*2]|[\w.]2)\s*\*\*\s*[^*\s]|\*\*\s*\d*\.\d/g;

function uses(sources: Sources, banned: RegExp): string[] {
  return Object.entries(sources).flatMap(([file, source]) => [...codeOf(source).matchAll(banned)].map(([found]) => `${file}: ${found.trim()}`));
}

function read(pattern: string): Sources {
  return Object.fromEntries(globSync(pattern, { cwd: root }).map((file) => [file, readFileSync(join(root, file), "utf8")]));
}

describe("what may import what", () => {
  it("every import of every source file is allowed by the table, and every file has a row", () => {
    const sources = read("{src,topics}/**/*.ts");
    assert.ok(Object.keys(sources).length > 30, "the glob found no sources: this test would pass on nothing");
    assert.deepEqual(brokenImports(sources), []);
  });

  it("only the runtime loads kafkajs, whatever the table says", () => {
    const elsewhere = Object.entries(read("{src,topics}/**/*.ts")).filter(([file]) => !file.startsWith("src/runtime/"));
    const loading = elsewhere.filter(([, source]) => [...codeOf(source).matchAll(specifier)].some(([, to = ""]) => /^@?kafkajs/.test(to)));
    assert.deepEqual(
      loading.map(([file]) => file),
      [],
    );
  });

  it("sees planted faults: static, dynamic, re-exported, required and computed edges, stages that import stages, files without a row", () => {
    const planted: readonly [file: string, source: string][] = [
      ["src/domain/stats/x.ts", `import { readFileSync } from "node:fs";\nreadFileSync("x");`],
      ["src/domain/stats/x.ts", `import "kafkajs";`],
      ["src/domain/stats/x.ts", `export { Kafka } from "kafkajs";`],
      ["src/domain/stats/x.ts", `export * from "../../runtime/port.ts";`],
      ["src/domain/stats/x.ts", `export const load = () => import("kafkajs");`],
      ["src/domain/stats/x.ts", `const name = "kafkajs"; export const load = () => import(name);`],
      ["src/stages/2-sampler/x.ts", `import { x } from "../1-gateway/x.ts";\nx();`],
      ["src/stages/2-sampler/x.ts", `import { Kafka } from "kafkajs";\nnew Kafka();`],
      ["src/stages/5-decider/x.ts", `const { Kafka } = require("kafkajs");`],
      ["src/stages/1-gateway/x.ts", `import OpenAI from "openai";\nnew OpenAI();`],
      ["src/cli/x.ts", `import { x } from "../stages/3-judge/ask-model.ts";\nx();`],
      ["src/cli/x.ts", `import { Kafka } from "kafkajs";\nnew Kafka();`],
      ["src/dev/x.ts", `import { Kafka } from "kafkajs";\nnew Kafka();`],
      ["src/runtime/x.ts", `import { fold } from "../domain/windows/fold.ts";\nfold();`],
      ["src/config/x.ts", `import "node:fs";`],
      ["src/checks/x.ts", `import { readFileSync } from "node:fs";\nreadFileSync("x");`],
      ["src/stages/3-judge/x.ts", `import { checkCompilers } from "../../checks/check-compilers.ts";\ncheckCompilers();`],
      ["topics/x.ts", `import { x } from "../src/errors/x.ts";\nx();`],
      ["src/somewhere/x.ts", ""],
    ];
    for (const [file, source] of planted) assert.equal(brokenImports({ [file]: source }).length, 1, `not seen: ${file}: ${source}`);
  });

  it("lets types through, and what the table allows", () => {
    assert.deepEqual(
      brokenImports({
        "src/domain/stats/x.ts": `import type { Kafka } from "kafkajs";\nexport type { Topic } from "../../../topics/index.ts";\n/** Not loaded: from "node:fs". */\nexport type K = Kafka;`,
        "src/stages/6-control/x.ts": `import fastify from "fastify";\nimport { run } from "../../runtime/x.ts";\nimport { y } from "./y.ts";\nrun(fastify, y);`,
        "src/cli/x.ts": `import { program } from "../stages/3-judge/main.ts";\nimport { Command } from "commander";\nnew Command(program);`,
      }),
      [],
    );
  });
});

describe("what the domain may not use", () => {
  it("reads no clock and throws no dice", () => {
    const domain = read("src/domain/**/*.ts");
    assert.ok(Object.keys(domain).length > 5, "the glob found no domain code");
    assert.deepEqual(uses(domain, clocksAndDice), []);
  });

  it("decides with its own logarithms, so that every machine decides alike", () => {
    const deciding = read("src/domain/{stats,rollout}/**/*.ts");
    assert.ok(Object.keys(deciding).length > 5, "the glob found no statistics");
    assert.deepEqual(uses(deciding, inexactMath), []);
  });

  it("sees planted clocks, dice and inexact functions, and not their names in comments", () => {
    for (const text of ["Date.now()", "new Date()", "Date()", "Math.random()", "performance.now()", "const f = Date.now; f()", 'String(Date.now() + "//")']) {
      assert.notDeepEqual(uses({ x: `export const x = () => { ${text}; };` }, clocksAndDice), [], text);
    }
    for (const text of [
      "Math.log(2)",
      "Math . exp(1)",
      "[1].map(Math.log1p)",
      "const { log } = Math;",
      'Math["log"](2)',
      "2 ** 0.5",
      "x ** n",
      "12 ** n",
      "Math.pow(2, 3)",
      "Math.tanh(1)",
    ]) {
      assert.notDeepEqual(uses({ x: `export const x = () => { ${text}; };` }, inexactMath), [], text);
    }
    const innocent =
      "/** Like Math.log(x), but Date.now() free. */\nexport const x = (at: number) => new Date(at).getTime() + Math.floor(at) / 2 ** at; // 3 ** 3, Math.random()";
    assert.deepEqual([...uses({ x: innocent }, clocksAndDice), ...uses({ x: innocent }, inexactMath)], []);
  });
});
