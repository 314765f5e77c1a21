import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { detectionSection, falseStops, outageSection, type Settings } from "./detect/gate-sections.ts";
import { rampSection, ruleSection, stepSection } from "./detect/ramp-sections.ts";
import { type Section, type Target, targetsTable } from "./detect/report.ts";

/**
 * Monte Carlo of headgate's decisions (issue 4, statistics.md section 3): how often and how fast each kind of candidate is stopped or
 * let pass, beside other rules. `npm run bench:detect` writes its tables into the document below;
 * `-- --only detection,outages` runs and writes parts, `-- --quick` a twentieth of the runs and writes nothing, `-- --seed N`
 * other dice.
 */
const DOCUMENT = new URL("../../docs/decisions/detection-figures.md", import.meta.url);
const sections: Readonly<Record<string, (settings: Settings) => Section>> = {
  "false-stops": falseStops,
  detection: detectionSection,
  outages: outageSection,
  ramp: rampSection,
  "false-advance": stepSection,
  rules: ruleSection,
};
const QUICK = 0.05;

/** Replaces what stands between the markers of a part. */
function withPart(document: string, name: string, text: string): string {
  const [begin, end] = [`<!-- bench:detect ${name} -->`, `<!-- /bench:detect ${name} -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${DOCUMENT.pathname} has no part ${name}: add the lines ${begin} and ${end}`);
  return `${document.slice(0, from + begin.length)}\n\n${text}\n\n${document.slice(to)}`;
}

function main(): void {
  const { values } = parseArgs({ options: { quick: { type: "boolean" }, only: { type: "string" }, seed: { type: "string" } } });
  const names = values.only === undefined ? Object.keys(sections) : values.only.split(",");
  const unknown = names.filter((name) => !Object.hasOwn(sections, name));
  const seed = Number(values.seed ?? 2025);
  if (unknown.length > 0 || !Number.isInteger(seed)) {
    console.error(
      unknown.length > 0 ? `--only knows ${Object.keys(sections).join(", ")}; not ${unknown.join(", ")}` : `--seed ${values.seed} is not a whole number`,
    );
    process.exitCode = 2;
    return;
  }
  const startedMs = performance.now();
  const sinceStart = () => `${((performance.now() - startedMs) / 1000).toFixed(0)} s`;
  const settings: Settings = { seed, scale: values.quick === true ? QUICK : 1, progress: (what) => console.error(`${sinceStart()} ${what}`) };
  const all: Target[] = [];
  for (const name of names) {
    const beganMs = performance.now();
    const { markdown, targets } = sections[name]?.(settings) ?? { markdown: "", targets: [] };
    const took = `Seed ${seed}, ${((performance.now() - beganMs) / 1000).toFixed(0)} s.`;
    const text = `${markdown}\n\n${targets.length === 0 ? "" : `${targetsTable(targets)}\n\n`}${took}`;
    console.log(`## ${name}\n\n${text}\n`);
    all.push(...targets);
    if (values.quick !== true) writeFileSync(DOCUMENT, withPart(readFileSync(DOCUMENT, "utf8"), name, text));
  }
  const missed = all.filter(({ isMet }) => !isMet);
  console.log(`${all.length - missed.length} of ${all.length} targets met in ${sinceStart()}`);
  for (const { what, found } of missed) console.log(`missed: ${what}: ${found}`);
}

main();
