import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { reasons } from "../../../../src/domain/rollout/reasons.ts";
import { normaliseSpec } from "../../../../src/domain/rollout/spec/normalise.ts";
import { presets } from "../../../../src/domain/rollout/spec/presets.ts";
import { rolloutSpec, signalSpec } from "../../../../topics/rollout-spec.ts";
import { taskRubric } from "../../../fixtures/rollout-world.ts";

const page = (name: string) => readFileSync(new URL(`../../../../docs/${name}`, import.meta.url), "utf8");

describe("docs/runbook.md", () => {
  const runbook = page("runbook.md");
  const [ofReasons = "", ofMetrics = ""] = runbook.split("\n# Metrics ");
  const titles = (text: string) => [...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title ?? "");

  it("has exactly one section for each reason of the code, and none besides", () => {
    assert.deepEqual(titles(ofReasons).toSorted(), [...reasons].sort());
  });

  it("has sections for metrics that there are", () => {
    assert.notEqual(titles(ofMetrics).length, 0);
    const known = page("gateway.md") + page("install.md");
    for (const metric of titles(ofMetrics)) assert.match(known, new RegExp(`\`${metric}[{\`]`), metric);
  });

  it("says of each what it means, what users feel, and the one command", () => {
    for (const section of runbook.split(/^## /m).slice(1)) {
      const [title = "", ...lines] = section.split("\n");
      assert.ok((lines[0] ?? "").length > 20, `${title} says what it means`);
      assert.match(section, /^\*\*Users:\*\* \S/m, title);
      assert.match(section, /^\*\*Command:\*\* \S/m, title);
    }
  });
});

describe("docs/rollout-spec.md", () => {
  const text = page("rollout-spec.md");
  const named = new Set([...text.matchAll(/`([A-Za-z_]\w*)[`.:]/g)].map(([, name]) => name));

  it("names every field of a spec and of a signal, and every preset", () => {
    const fields = [...Object.keys(rolloutSpec.shape), ...Object.keys(signalSpec.shape).filter((name) => name !== "name"), ...Object.keys(presets)];
    assert.deepEqual(
      fields.filter((name) => !named.has(name)),
      [],
    );
  });

  it("shows specs that parse and can be run", () => {
    const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => parse(yaml ?? "") as object);
    assert.equal(blocks.length, 3);
    const [whole, ...signals] = blocks;
    for (const spec of [whole, ...signals.map((each) => ({ ...whole, ...each }))])
      assert.equal(normaliseSpec(rolloutSpec.parse(spec), taskRubric).kind, "plan");
  });
});
