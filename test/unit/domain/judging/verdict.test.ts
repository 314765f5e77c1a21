import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { RubricSignal } from "../../../../src/domain/judging/rubric.ts";
import { type Answers, type CriterionAnswer, criterionAnswers, pairVerdict, verdictOf } from "../../../../src/domain/judging/verdict.ts";

const signalOf = (form: RubricSignal["form"], count: number): RubricSignal => ({
  name: "s",
  form,
  criteria: Array.from({ length: count }, (_, i) => ({ id: `c${i}`, question: "?" })),
});
const answersOf = (given: readonly CriterionAnswer[]): Answers => Object.fromEntries(given.map((answer, i) => [`c${i}`, answer]));
const verdict = (form: RubricSignal["form"], ...given: CriterionAnswer[]) => verdictOf(signalOf(form, given.length), answersOf(given));
const given = fc.array(fc.constantFrom(...criterionAnswers), { minLength: 1, maxLength: 6 });

describe("verdicts from criteria", () => {
  it("pass when every criterion that applies is met, and fail on a single one that is not", () => {
    assert.deepEqual(verdict("binary", "yes", "yes"), { status: "scored", value: 1 });
    assert.deepEqual(verdict("binary", "yes", "na"), { status: "scored", value: 1 });
    assert.deepEqual(verdict("binary", "yes", "no", "na"), { status: "scored", value: 0 });
    assert.deepEqual(verdict("binary", "unsure", "no"), { status: "scored", value: 0 }, "one broken criterion decides, whatever the others are");
  });

  it("score the share of criteria met among those that apply", () => {
    assert.deepEqual(verdict("score", "yes", "no", "yes", "na", "yes"), { status: "scored", value: 0.75 });
    assert.deepEqual(verdict("score", "no"), { status: "scored", value: 0 });
  });

  it("abstain when nothing applies or something that applies cannot be decided", () => {
    const abstained = { status: "abstained", value: null };
    assert.deepEqual(verdict("binary", "na", "na"), abstained);
    assert.deepEqual(verdict("binary", "yes", "unsure"), abstained);
    assert.deepEqual(verdict("score", "yes", "no", "unsure"), abstained);
    assert.deepEqual(verdictOf(signalOf("binary", 2), { c0: "yes" }), abstained, "an answer is missing");
  });

  it("have a value in [0, 1] exactly when they are scored, and never get worse when a no becomes a yes", () => {
    fc.assert(
      fc.property(given, fc.constantFrom("binary" as const, "score" as const), fc.nat(5), (answers, form, at) => {
        const before = verdict(form, ...answers);
        assert.equal(before.status === "scored", before.value !== null);
        if (before.value !== null) assert.ok(before.value >= 0 && before.value <= 1);
        const after = verdict(form, ...answers.map((answer, i) => (i === at && answer === "no" ? "yes" : answer)));
        if (before.value !== null && after.value !== null) assert.ok(after.value >= before.value);
      }),
    );
  });

  it("hold for both sides of a pair or for neither", () => {
    const good = { status: "scored", value: 1 } as const;
    const [unsure, failed] = [
      { status: "abstained", value: null },
      { status: "failed", value: null },
    ] as const;
    assert.deepEqual(pairVerdict(good, null), { ...good, twinValue: null });
    assert.deepEqual(pairVerdict(good, { status: "scored", value: 0 }), { status: "scored", value: 1, twinValue: 0 });
    assert.deepEqual(pairVerdict(good, unsure), { status: "abstained", value: null, twinValue: null });
    assert.deepEqual(pairVerdict(unsure, good), { status: "abstained", value: null, twinValue: null });
    assert.deepEqual(pairVerdict(failed, unsure), { status: "failed", value: null, twinValue: null });
    assert.deepEqual(pairVerdict(good, failed), { status: "failed", value: null, twinValue: null });
  });
});
