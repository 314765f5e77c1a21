import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { run } from "../../src/cli/run.ts";
import type { Report } from "../../src/domain/backtest/report.ts";
import { fakeCli } from "../unit/cli/fake-cli.ts";

/** Recorded answers of real models lie beside the project, not in it. */
const directory = resolve(import.meta.dirname, "../../../shared/data");
const skip = existsSync(directory) ? false : `needs the recorded calls in ${directory}`;
const prime = "llmdrift_prime_gpt4.jsonl";
const gsm = "zeroeval_gsm_gpt4o.jsonl";
const SEEDS = 20;

async function rollouts(file: string, baseline: string, candidate: string, ...more: readonly string[]): Promise<readonly Report[]> {
  const cli = fakeCli({});
  const args = ["backtest", "--calls", join(directory, file), "--baseline", baseline, "--candidate", candidate, "--json", "--passes", String(SEEDS), ...more];
  assert.equal(await run(args, cli), 0, cli.lines.err.join("\n"));
  return JSON.parse(cli.lines.out.join("\n").split("\n")[0] ?? "") as Report[];
}
const outcomes = (reports: readonly Report[]) => reports.map(({ outcome }) => outcome);
const all = (outcome: Report["outcome"]) => new Array<Report["outcome"]>(SEEDS).fill(outcome);
const stopped = (reports: readonly Report[]) =>
  reports.filter(({ timeline }) => timeline.some(({ action }) => action === "frozen" || action === "rolled_back"));

/** With the spec that is made of what the calls carry, unless said otherwise. All seeds are fixed. */
describe("headgate backtest on recorded answers of real models", { skip }, () => {
  it("rolls gpt-4 of June 2023 back on prime numbers, before a user sees it, for 20 seeds", async () => {
    const reports = await rollouts(prime, "gpt-4-0314", "gpt-4-0613");
    assert.deepEqual(outcomes(reports), all("rolled_back"));
    assert.ok(reports.every(({ requests_exposed: exposed }) => exposed === 0));
  });

  it("rolls gpt-4o-mini back on code, for 20 seeds", async () => {
    assert.deepEqual(outcomes(await rollouts("zeroeval_crux_gpt4o.jsonl", "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18")), all("rolled_back"));
  });

  it("ends done with gpt-4o of August 2024 on mathematics, whose baseline is below the floor, for 20 seeds (observation of 2 h)", async () => {
    const reports = await rollouts(gsm, "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "--set", "observation=2h");
    assert.deepEqual(outcomes(reports), all("done"));
    assert.ok(reports.every(({ reasons }) => reasons.some(({ signal, verdict }) => signal === "schema_validity" && verdict === "baseline_below_floor")));
  });

  it("ends done with it after the whole 72 h of observation", async () => {
    assert.deepEqual(outcomes(await rollouts(gsm, "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "--passes", "1")), ["done"]);
  });

  const identical: readonly (readonly [file: string, version: string])[] = [
    [prime, "gpt-4-0314"],
    [gsm, "gpt-4o-2024-05-13"],
  ];
  for (const [file, version] of identical) {
    it(`stops ${version} against itself for at most 1 of 20 seeds in 6 h (P(fail) < 0.27 if the promise of 5 % were just kept)`, async () => {
      assert.ok(stopped(await rollouts(file, version, version, "--horizon", "6h")).length <= 1);
    });
  }
});
