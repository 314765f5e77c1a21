import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { connectionConfiguration } from "../../src/config/connection.ts";
import { program as gateway } from "../../src/stages/1-gateway/main.ts";
import { program as sampler } from "../../src/stages/2-sampler/main.ts";
import { program as judge } from "../../src/stages/3-judge/main.ts";
import { program as aggregator } from "../../src/stages/4-aggregator/main.ts";
import { program as decider } from "../../src/stages/5-decider/main.ts";
import { program as control } from "../../src/stages/6-control/main.ts";
import { program as prober } from "../../src/stages/7-prober/main.ts";
import { rolloutSpec } from "../../topics/rollout-spec.ts";

const readme = readFileSync("README.md", "utf8");
const configured = [
  { name: "all", configuration: connectionConfiguration },
  ...[gateway, sampler, judge, aggregator, decider, control, prober].map(({ name, configuration }) => ({ name, configuration })),
].flatMap(({ name, configuration }) => Object.keys(configuration.shape).map((variable) => `${name} ${variable}`));
const tabled = [...readme.matchAll(/^\| ([a-z]+) \| `([A-Z_]+)` \|/gm)].map(([, role, variable]) => `${role} ${variable}`);
const blocks = (language: string) => [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, text]) => text ?? "");

describe("README.md", () => {
  it("lists every variable of every role, and no other", () => {
    assert.deepEqual(tabled.toSorted(), configured.toSorted());
  });

  it("shows a rollout spec that fits the schema", () => {
    const specs = blocks("yaml").map((text) => rolloutSpec.parse(parse(text)));
    assert.ok(specs.length > 0 && specs.every((spec) => spec.route === "support-answer"));
  });

  it("shows the Python consumer that a test runs, word for word", () => {
    assert.deepEqual(blocks("python"), [readFileSync("docs/examples/read_gate_events.py", "utf8")]);
  });

  it("has no gap that was to be filled in", () => {
    assert.doesNotMatch(readme, /@@/);
  });

  it("links to files that exist and names scripts that exist", () => {
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path ?? "");
    assert.ok(links.length > 10);
    assert.deepEqual(
      links.filter((path) => !existsSync(path)),
      [],
    );
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> };
    const named = [...readme.matchAll(/npm run ([a-z:]+)/g)].map(([, script]) => script ?? "");
    assert.deepEqual(
      named.filter((script) => !(script in scripts)),
      [],
    );
  });
});
