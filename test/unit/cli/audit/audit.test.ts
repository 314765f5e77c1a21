import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { auditSvg } from "../../../../src/cli/audit/svg.ts";
import { auditTable } from "../../../../src/cli/audit/table.ts";
import { type Audited, findings, showHours, showNoticing, showShare } from "../../../../src/cli/audit/words.ts";
import { run } from "../../../../src/cli/run.ts";
import { type AuditResult, type ContenderResult, shareOf } from "../../../../src/domain/audit/summary.ts";
import { fakeCli } from "../fake-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "headgate-audit-cli-"));
after(() => rmSync(folder, { recursive: true }));
const path = (name: string) => join(folder, name);
const rows = Array.from({ length: 200 }, (_, i) =>
  JSON.stringify({ model_version: i < 150 ? "a" : "b", latency_ms: 300 + ((i * 13) % 200), schema_valid: i % 40 !== 0 }),
);
writeFileSync(path("calls.jsonl"), rows.join("\n"));
const audit = async (...args: readonly string[]) => {
  const cli = fakeCli({});
  const code = await run(["audit", "--calls", path("calls.jsonl"), ...args], cli);
  return { code, out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
};

const noticed = (medianHours: number | null, count = 10): ContenderResult["noticing"][number] => ({
  effect: "latency",
  isLookedAt: true,
  stopped: shareOf(count, 10),
  medianHours,
  p90Hours: medianHours,
  medianCalls: medianHours === null ? null : 720 * medianHours,
});
const contender = (kind: ContenderResult["kind"], name: string, count: number, hours: number | null): ContenderResult => ({
  kind,
  name,
  reading: `reading of ${name}`,
  identical: shareOf(count, 1_000),
  noticing: [noticed(hours)],
});
const result: AuditResult = {
  settings: { callsPerSecond: null, share: 0.1, hours: 24, seed: 1 },
  callsPerSecond: 2,
  rows: 200,
  rollouts: { identical: 1_000, perEffect: 200 },
  effects: [{ name: "latency", title: "P95 +15 %", clause: "P95 latency was 15 % higher" }],
  contenders: [
    contender("own", "latency_p95 > 1.1x & <b>", 932, 0.25),
    contender("ready_made", "Kayenta-style", 12, null),
    contender("headgate", "headgate freezes", 1, 4.1),
    contender("headgate", "headgate rolls back", 0, 5),
  ],
  thawed: shareOf(1, 1),
  limits: ["latency_p95 +10 %"],
  alpha: 0.05,
};
const audited: Audited = { result, model: "gpt-x", usersPerCall: null };

describe("headgate audit", () => {
  it("says in three sentences what was found, the least flattering column first", () => {
    assert.deepEqual(findings(audited), [
      "Your rule `latency_p95 > 1.1x & <b>` would have stopped 93.2 % of 1,000 rollouts of a model identical to yours within 24 hours.",
      "headgate froze 0.1 % of the same rollouts (it promises at most 5 %) and rolled back none.",
      "When P95 latency was 15 % higher, headgate froze after 4.1 h (median) and 2,952 calls; your rule stopped after 15 min, but it also stops what is not worse.",
    ]);
    const [, usual] = result.contenders;
    const without = findings({ ...audited, result: { ...result, contenders: [usual, ...result.contenders.slice(2)].filter((found) => found !== undefined) } });
    assert.match(without[0] ?? "", /The usual rule "Kayenta-style" would have stopped 1.2 %/);
    assert.match(without[2] ?? "", /; that rule did not notice in half of the rollouts within 24 hours\.$/);
  });

  it("shows figures with their error, and what is not known as such", () => {
    assert.deepEqual([showHours(0.3), showHours(1.54), showHours(13.6)], ["18 min", "1.5 h", "14 h"]);
    assert.deepEqual(
      [showShare(shareOf(932, 1_000)), showShare(shareOf(0, 1_000)), showShare(shareOf(1_000, 1_000))],
      ["93.2 % ± 1.6", "0 % (< 0.4)", "100 % (> 99.6)"],
    );
    assert.equal(showNoticing(noticed(1.5), audited), "1.5 h · 1,080 calls");
    assert.equal(showNoticing(noticed(1.5), { ...audited, usersPerCall: 0.1 }), "1.5 h · 108 users");
    assert.equal(showNoticing(noticed(1.5), { ...audited, usersPerCall: 1e-6 }), "1.5 h · 1 user");
    assert.equal(showNoticing(noticed(null, 3), audited), "> 24 h (30 %)");
    assert.equal(showNoticing({ ...noticed(1), isLookedAt: false }, audited), "–");
  });

  it("draws one table: rules, the usual ones marked as re-implementations, and how each was read", () => {
    const table = auditTable(audited, { isColored: false }).join("\n");
    assert.match(table, /RULE +STOPS AN IDENTICAL MODEL +NOTICES P95 \+15 %/);
    assert.match(table, /Kayenta-style ¹ +1.2 % ± 0.7 +> 24 h/);
    assert.match(table, /¹ a re-implementation of the rule, not the product/);
    assert.match(table, /limits of the ready-made rules: latency_p95 \+10 %/);
    assert.match(table, /headgate freezes: reading of headgate freezes/);
  });

  it("draws a picture that needs nothing else and reads without being seen, in light and in dark", () => {
    const svg = auditSvg(audited);
    assert.match(svg, /^<svg xmlns="[^"]+" viewBox="0 0 1200 \d+" width="1200" height="\d+" role="img" aria-labelledby="t d">/);
    assert.match(svg, /<title id="t">Would this gate stop a model identical to yours\?<\/title>/);
    assert.match(svg, /<desc id="d">Your rule `latency_p95 &gt; 1.1x &amp; &lt;b&gt;` would have stopped 93.2 %/);
    assert.match(svg, /prefers-color-scheme: dark/);
    assert.doesNotMatch(svg, /<script|href|url\(|@import|@font-face|<b>/);
    const tags = [...svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)];
    const open: string[] = [];
    for (const [, close, name = "", self] of tags) {
      if (close === "/") assert.equal(open.pop(), name);
      else if (self !== "/") open.push(name);
    }
    assert.deepEqual(open, []);
  });

  it("runs on a file alone, says what it read and assumed, and writes figures and picture", async () => {
    const short = ["--rollouts", "10", "--hours", "1"];
    const { code, out, err } = await audit(...short, "--rule", "latency_p95 > 1.5x", "--json", path("a.json"), "--svg", path("a.svg"));
    assert.equal(code, 0, err);
    assert.match(out, /^Your rule `latency_p95 > 1.5x` would have stopped/);
    assert.match(err, /headgate's normalised calls, 200 calls\ndrawn from 150 calls of a; --model chooses another\ntraffic: 2 calls\/s, steady \(assumed/);
    const written = JSON.parse(readFileSync(path("a.json"), "utf8"));
    assert.deepEqual([written.model, written.rollouts.identical, written.findings.length, written.effects.length], ["a", 10, 3, 2]);
    assert.match(readFileSync(path("a.svg"), "utf8"), /<svg/);
    const other = await audit(...short, "--model", "b", "--json", "-");
    assert.equal(JSON.parse(other.out).rows, 50);
  });

  it("refuses what it cannot read before it simulates, with the column that is wrong", async () => {
    const refused: readonly [args: readonly string[], part: RegExp][] = [
      [["--rule", "latency_p95 > 2000"], /--rule, column 15: 2000 needs a unit.*\n {2}latency_p95 > 2000\n {2} {14}\^/],
      [["--rule", "ttft_p95 > 2s"], /fewer than 30 of the 150 calls carry what ttft_p95 needs \(read as headgate's normalised calls\)/],
      [["--share", "0"], /--share 0 is not a number from 0.1 to 99.9/],
      [["--hours", "soon"], /--hours soon/],
      [["--model", "c"], /--model c: no call is of it\n {2}fix: name one of a, b/],
      [["--map", "x"], /--map x is not understood/],
      [["--rollouts", "10", "--hours", "0.25", "--svg", "/nowhere/a.svg"], /cannot be written/],
    ];
    for (const [args, part] of refused) {
      const { code, err } = await audit(...args);
      assert.deepEqual([code, part.test(err)], [2, true], err);
    }
  });
});
