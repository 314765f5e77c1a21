import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { run } from "../../../src/cli/run.ts";
import { fakeCli } from "./fake-cli.ts";
import { view } from "./route-views.ts";

const spec = {
  route: "support-answer",
  baseline: "a",
  candidate: "b",
  versions: { b: { upstream: "u", model: "m" } },
  signals: ["schema_validity", "task_completion", "error_rate"],
  judge: { rubric: "task@1", budget: "120/min" },
};
const files = { "spec.yaml": JSON.stringify(spec) };

const window = (over: object) => ({
  route: "support-answer",
  rollout: "",
  attempt: 0,
  version: "a",
  arm: "none",
  exposure: "served",
  slice: "all",
  signal: "error_rate",
  evaluatorVersion: "",
  kind: "binary",
  fromMs: 1_000_000,
  toMs: 1_900_000,
  records: 2_700,
  sampled: 2_700,
  scored: 2_700,
  abstained: 0,
  failed: 0,
  mean: 0.9,
  standardError: 0.005,
  p50: null,
  p90: null,
  p95: null,
  p99: null,
  coverage: 1,
  watermarkMs: 1_900_000,
  ...over,
});

describe("headgate plan", () => {
  it("shows each step with its slowest signal, and which volume was used", async () => {
    const cli = fakeCli({ files });
    assert.equal(await run(["plan", "spec.yaml", "--rps", "3", "--effect", "task_completion=0.1", "--judge-cost", "0.002"], cli), 0);
    const text = cli.lines.out.join("\n");
    assert.match(text, /Volume: +3 requests\/s, stated with --rps/);
    assert.match(text, /Judge: .*judgements, \$/);
    assert.match(text, /├──# 1 % +✖ 36 h/);
    assert.match(text, /schema_validity .* 24 h .*slowest, its floor/);
    assert.match(text, /task_completion 10 points worse, 1 %: frozen after/);
    const assumed = fakeCli({ files });
    assert.equal(await run(["plan", "spec.yaml"], assumed), 0);
    assert.match(assumed.lines.out.join("\n"), /10 requests\/s, assumed/);
  });

  it("takes volume and baseline from the route's windows", async () => {
    const windows = [window({}), window({ signal: "schema_validity", mean: 0.999 }), window({ arm: "candidate", version: "b", toMs: 900_000, fromMs: 0 })];
    const cli = fakeCli({ files, answer: () => ({ status: 200, body: view({ windows: windows as never }) }) });
    assert.equal(await run(["plan", "spec.yaml", "--from-topics", "--json"], cli), 0);
    const { volume, forecast } = JSON.parse(cli.lines.out[0] ?? "");
    assert.equal(volume.callsPerMinute, 180, "the old window does not count");
    assert.match(volume.source, /observed.*schema_validity, error_rate/);
    assert.equal(forecast.steps.length, 7);
    const none = fakeCli({ files, answer: () => ({ status: 200, body: view({ windows: [] }) }) });
    assert.equal(await run(["plan", "spec.yaml", "--from-topics"], none), 2);
  });

  it("refuses what is no volume, harm, price or spec", async () => {
    for (const wrong of [
      ["--rps", "0"],
      ["--rps", "x"],
      ["--rps", "1", "--from-topics"],
      ["--effect", "nothing=1"],
      ["--effect", "error_rate=x"],
      ["--judge-cost", "a"],
      ["--set", "ladder=[5, 1]"],
    ]) {
      assert.equal(await run(["plan", "spec.yaml", ...wrong], fakeCli({ files })), 2, wrong.join(" "));
    }
  });
});

describe("headgate rollout lint with a volume", () => {
  it("refuses a ladder that cannot decide and says what would; without a volume it says so", async () => {
    const cli = fakeCli({ files });
    assert.equal(await run(["rollout", "lint", "-f", "spec.yaml", "--rps", "3"], cli), 2);
    assert.match(cli.lines.out[0] ?? "", /ladder\[0\]: is 1 %, .*start at 2 %/);
    const fixed = fakeCli({ files });
    assert.equal(await run(["rollout", "lint", "-f", "spec.yaml", "--rps", "3", "--set", "ladder=[10, 50, 100]"], fixed), 0);
    const narrow = fakeCli({ files });
    assert.equal(await run(["rollout", "lint", "-f", "spec.yaml", "--rps", "50", "--set", "signals.task_completion.margin.limit=0.005"], narrow), 2);
    assert.match(narrow.lines.out[0] ?? "", /ladder\[0\]: is 1 %, .*widen the limit of task_completion/);
    const unknown = fakeCli({ files });
    assert.equal(await run(["rollout", "lint", "-f", "spec.yaml"], unknown), 0);
    assert.equal(await run(["lint", "spec.yaml", "--rps", "3"], unknown), 2, "the short form takes the spec as plan does");
    assert.match(unknown.lines.err.join("\n"), /no volume was given/);
  });
});
