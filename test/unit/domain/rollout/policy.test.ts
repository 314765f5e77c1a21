import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { GateOutcome, GateVerdict } from "../../../../src/domain/rollout/gates/gate.ts";
import { blindLook } from "../../../../src/domain/rollout/look.ts";
import { type PolicyInput, resolve } from "../../../../src/domain/rollout/policy.ts";
import type { Reason } from "../../../../src/domain/rollout/reasons.ts";
import type { Attempt } from "../../../../src/domain/rollout/state.ts";
import { spec, World } from "../../../fixtures/rollout-world.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const verdicts: readonly GateVerdict[] = ["pass", "hold", "freeze", "roll_back"];

function canary(over: Parameters<typeof spec>[0] = {}): Attempt {
  const world = new World();
  world.apply(spec({ shadow: { share: 0 }, ...over }));
  return world.state.current as Attempt;
}

function outcome(gate: "confidence" | "cohort", verdict: GateVerdict, reason: Reason = verdict === "hold" ? "inconclusive" : "signal_breach"): GateOutcome {
  return {
    gate,
    verdict,
    wantsContraction: false,
    reasons: verdict === "pass" ? [] : [reason],
    about: verdict === "pass" ? [] : [gate],
    message: `${gate} ${verdict}`,
  };
}

const pair = (confidence: GateVerdict, cohort: GateVerdict) => [outcome("confidence", confidence), outcome("cohort", cohort)];
const base = canary();

function at(over: Partial<PolicyInput> & { readonly with?: Partial<Attempt>; readonly afterMs?: number; readonly crossedMinus?: boolean } = {}): PolicyInput {
  const attempt = { ...(over.attempt ?? base), ...over.with };
  return {
    attempt,
    outcomes: over.outcomes ?? pair("pass", "pass"),
    crossing: { ...blindLook.crossing, isCrossedMinus: over.crossedMinus ?? false },
    atMs: attempt.stepSinceMs + (over.afterMs ?? 11 * MINUTE),
    withoutRoom: over.withoutRoom ?? null,
  };
}

const kindOf = (input: PolicyInput) => resolve(input).kind;
const reasonsOf = (input: PolicyInput) => resolve(input).reasons.join();

/** What each condition makes of a pair of gates whose worse verdict is given. */
const conditions: readonly (readonly [string, Parameters<typeof at>[0], Readonly<Record<GateVerdict, string>>])[] = [
  ["nothing else", {}, { pass: "advance", hold: "hold", freeze: "freeze", roll_back: "rollback" }],
  ["before its dwell", { afterMs: MINUTE }, { pass: "hold", hold: "hold", freeze: "freeze", roll_back: "rollback" }],
  ["paused", { with: { isPaused: true } }, { pass: "hold", hold: "hold", freeze: "freeze", roll_back: "rollback" }],
  ["without room", { withoutRoom: "no room" }, { pass: "hold", hold: "hold", freeze: "freeze", roll_back: "rollback" }],
  ["with broken evidence", { with: { evaluationError: "NaN" } }, { pass: "hold", hold: "hold", freeze: "hold", roll_back: "rollback" }],
  [
    "frozen by a person",
    { with: { frozen: { cause: "operator", sinceMs: base.stepSinceMs, about: "ann" } } },
    { pass: "hold", hold: "hold", freeze: "hold", roll_back: "rollback" },
  ],
  [
    "frozen for silence",
    { with: { frozen: { cause: "silence", sinceMs: base.stepSinceMs, about: "calls" } } },
    { pass: "thaw", hold: "thaw", freeze: "freeze", roll_back: "rollback" },
  ],
  [
    "frozen by a breach a minute ago",
    { with: { frozen: { cause: "breach", sinceMs: base.stepSinceMs + 10 * MINUTE, about: "confidence" } } },
    { pass: "hold", hold: "hold", freeze: "hold", roll_back: "rollback" },
  ],
  [
    "frozen by a breach 15 minutes ago that no longer crosses",
    { afterMs: 15 * MINUTE, with: { frozen: { cause: "breach", sinceMs: base.stepSinceMs, about: "confidence" } } },
    { pass: "thaw", hold: "thaw", freeze: "thaw", roll_back: "rollback" },
  ],
  [
    "frozen by a breach hours ago that still crosses",
    { afterMs: 9 * HOUR, crossedMinus: true, with: { frozen: { cause: "breach", sinceMs: base.stepSinceMs, about: "confidence" } } },
    { pass: "hold", hold: "hold", freeze: "hold", roll_back: "rollback" },
  ],
];

const order = (verdict: GateVerdict) => verdicts.indexOf(verdict);

