import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runGates } from "../bench/detect/gates.ts";
import { atEdge, harmful, identical, models } from "../bench/detect/traffic.ts";

/**
 * A small Monte Carlo of the decision rules; the large one is `npm run bench:detect`. The dice are seeded, so a test fails always or
 * never; its name says for how many of all seeds it would fail although the rules are right.
 */
const [, model] = models;
assert.ok(model !== undefined && model.name === "B");

const isStopped = (minute: number) => Number.isFinite(minute);

describe("decisions on simulated traffic", () => {
  it("freeze an equally good candidate in at most 10 of 60 rollouts, and never roll it back (wrong for fewer than 1 seed in 50, were each rollout rolled back as rarely as simulated)", () => {
    const runs = runGates(model, identical, { runs: 60, seed: 11, minutes: 240 });
    assert.ok(runs.filter(({ freeze }) => isStopped(freeze)).length <= 10);
    assert.equal(runs.filter(({ rollback }) => isStopped(rollback)).length, 0);
  });

  it("freeze a candidate at the edge of every tolerated margin in at most 10 of 60 rollouts (wrong for fewer than 2 seeds in 10,000 at a chance of 5 %)", () => {
    const runs = runGates(model, atEdge, { runs: 60, seed: 12, minutes: 240 });
    assert.ok(runs.filter(({ freeze }) => isStopped(freeze)).length <= 10);
  });

  it("stop a candidate that fails ten points more within four hours in 29 of 30 rollouts, half of them within 40 minutes (wrong for fewer than 1 seed in 100)", () => {
    const scenario = harmful.find(({ name }) => name === "task −10 pt");
    assert.ok(scenario !== undefined);
    const minutes = runGates(model, scenario, { runs: 30, seed: 13, minutes: 240 }).map(({ rollback, freeze }) => ({ rollback, freeze }));
    assert.ok(minutes.filter(({ rollback }) => isStopped(rollback)).length >= 29);
    assert.ok(minutes.filter(({ freeze }) => freeze <= 40).length >= 15);
    assert.ok(minutes.every(({ freeze, rollback }) => freeze <= rollback));
  });
});
