import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  changesOnlyModel,
  type JsonObject,
  type MergeRules,
  mergeParameters,
  parseParameters,
  RESERVED_PARAMETERS,
} from "../../../../src/domain/routing/merge-parameters.ts";

const rules: MergeRules = { foreign: new Set(), withTemplate: null };
const plain = { model: "gpt-b", parameters: {}, systemTemplate: null };

describe("merging a version's parameters", () => {
  it("changes nothing but the model when the version asks for nothing, whatever the caller sent", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (request) => {
        assert.deepEqual(mergeParameters(request, plain, rules), { ...request, model: "gpt-b" });
      }),
    );
  });

  it("lets the version's parameters win as a whole, and null remove a field", () => {
    const request = { model: "route", temperature: 1, response_format: { type: "json_object", extra: 1 }, seed: 5 };
    const parameters = { temperature: 0, response_format: { type: "text" }, seed: null, top_p: 0.5 };
    assert.deepEqual(mergeParameters(request, { ...plain, parameters }, rules), {
      model: "gpt-b",
      temperature: 0,
      response_format: { type: "text" },
      top_p: 0.5,
    });
  });

  it("never lets parameters touch what belongs to the caller", () => {
    for (const name of RESERVED_PARAMETERS) {
      const request = { model: "route", [name]: "mine" };
      assert.deepEqual(mergeParameters(request, { ...plain, parameters: { [name]: "theirs" } }, rules), { ...request, model: "gpt-b" });
    }
  });

  it("puts a system template where the endpoint has a place for it and leaves the request itself alone", () => {
    const request = { model: "route", place: "mine" };
    const before = structuredClone(request);
    const templated = { ...plain, systemTemplate: "first" };
    assert.deepEqual(mergeParameters(request, templated, rules), { model: "gpt-b", place: "mine" });
    const withPlace = { ...rules, withTemplate: ({ place }: JsonObject, template: string) => ({ place: `${template} ${place}` }) };
    assert.deepEqual(mergeParameters(request, templated, withPlace), { model: "gpt-b", place: "first mine" });
    assert.deepEqual(request, before);
    assert.deepEqual([changesOnlyModel(templated, rules), changesOnlyModel(templated, withPlace)], [true, false]);
  });

  it("leaves out parameters that the endpoint does not know, also when that is all that the version sets", () => {
    const version = { ...plain, parameters: { temperature: 0 } };
    const deaf = { ...rules, foreign: new Set(["temperature"]) };
    assert.deepEqual(mergeParameters({ model: "route", temperature: 1 }, version, deaf), { model: "gpt-b", temperature: 1 });
    assert.deepEqual([changesOnlyModel(version, deaf), changesOnlyModel(version, rules)], [true, false]);
  });

  it("parameters must be a JSON object", () => {
    assert.deepEqual(parseParameters('{"a":1}'), { a: 1 });
    for (const wrong of ["", "1", "null", "[]", "{", '"x"']) assert.equal(parseParameters(wrong), null);
  });
});
