import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import { schemaProblems, showPath } from "../../../src/config/schema-problems.ts";

const shape = z.strictObject({
  name: z.string().describe("what it is called"),
  share: z.number().max(100).optional(),
  signals: z
    .array(z.union([z.string(), z.strictObject({ name: z.string(), margin: z.strictObject({ limit: z.number().describe("harm") }).optional() })]))
    .optional(),
  versions: z.record(z.string(), z.strictObject({ model: z.string() })).optional(),
});
const problemsOf = (value: unknown): Record<string, string> => {
  const parsed = shape.safeParse(value);
  return parsed.success ? {} : Object.fromEntries(schemaProblems(shape, parsed.error.issues).map(({ path, message }) => [path, message]));
};

describe("what is wrong in a document", () => {
  it("is a missing field, with what it is", () => {
    assert.deepEqual(problemsOf({}), { name: "is missing. It is: what it is called" });
  });

  it("is an unknown field, with the nearest known one, else all of them", () => {
    assert.deepEqual(problemsOf({ name: "a", shair: 1 }), { shair: "is not a field; did you mean share?" });
    assert.deepEqual(problemsOf({ name: "a", xyzxyz: 1 }), { xyzxyz: "is not a field; fields here: name, share, signals, versions" });
  });

  it("is looked for in the form of a union that was meant", () => {
    assert.deepEqual(Object.keys(problemsOf({ name: "a", signals: ["x", { name: "y", margin: { limit: "big" } }] })), ["signals[1].margin.limit"]);
    assert.match(
      problemsOf({ name: "a", signals: [{ name: "y", margin: { limit: "big" } }] })["signals[0].margin.limit"] ?? "",
      /expected number.*It is: harm/,
    );
    assert.deepEqual(problemsOf({ name: "a", signals: [{ nam: "y" }] })["signals[0].nam"], "is not a field; did you mean name?");
    assert.match(problemsOf({ name: "a", signals: [5] })["signals[0]"] ?? "", /Invalid/);
  });

  it("is placed by a path as a person writes it", () => {
    assert.deepEqual(Object.keys(problemsOf({ name: "a", versions: { "gpt-b@2026.11": {} } })), ['versions["gpt-b@2026.11"].model']);
    assert.equal(showPath([]), "");
    assert.equal(showPath(["a", 0, "b c", "d"]), 'a[0]["b c"].d');
  });
});
