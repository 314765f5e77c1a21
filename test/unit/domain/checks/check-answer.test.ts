import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkCompilers } from "../../../../src/checks/check-compilers.ts";
import { checkAnswer, checkedWhole, type Side } from "../../../../src/domain/checks/check-answer.ts";
import { defaultSchemaCheck, PATTERN_INPUT_LIMIT, schemaForms } from "../../../../src/domain/checks/schema-check.ts";
import type { SchemaCheck } from "../../../../topics/index.ts";

const completion = (message: unknown): string => JSON.stringify({ choices: [{ index: 0, message }] });
const says = (content: unknown): Side => ({ status: "ok", finishReason: "stop", responseBody: completion({ role: "assistant", content }) });
const forms = schemaForms(checkCompilers(() => {}));

function check(side: Side, given: Partial<SchemaCheck> = {}, about: { responseFormat?: string; bodyCut?: boolean } = {}) {
  const { responseFormat = null, bodyCut = false } = about;
  return checkAnswer(side, { check: { ...defaultSchemaCheck, ...given }, responseFormat, bodyCut }, forms);
}
/** On a machine that stands still for 50 ms any check runs out of time: it is asked again, fewer times than make a form be given up. */
function isValid(content: unknown, given: Partial<SchemaCheck>, responseFormat?: string): boolean | null | undefined {
  const ask = () => check(says(content), given, responseFormat === undefined ? {} : { responseFormat });
  let checked = ask();
  for (let tried = 1; tried < 4 && checked?.timedOut === true; tried++) checked = ask();
  return checked?.schemaValid;
}

const schema = JSON.stringify({ type: "object", required: ["a"], properties: { a: { type: "integer" } }, additionalProperties: false });

