import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fill } from "../../../../src/dev/demo/judge-endpoint.ts";
import { builtinRubrics } from "../../../../src/domain/judging/builtin.ts";
import type { Rubric } from "../../../../src/domain/judging/rubric.ts";
import { verdictOf } from "../../../../src/domain/judging/verdict.ts";
import { parseRubric } from "../../../../src/stages/3-judge/rubric-file.ts";
import { verdictForm } from "../../../../src/stages/3-judge/verdict-form.ts";

const rubric: Rubric = {
  name: "two@1",
  instructions: "Judge.",
  context: "none",
  signals: [
    { name: "tone", form: "binary", criteria: [{ id: "kind", question: "Is it kind?" }] },
    // Names that every object answers to.
    { name: "constructor", form: "score", criteria: [{ id: "toString", question: "Is it?" }] },
  ],
};
const tone = { evidence: "e", reasoning: "about the tone", criteria: { kind: "no" } };
const other = { evidence: "e", reasoning: "about the other", criteria: { toString: "na" } };

describe("the form that a judge fills in", () => {
  it("keeps the reasoning and the answers of each signal apart", () => {
    const read = verdictForm(rubric).read(JSON.stringify({ tone, constructor: other }));
    assert.ok(read.kind === "verdict");
    assert.deepEqual(JSON.parse(JSON.stringify(read.signals)), {
      tone: { evidence: "e", reasoning: "about the tone", criteria: { kind: "no" } },
      constructor: { evidence: "e", reasoning: "about the other", criteria: { toString: "na" } },
    });
  });

  it("is made once per rubric: making it costs a thousand times what reading with it does", () => {
    assert.equal(verdictForm(rubric), verdictForm(rubric));
    assert.notEqual(verdictForm(rubric), verdictForm({ ...rubric }));
  });

  it("is strict all the way down, as providers demand: every field required, none besides", () => {
    const visit = (schema: { type?: unknown; properties?: Record<string, object>; required?: unknown; additionalProperties?: unknown }): void => {
      if (schema.type !== "object") return;
      assert.deepEqual([schema.required, schema.additionalProperties], [Object.keys(schema.properties ?? {}), false]);
      for (const field of Object.values(schema.properties ?? {})) visit(field);
    };
    visit(verdictForm(rubric).form.schema);
  });

  it("names the places that do not fit, and nothing of what was written", () => {
    const problem = (text: string) => {
      const read = verdictForm(rubric).read(text);
      return read.kind === "unparsable" ? read.problem : assert.fail("it was read");
    };
    assert.equal(problem("secret"), "the verdict is not JSON");
    assert.equal(problem('["secret"]'), "the verdict does not fit its form (the whole)");
    assert.equal(
      problem(JSON.stringify({ tone: { ...tone, criteria: { kind: "secret" } }, constructor: other })),
      "the verdict does not fit its form (tone.criteria.kind)",
    );
    assert.match(problem(JSON.stringify({ tone })), /fit its form \(constructor/);
    assert.match(problem(JSON.stringify({ tone: { ...tone, verdict: "pass" }, constructor: other })), /fit its form \(tone\)/);
  });

  it("is filled by the demo's judge with all yes for a right answer and all no for a wrong one", () => {
    for (const { text } of builtinRubrics) {
      const builtin = parseRubric(text);
      const names = builtin.signals.map(({ name }) => name);
      for (const isRight of [true, false]) {
        const form = verdictForm(builtin);
        const read = form.read(JSON.stringify(fill(form.form.schema, () => isRight, names)));
        assert.ok(read.kind === "verdict", builtin.name);
        for (const signal of builtin.signals)
          assert.deepEqual(verdictOf(signal, read.signals[signal.name]?.criteria ?? {}), { status: "scored", value: isRight ? 1 : 0 });
      }
    }
  });
});
