import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { mergeParameters, parseParameters, RESERVED_PARAMETERS } from "../../../../src/domain/routing/merge-parameters.ts";

const plain = { model: "gpt-b", parameters: {}, systemTemplate: null };

describe("merging a version's parameters", () => {
  it("changes nothing but the model when the version asks for nothing, whatever the caller sent", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (request) => {
        assert.deepEqual(mergeParameters(request, plain), { ...request, model: "gpt-b" });
      }),
    );
  });

  it("lets the version's parameters win as a whole, and null remove a field", () => {
    const request = { model: "route", temperature: 1, response_format: { type: "json_object", extra: 1 }, seed: 5 };
    const parameters = { temperature: 0, response_format: { type: "text" }, seed: null, top_p: 0.5 };
    assert.deepEqual(mergeParameters(request, { ...plain, parameters }), { model: "gpt-b", temperature: 0, response_format: { type: "text" }, top_p: 0.5 });
  });

  it("never lets parameters touch what belongs to the caller", () => {
    for (const name of RESERVED_PARAMETERS) {
      const request = { model: "route", [name]: "mine" };
      assert.deepEqual(mergeParameters(request, { ...plain, parameters: { [name]: "theirs" } }), { ...request, model: "gpt-b" });
    }
  });

  it("puts the system template before the caller's messages and leaves the request itself alone", () => {
    const request = { model: "route", messages: [{ role: "system", content: "mine" }] };
    const before = structuredClone(request);
    const merged = mergeParameters(request, { ...plain, systemTemplate: "first" });
    assert.deepEqual(merged.messages, [
      { role: "system", content: "first" },
      { role: "system", content: "mine" },
    ]);
    assert.deepEqual(request, before);
  });

  it("parameters must be a JSON object", () => {
    assert.deepEqual(parseParameters('{"a":1}'), { a: 1 });
    for (const wrong of ["", "1", "null", "[]", "{", '"x"']) assert.equal(parseParameters(wrong), null);
  });
});