describe("the policy over all pairs of gate verdicts", () => {
  for (const [name, over, expected] of conditions) {
    it(`${name}: the worse verdict decides, whichever gate gives it`, () => {
      for (const confidence of verdicts) {
        for (const cohort of verdicts) {
          const worse = order(confidence) >= order(cohort) ? confidence : cohort;
          assert.equal(kindOf(at({ ...over, outcomes: pair(confidence, cohort) })), expected[worse], `${confidence}, ${cohort}`);
        }
      }
    });
  }

  it("goes up only when nothing speaks against it, whatever else is the case", () => {
    const anything = fc.record({
      confidence: fc.constantFrom(...verdicts),
      cohort: fc.constantFrom(...verdicts),
      afterMs: fc.integer({ min: 0, max: 60 * HOUR }),
      isPaused: fc.boolean(),
      evaluationError: fc.constantFrom(null, null, "NaN"),
      frozen: fc.constantFrom(null, null, ...(["breach", "silence", "operator"] as const)),
      withoutRoom: fc.constantFrom(null, "no room"),
      needsApproval: fc.boolean(),
      isApproved: fc.boolean(),
      isWindowOpen: fc.boolean(),
    });
    fc.assert(
      fc.property(anything, (case_) => {
        const { confidence, cohort, afterMs, withoutRoom, isPaused, evaluationError } = case_;
        const window = { fromMs: base.stepSinceMs, toMs: base.stepSinceMs + 99 * HOUR, reason: "" };
        const plan = { ...base.plan, approvals: case_.needsApproval ? [0] : [], freezeWindows: case_.isWindowOpen ? [window] : [] };
        const frozen = case_.frozen === null ? null : { cause: case_.frozen, sinceMs: base.stepSinceMs, about: "x" };
        const attempt = { ...base, plan, isPaused, evaluationError, frozen, approved: case_.isApproved ? { "0": "ann" } : {} };
        const isUp = ["advance", "done"].includes(kindOf(at({ attempt, afterMs, withoutRoom, outcomes: pair(confidence, cohort) })));
        const isFree =
          confidence === "pass" &&
          cohort === "pass" &&
          afterMs >= 10 * MINUTE &&
          !isPaused &&
          evaluationError === null &&
          frozen === null &&
          withoutRoom === null;
        assert.equal(isUp, isFree && (!case_.needsApproval || case_.isApproved) && !case_.isWindowOpen);
      }),
      { numRuns: 500 },
    );
  });
});

describe("what holds a step is said in the order of DESIGN.md section 6", () => {
  const approving = { ...base, plan: { ...base.plan, approvals: [0], freezeWindows: [{ fromMs: 0, toMs: base.stepSinceMs + HOUR, reason: "" }] } };

  it("dwell, then what the gates miss, then the approval, the freeze window, the shared cap", () => {
    const reasons = (over: Parameters<typeof at>[0]) => reasonsOf(at({ attempt: approving, withoutRoom: "none", ...over }));
    assert.equal(reasons({ afterMs: MINUTE, outcomes: pair("hold", "pass") }), "min_dwell");
    assert.equal(reasons({ outcomes: pair("hold", "pass") }), "inconclusive");
    assert.equal(reasons({}), "awaiting_approval");
    assert.equal(reasons({ with: { approved: { "0": "ann" } } }), "freeze_window");
    assert.equal(reasons({ with: { approved: { "0": "ann" } }, afterMs: HOUR }), "exposure_cap");
  });

  it("but a split that is not as planned is told during the dwell already", () => {
    const outcomes = [outcome("confidence", "pass"), outcome("cohort", "hold", "split_mismatch")];
    assert.equal(reasonsOf(at({ afterMs: MINUTE, outcomes })), "min_dwell,split_mismatch");
    assert.equal(reasonsOf(at({ outcomes })), "split_mismatch");
  });
});

describe("a step that is undecided", () => {
  const hold = pair("hold", "pass");
  const second = { ...base, plan: canary({ dwell: { min: "10m", minLate: "10m", max: "24h" } }).plan, step: 1 };

  it("is told at its longest dwell, and steps down 24 hours later", () => {
    const found = (afterMs: number) => resolve(at({ attempt: second, afterMs, outcomes: hold }));
    assert.deepEqual(found(24 * HOUR - 1).reasons, ["inconclusive"]);
    assert.deepEqual([found(24 * HOUR).kind, found(24 * HOUR).reasons], ["hold", ["inconclusive", "max_dwell"]]);
    assert.equal(found(48 * HOUR - 1).kind, "hold");
    assert.deepEqual([found(48 * HOUR).kind, found(48 * HOUR).reasons], ["contract", ["inconclusive", "max_dwell"]]);
  });

  it("counts those 24 hours from a shorter or longer dwell that the spec gives, and another time when it gives one", () => {
    const attempt = { ...second, plan: canary({ dwell: { min: "10m", minLate: "10m", max: "2h", undecided: "3h" } }).plan };
    assert.equal(kindOf(at({ attempt, afterMs: 5 * HOUR - 1, outcomes: hold })), "hold");
    assert.equal(kindOf(at({ attempt, afterMs: 5 * HOUR, outcomes: hold })), "contract");
  });

  it("is only held at the first step and in shadow: there is nothing to step down to", () => {
    for (const attempt of [base, { ...base, phase: "shadow" as const, step: -1 }]) {
      assert.deepEqual(reasonsOf(at({ attempt, afterMs: 99 * HOUR, outcomes: hold })), "inconclusive,max_dwell");
    }
  });
});

describe("a contraction for a breach", () => {
  const contracting = [{ ...outcome("cohort", "freeze"), wantsContraction: true }];
  const second = { ...base, step: 1 };

  it("steps down at once, and again only after the time in which a breach is sustained", () => {
    assert.equal(kindOf(at({ attempt: second, afterMs: 0, outcomes: contracting })), "contract");
    const lately = { ...second, contractedAtMs: base.stepSinceMs, frozen: { cause: "breach" as const, sinceMs: base.stepSinceMs, about: "cohort" } };
    assert.equal(kindOf(at({ attempt: lately, afterMs: 14 * MINUTE, crossedMinus: true, outcomes: contracting })), "hold");
    assert.equal(kindOf(at({ attempt: lately, afterMs: 15 * MINUTE, crossedMinus: true, outcomes: contracting })), "contract");
  });

  it("is a freeze where there is no step below", () => {
    assert.equal(kindOf(at({ outcomes: contracting })), "freeze");
  });

  it("gives way to a rollback that the other gate asks for", () => {
    assert.equal(kindOf(at({ attempt: second, outcomes: [...contracting, outcome("confidence", "roll_back")] })), "rollback");
  });
});
