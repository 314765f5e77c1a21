import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { run } from "../../../../src/cli/run.ts";
import type { Report } from "../../../../src/domain/backtest/report.ts";
import { fakeCli } from "../fake-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "headgate-backtest-"));
after(() => rmSync(folder, { recursive: true }));
const calls = join(folder, "calls.jsonl");
const rowsOf = (version: string, failing: number) =>
  Array.from({ length: 100 }, (_, i) =>
    JSON.stringify({ model_version: version, prompt_id: `p${i}`, task_pass: i >= failing, latency_ms: 500 + 7 * i, slices: i % 4 === 0 ? ["long"] : [] }),
  );
/** `good` and `equal` fail the same tenth; `bad` fails a third; `other` answered other prompts. */
writeFileSync(
  calls,
  [...rowsOf("good", 10), ...rowsOf("equal", 10), ...rowsOf("bad", 33), JSON.stringify({ model_version: "other", task_pass: true, latency_ms: 3 })].join("\n"),
);

async function backtest(candidate: string, more: readonly string[] = [], files: Readonly<Record<string, string>> = {}) {
  const cli = fakeCli({ files });
  const code = await run(["backtest", "--calls", calls, "--baseline", "good", "--candidate", candidate, ...more], cli);
  return { code, out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
}
/** A rollout in minutes: what takes hours is in test/system. */
const short = ["dwell={min: 10m, minLate: 10m}", "shadow={minDwell: 5m}", "ladder=[50, 100]", "observation=10m"].flatMap((set) => ["--set", set]);

describe("headgate backtest", () => {
  it("rolls a worse candidate back and says why, as JSON", async () => {
    const { code, out, err } = await backtest("bad", ["--json"]);
    const report = JSON.parse(out) as Report;
    assert.deepEqual([code, err, report.outcome, report.phase], [0, "", "rolled_back", "rolled_back"]);
    const [reason] = report.reasons;
    assert.deepEqual([reason?.signal, reason?.slice, reason?.verdict, reason?.limit, reason?.tolerated], ["task_completion", "all", "breach", 0.05, 0.01]);
    assert.ok((reason?.delta ?? 0) > 0.1 && (reason?.n ?? 0) > 100);
    assert.deepEqual(
      report.timeline.map(({ action }) => action),
      ["started", "frozen", "rolled_back"],
    );
    assert.equal(report.requests_exposed, 0, "it never left the shadow");
    assert.ok(report.virtual_hours > 0 && report.virtual_hours < 1);
  });

  it("ends done for an equal candidate, and the same for the same seed", async () => {
    const one = await backtest("equal", ["--json", "--rps", "5", ...short]);
    const report = JSON.parse(one.out) as Report;
    assert.deepEqual([report.outcome, report.timeline.some(({ action }) => action === "frozen")], ["done", false], one.out);
    assert.ok(report.requests_exposed > 0);
    assert.equal((await backtest("equal", ["--json", "--rps", "5", ...short])).out, one.out);
    assert.notEqual((await backtest("equal", ["--json", "--rps", "5", "--seed", "2", ...short])).out, one.out);
  });

  it("takes recorded values for outcomes, which come when they are mature and not in shadow, where a spec measures a signal so", async () => {
    const signals = "signals=[{name: task_completion, source: outcome, maturity: 5m}, latency_p95]";
    const told = async (candidate: string) => JSON.parse((await backtest(candidate, ["--json", "--rps", "5", ...short, "--set", signals])).out) as Report;
    const [bad, equal] = [await told("bad"), await told("equal")];
    assert.deepEqual([bad.outcome, bad.reasons[0]?.signal, bad.requests_exposed > 0], ["rolled_back", "task_completion", true]);
    assert.equal(equal.outcome, "done");
  });

  it("prints an array of passes, then the rates of their outcomes", async () => {
    const [passes = "", rates = ""] = (await backtest("bad", ["--json", "--passes", "3"])).out.split("\n");
    const reports = JSON.parse(passes) as Report[];
    assert.deepEqual(
      reports.map(({ outcome }) => outcome),
      ["rolled_back", "rolled_back", "rolled_back"],
    );
    assert.deepEqual(JSON.parse(rates), { done: 0, rolled_back: 1, frozen: 0, undecided: 0, frozen_ever: 1 });
    assert.match((await backtest("bad", ["--passes", "2"])).out, /^2 rollouts\nrolled_back +100\.0 %|rolled_back/);
  });

  it("tells the end, the evidence and the history to people", async () => {
    const { out } = await backtest("bad");
    assert.match(out, /^rolled back after 0\.\d+ h; 0 requests were answered by the candidate\n/);
    assert.match(out, /task_completion +breach +0\.\d+ +0\.\d+ +0\.2/);
    assert.match(out, /0\.00 h +started +shadow +0 % +bad starts in shadow against good/);
  });

  it("takes a spec that leaves out what the calls say, fields that are set, slices, and a version against itself", async () => {
    const files = { "spec.yaml": "signals: [task_completion, cost_per_request]\nslices: [long]\nshadow: {share: 0}\n" };
    const { code, out, err } = await backtest(
      "good",
      ["--json", "--horizon", "20m", "--spec", "spec.yaml", "--set", "signals.task_completion.margin.limit=0.2"],
      files,
    );
    assert.equal(code, 0, err);
    assert.equal(err, "note: signals that the calls of both versions do not carry are left out: cost_per_request");
    const report = JSON.parse(out) as Report;
    assert.deepEqual([report.outcome, report.phase], ["undecided", "canary"]);
    assert.equal(report.timeline[0]?.message, "good:again starts at 1 % against good");
  });

  it("has no shadow without common prompts, and says so", async () => {
    const { err, out } = await backtest("other", ["--horizon", "5m"]);
    assert.match(err, /^note: no prompt was answered by both versions/);
    assert.match(out, /0\.00 h +started +canary/);
  });

  it("follows recorded arrivals and the order of the file", async () => {
    const arrivals = join(folder, "arrivals.jsonl");
    writeFileSync(arrivals, [0, 50, 120, 500].map((ms) => JSON.stringify({ t_ms: ms })).join("\n"));
    const { code, out } = await backtest("bad", ["--json", "--arrivals", arrivals, "--order", "as-recorded"]);
    assert.deepEqual([code, (JSON.parse(out) as Report).outcome], [0, "rolled_back"]);
    assert.equal((await backtest("bad", ["--json", "--arrivals", arrivals, "--order", "as-recorded", "--seed", "9"])).out.includes('"rolled_back"'), true);
  });

  const wrong: readonly (readonly [what: string, args: readonly string[], message: RegExp])[] = [
    [
      "an unknown version",
      ["--baseline", "nobody"],
      /--baseline nobody: no call is of this version\n {2}fix: name one of bad \(100\), equal \(100\), good \(100\), other \(1\)/,
    ],
    ["a file that is not there", ["--calls", join(folder, "nowhere")], /cannot read .*nowhere/],
    ["an order", ["--order", "sideways"], /--order is sideways/],
    ["two kinds of arrivals", ["--rps", "3", "--arrivals", calls], /exclude each other/],
    ["a rate", ["--rps", "0"], /--rps is 0/],
    ["a seed", ["--seed", "x"], /--seed is x/],
    ["no passes", ["--passes", "0"], /--passes is 0/],
    ["a horizon", ["--horizon", "soon"], /--horizon soon/],
    ["a field of the spec", ["--set", "dwell.min=soon"], /dwell\.min/],
    ["a signal that is set and not there", ["--set", "signals.groundedness.margin.limit=0.1"], /names groundedness/],
    ["an option", ["--colour"], /unknown option/],
  ];
  for (const [what, args, message] of wrong) {
    it(`refuses ${what} with exit code 2`, async () => {
      const { code, err } = await backtest("equal", args);
      assert.equal(code, 2);
      assert.match(err, message);
    });
  }
});