describe("the deterministic checks", () => {
  it("take JSON alone or in one fence, as the policy says", () => {
    const bare = '{"a":1}';
    const fenced = '```json\n{"a":1}\n```';
    const json = (fence: string) => ({ source: "json", jsonSchema: schema, fence });
    assert.deepEqual(
      [bare, fenced].map((text) => isValid(text, json("forbidden"))),
      [true, false],
    );
    assert.deepEqual(
      [bare, fenced].map((text) => isValid(text, json("allowed"))),
      [true, true],
    );
    assert.deepEqual(
      [bare, fenced].map((text) => isValid(text, json("required"))),
      [false, true],
    );
  });

  it("refuse prose around the JSON, two fences and JSON that only a lenient parser reads", () => {
    const json = { source: "json", jsonSchema: null, fence: "allowed" };
    for (const text of [
      "Sure: {}",
      "```json\n{}\n```\nDone.",
      "```\n{}\n```\n```\n{}\n```",
      "{'a':1}",
      '{"a":NaN}',
      '{"a":"x\ny"}',
      '{"a":1,}',
      "",
      "``` {} ```",
    ]) {
      assert.equal(isValid(text, json), false, text);
    }
  });

  it("validate against the schema that the caller asked for", () => {
    const format = JSON.stringify({ type: "json_schema", json_schema: { name: "x", schema: JSON.parse(schema) } });
    assert.equal(isValid('{"a":1}', {}, format), true);
    assert.equal(isValid('{"a":"1"}', {}, format), false);
    assert.equal(isValid('{"a":1}', {}, JSON.stringify({ type: "json_schema", schema: JSON.parse(schema) })), true);
    assert.equal(isValid("{}", {}, '{"type":"json_object"}'), true);
    assert.equal(isValid("[]", {}, '{"type":"json_object"}'), false);
  });

  it("do not apply when nothing was asked for, or the check is off", () => {
    assert.equal(isValid("anything", {}), null);
    assert.equal(isValid("anything", {}, '{"type":"text"}'), null);
    assert.equal(isValid("anything", { source: "off" }, '{"type":"json_object"}'), null);
  });

  it("say of a form that cannot be checked that it is broken, and count nothing", () => {
    const broken: [Partial<SchemaCheck>, string?][] = [
      [{ source: "json", jsonSchema: "{" }],
      [{ source: "json", jsonSchema: '{"$ref":"https://example.com/other.json"}' }],
      [{ source: "json", jsonSchema: '{"type":"nonsense"}' }],
      [{ source: "pattern", pattern: "(" }],
      [{ source: "pattern", pattern: null }],
      [{}, "not json"],
    ];
    for (const [given, responseFormat] of broken) {
      const checked = check(says("{}"), given, responseFormat === undefined ? {} : { responseFormat });
      assert.deepEqual([checked?.schemaValid, checked?.formBroken], [null, true], JSON.stringify(given));
    }
  });

  it("read schemas of draft 7 and of 2020-12", () => {
    const tuple = { type: "array", items: [{ type: "integer" }], additionalItems: false };
    const draft7 = JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", ...tuple });
    const draft2020 = JSON.stringify({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "array",
      prefixItems: [{ type: "integer" }],
      items: false,
    });
    for (const jsonSchema of [draft7, draft2020]) {
      assert.equal(isValid("[1]", { source: "json", jsonSchema }), true);
      assert.equal(isValid("[1,2]", { source: "json", jsonSchema }), false);
    }
  });

  it("run a pattern on the answer as it is, up to a bound", () => {
    const pattern = { source: "pattern", pattern: "\\[Yes\\]|\\[No\\]" };
    assert.equal(isValid("Thus [Yes].", pattern), true);
    assert.equal(isValid("Yes", pattern), false);
    assert.equal(isValid(`${"x".repeat(PATTERN_INPUT_LIMIT)}[Yes]`, pattern), false);
  });

  const evil = "^(a+)+$";
  const endless = `${"a".repeat(40)}!`;

  it("say nothing about an answer whose pattern does not end in time, and check the next one", () => {
    const pattern = { source: "pattern", pattern: evil } as const;
    const checked = check(says(endless), pattern);
    assert.deepEqual([checked?.schemaValid, checked?.timedOut, checked?.formBroken], [null, true, false]);
    assert.equal(isValid("aaa", pattern), true);
    assert.equal(isValid("aab!", pattern), false);
    const next = check(says("[Yes]"), { source: "pattern", pattern: "^\\[Yes\\]$" });
    assert.deepEqual([next?.schemaValid, next?.timedOut], [true, false]);
  });

  it("say nothing about an answer whose schema does not end in time: patterns, names, references that double", () => {
    const doubling = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`d${i}`, { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] }]),
    );
    const schemas: [object, unknown, unknown, unknown][] = [
      [{ properties: { a: { type: "string", pattern: evil } } }, { a: endless }, { a: "aaa" }, { a: "b" }],
      [{ patternProperties: { [evil]: { type: "integer" } } }, { [endless]: 1 }, { aaa: 1 }, { aaa: "x" }],
      [{ $ref: "#/$defs/d0", $defs: { ...doubling, d40: { type: "integer" } } }, 1, null, "x"],
    ];
    for (const [jsonSchema, slow, right, wrong] of schemas) {
      const json = { source: "json", jsonSchema: JSON.stringify(jsonSchema) } as const;
      const checked = check(says(JSON.stringify(slow)), json);
      assert.deepEqual([checked?.schemaValid, checked?.timedOut], [null, true], json.jsonSchema);
      if (right !== null) assert.equal(isValid(JSON.stringify(right), json), true, json.jsonSchema);
      assert.equal(isValid(JSON.stringify(wrong), json), false, json.jsonSchema);
    }
  });

  it("tell the patterns of one schema apart", () => {
    const jsonSchema = JSON.stringify({ properties: { a: { pattern: "^a$" }, b: { pattern: "^b$" } } });
    assert.equal(isValid('{"a":"a","b":"b"}', { source: "json", jsonSchema }), true);
    assert.equal(isValid('{"a":"a","b":"a"}', { source: "json", jsonSchema }), false);
  });

  it("find the text in parts, in a completion of text and in the Responses API", () => {
    const pattern = { source: "pattern", pattern: "^ab$" };
    assert.equal(
      isValid(
        [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
        pattern,
      ),
      true,
    );
    const bodies = [{ choices: [{ text: "ab" }] }, { output: [{ type: "message", content: [{ type: "output_text", text: "ab" }] }] }];
    for (const body of bodies) assert.equal(check({ ...says(""), responseBody: JSON.stringify(body) }, pattern)?.schemaValid, true);
  });

  it("never throw on a body that is no answer: it is empty and invalid", () => {
    for (const responseBody of ["", "<html>", "null", "[]", "3", '{"choices":[]}', '{"choices":[null]}', '{"choices":[{"message":7}]}', '{"choices":{}}']) {
      const checked = check({ ...says(""), responseBody }, { source: "json" });
      assert.deepEqual([checked?.empty, checked?.schemaValid], [true, false], responseBody);
    }
  });

  it("do not hold against an answer that its body was not logged, or was cut", () => {
    assert.deepEqual(check({ ...says(""), responseBody: null }, { source: "json" }), {
      schemaValid: null,
      empty: null,
      cut: false,
      formBroken: false,
      timedOut: false,
      unread: false,
    });
    const cut = check({ ...says(""), responseBody: '{"choices":[{"mess' }, { source: "json" }, { bodyCut: true });
    assert.deepEqual([cut?.empty, cut?.schemaValid, cut?.unread], [null, null, true]);
    // Another body of the call was cut: this one is whole, and says nothing.
    const refused = check(says(null), { source: "json" }, { bodyCut: true });
    assert.deepEqual([refused?.empty, refused?.schemaValid, refused?.unread], [true, false, false]);
  });

  it("take what was found of the whole answer, and miss what nobody could read where a form was asked for", () => {
    const found = { schemaValid: false, empty: false, formBroken: false, timedOut: false };
    const about = (source: SchemaCheck["source"]) => ({ check: { ...defaultSchemaCheck, source }, responseFormat: null, bodyCut: true });
    const broken: Side = { status: "ok", finishReason: "length", responseBody: '{"choices":[{"mess' };
    const nothing = { schemaValid: null, empty: null, cut: true, formBroken: false, timedOut: false };
    assert.deepEqual(checkedWhole(broken, found, about("json"), forms), { ...found, cut: true, unread: false });
    assert.deepEqual(checkedWhole(broken, null, about("json"), forms), { ...nothing, unread: true });
    assert.deepEqual(checkedWhole(broken, null, about("off"), forms), { ...nothing, unread: false });
    const slow = { ...found, schemaValid: null, timedOut: true };
    assert.deepEqual(checkedWhole(broken, slow, about("json"), forms), { ...slow, cut: true, unread: false });
    assert.equal(checkedWhole({ ...broken, status: "error" }, found, about("json"), forms), null);
  });

  it("take a call of tools neither as empty nor as the structured answer", () => {
    const called = { ...says(null), responseBody: completion({ content: null, tool_calls: [{ id: "1" }] }) };
    const checked = check(called, { source: "json" });
    assert.deepEqual([checked?.empty, checked?.schemaValid], [false, null]);
  });

  it("see a cut and an empty answer", () => {
    assert.equal(check({ ...says("x"), finishReason: "length" })?.cut, true);
    assert.equal(check(says(" \n"))?.empty, true);
    assert.equal(check(says("x"))?.empty, false);
  });

  it("say nothing about a call that failed", () => {
    for (const status of ["error", "timeout", "cancelled"] as const) assert.equal(check({ ...says("x"), status }), null);
  });
});
