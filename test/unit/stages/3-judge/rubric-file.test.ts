import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { builtinRubrics } from "../../../../src/domain/judging/builtin.ts";
import { KnownError } from "../../../../src/errors/known-error.ts";
import { rubricDigest } from "../../../../src/stages/3-judge/digest.ts";
import { parseRubric } from "../../../../src/stages/3-judge/rubric-file.ts";

const valid = {
  name: "tone@1",
  instructions: "Judge the tone.",
  signals: [{ name: "politeness", form: "score", criteria: [{ id: "kind", question: "Is it kind?" }] }],
};
const problemsOf = (text: string): Map<string, string> => {
  try {
    parseRubric(text);
  } catch (error) {
    assert.ok(error instanceof KnownError && error.code === "RUBRIC_INVALID");
    const { errors } = error.details as { errors: { path: string; message: string }[] };
    for (const { path } of errors) assert.ok(error.message.includes(path));
    return new Map(errors.map(({ path, message }) => [path, message]));
  }
  return assert.fail("it is valid");
};
const without = (change: object) => problemsOf(JSON.stringify({ ...valid, ...change }));

describe("rubric files", () => {
  it("are read from YAML and from JSON", () => {
    assert.deepEqual(parseRubric(JSON.stringify(valid)), { ...valid, context: "none" });
    const yaml =
      "name: tone@1\ninstructions: Judge the tone.\ncontext: conversation\nsignals:\n- name: politeness\n  form: score\n  criteria: [{id: kind, question: Is it kind?}]\n";
    assert.deepEqual(parseRubric(yaml), { ...valid, context: "conversation" });
  });

  it("come with headgate for task completion, groundedness and factuality, and their texts do not change under their names", () => {
    const rubrics = builtinRubrics.map(({ name, text, signals }) => {
      const rubric = parseRubric(text);
      assert.equal(rubric.name, name);
      assert.deepEqual(
        signals,
        rubric.signals.map((signal) => ({ name: signal.name, form: signal.form === "score" ? "grid" : "binary" })),
      );
      return [name, rubric.signals.map((signal) => `${signal.name} ${signal.form}`), rubricDigest(text).slice(0, 16)];
    });
    assert.deepEqual(rubrics, [
      ["task@1", ["task_completion binary"], "e3c88c6443313b00"],
      ["grounded@1", ["groundedness binary"], "aa935395d25ef6bc"],
      ["factual@1", ["factuality score"], "aafe0b7d6d657b68"],
    ]);
  });

  it("are refused with every problem and its place", () => {
    assert.match(without({ name: "tone" }).get("name") ?? "", /name@version/);
    assert.match(without({ instructions: "" }).get("instructions") ?? "", /how strictly/);
    assert.match(without({ signals: [] }).get("signals") ?? "", /./);
    assert.match(without({ context: "all" }).get("context") ?? "", /./);
    assert.match(without({ criteria: [] }).get("criteria") ?? "", /is not a field/);
    const [signal] = valid.signals;
    const twice = without({ signals: [{ ...signal, criteria: [...(signal?.criteria ?? []), { id: "kind", question: "Again?" }] }, signal] });
    assert.deepEqual([...twice.keys()], ["signals[1]", "signals[0].criteria[1]"]);
    assert.match(without({ signals: [{ ...signal, name: "no spaces please" }] }).get("signals[0].name") ?? "", /must start with a letter/);
    assert.match(problemsOf("name: [").get("") ?? "", /is not YAML/);
    assert.ok(problemsOf("just text").has(""));
  });
});
