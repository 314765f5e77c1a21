import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { patternSteps } from "../../../../src/domain/checks/pattern-steps.ts";

describe("the bound of a pattern's steps", () => {
  it("is small for what specs and schemas ask for", () => {
    for (const pattern of [
      "^(positive|negative)$",
      "^\\d{4}-\\d{2}-\\d{2}$",
      "^[A-Z](?:, [A-Z])*$",
      "\\[Yes\\]|\\[No\\]",
      "^[^]]+$",
      "^(?<sign>-?)\\d+$",
      "^\\w+$",
    ]) {
      assert.ok(patternSteps(pattern, false)(200) < 500_000, pattern);
    }
  });

  it("is large for what can take long, however it is written", () => {
    const slow = [
      "(a+)+$",
      "^(a|a)*$",
      "^(a?){60}$",
      "^(?:a|aa)+$",
      "^(?=(a+)+$)",
      "(a*)\\1",
      "^a*a*a*a*a*b",
      "^((a|b)(c|d)){30}$",
      "^\\p{0,60}\\p{0,60}\\p{0,60}\\p{0,60}$",
      "^(?:(|){30}x)*$",
    ];
    for (const pattern of slow) assert.ok(patternSteps(pattern, false)(60) > 500_000, pattern);
    assert.ok(patternSteps("^(?:\\u{61}?){60}$", true)(60) > 500_000);
  });

  it("does not take braces of a character for a count", () => {
    assert.ok(patternSteps("^\\p{L}\\u{1F600}$", true)(60) < 10);
  });

  it("grows with the text", () => {
    const steps = patternSteps("^[^@]+@[^@]+$", false);
    assert.ok(steps(10) < steps(100));
    assert.ok(steps(100) < 500_000 && steps(10_000) > 500_000);
  });
});
