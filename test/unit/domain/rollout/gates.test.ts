import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { GateOutcome, GateVerdict } from "../../../../src/domain/rollout/gates/gate.ts";
import { lookAt } from "../../../../src/domain/rollout/look.ts";
import { resolve, worse } from "../../../../src/domain/rollout/policy.ts";
import type { Attempt } from "../../../../src/domain/rollout/state.ts";
import { spec, World } from "../../../fixtures/rollout-world.ts";

const verdicts: readonly GateVerdict[] = ["pass", "hold", "freeze", "roll_back"];

/** What the policy does for each pair, confidence first: rows confidence, columns cohort, in the order above. */
const table: readonly (readonly string[])[] = [
  ["advance", "hold", "freeze", "rollback"],
  ["hold", "hold", "freeze", "rollback"],
  ["freeze", "freeze", "freeze", "rollback"],
  ["rollback", "rollback", "rollback", "rollback"],
];

function attemptAfterDwell(): { attempt: Attempt; atMs: number; look: ReturnType<typeof lookAt> } {
  const world = new World();
  world.apply(spec({ shadow: { share: 0 } }));
  world.minutes(2);
  const attempt = world.state.current as Attempt;
  const atMs = attempt.stepSinceMs + 11 * 60_000;
  return { attempt, atMs, look: lookAt(world.state, attempt, world.atMs) };
}

function outcome(gate: "confidence" | "cohort", verdict: GateVerdict): GateOutcome {
  const reasons = verdict === "pass" ? [] : verdict === "hold" ? (["inconclusive"] as const) : (["signal_breach"] as const);
  return { gate, verdict, wantsContraction: false, reasons: [...reasons], about: verdict === "pass" ? [] : [gate], message: `${gate} says ${verdict}` };
}

describe("two gates and the policy over them", () => {
  const { attempt, atMs, look } = attemptAfterDwell();
  verdicts.forEach((confidence, row) => {
    verdicts.forEach((cohort, column) => {
      it(`confidence ${confidence} and cohort ${cohort}: ${table[row]?.[column]}`, () => {
        const outcomes = [outcome("confidence", confidence), outcome("cohort", cohort)];
        const resolution = resolve({ attempt, outcomes, crossing: look.crossing, withoutRoom: null, atMs });
        assert.equal(resolution.kind, table[row]?.[column]);
        // Whoever stops is named.
        const stopping = outcomes.filter(({ verdict }) => verdict === worse(confidence, cohort) && verdict !== "pass").map(({ gate }) => gate);
        for (const gate of stopping) assert.match(resolution.message, new RegExp(gate));
      });
    });
  });

  it("stops need no dwell: both gates passing do not advance before it, a breach acts in the first second", () => {
    const early = attempt.stepSinceMs;
    const passing = [outcome("confidence", "pass"), outcome("cohort", "pass")];
    assert.deepEqual(resolve({ attempt, outcomes: passing, crossing: look.crossing, withoutRoom: null, atMs: early }).reasons, ["min_dwell"]);
    for (const verdict of ["freeze", "roll_back"] as const) {
      const found = resolve({
        attempt,
        outcomes: [outcome("confidence", verdict), outcome("cohort", "pass")],
        crossing: look.crossing,
        withoutRoom: null,
        atMs: early,
      });
      assert.equal(found.kind, verdict === "freeze" ? "freeze" : "rollback");
    }
  });

  it("an evaluation error holds even when both gates pass, but not a rollback", () => {
    const broken = { ...attempt, evaluationError: "a log e-value is NaN" };
    const passing = [outcome("confidence", "pass"), outcome("cohort", "pass")];
    assert.deepEqual(resolve({ attempt: broken, outcomes: passing, crossing: look.crossing, withoutRoom: null, atMs }).reasons, ["evaluation_error"]);
    const worst = [outcome("confidence", "roll_back"), outcome("cohort", "pass")];
    assert.equal(resolve({ attempt: broken, outcomes: worst, crossing: look.crossing, withoutRoom: null, atMs }).kind, "rollback");
  });
});
