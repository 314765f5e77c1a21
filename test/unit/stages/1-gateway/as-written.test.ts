import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isJsonObject, mergeParameters } from "../../../../src/domain/routing/merge-parameters.ts";
import { collectorFor } from "../../../../src/stages/1-gateway/call/collect.ts";
import { upstreamBody } from "../../../../src/stages/1-gateway/call/upstream-request.ts";
import { chat } from "../../../../src/stages/1-gateway/endpoints/chat.ts";

const version = { name: "v", upstream: "u", model: "m", parameters: { temperature: 0 } as Record<string, unknown>, systemTemplate: null as string | null };
const sent = (text: string, by: Partial<typeof version> = {}, withUsage = false) =>
  upstreamBody({ text, request: JSON.parse(text), endpoint: chat }, { ...version, ...by }, withUsage);

const digits = (least: number, most: number) => fc.string({ unit: fc.constantFrom(..."0123456789"), minLength: least, maxLength: most });
/** A number as it may be written in JSON, whether a double holds it or not. */
const literal = fc
  .tuple(
    fc.constantFrom("", "-"),
    fc.oneof(
      fc.constant("0"),
      fc.tuple(fc.constantFrom(..."123456789"), digits(0, 25)).map((each) => each.join("")),
    ),
    digits(0, 25),
  )
  .chain(([sign, whole, fraction]) =>
    fc
      .tuple(fc.constantFrom("", "e", "E", "e+", "E-"), digits(1, 3))
      .map(([e, exponent]) => `${sign}${whole}${fraction === "" ? "" : `.${fraction}`}${e === "" ? "" : e + exponent}`),
  );
/** Texts, and among them what could be taken for something else: numbers, names and brackets. */
const text = fc
  .oneof(fc.string({ unit: "binary" }), fc.string(), literal, fc.constantFrom('"', '\\"', "model", "temperature", '":12345678901234567890,"', "}]", "\ud800"))
  .map((each) => JSON.stringify(each));
const name = fc.oneof(text, fc.constantFrom('"temperature"', '"messages"', '"stream_options"', '"__proto__"', '"7"', '"t\\u0065mperature"'));
const gap = fc.constantFrom("", "", " ", "\n\t", "\r\n");
const around = (json: fc.Arbitrary<string>) => fc.tuple(gap, json, gap).map((each) => each.join(""));
const { value, fields } = fc.letrec<{ value: string; fields: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    around(literal),
    around(text),
    fc.constantFrom("true", "false", "null"),
    around(fc.array(tie("value"), { maxLength: 4 }).map((each) => `[${each.join(",")}]`)),
    around(tie("fields").map((each) => `{${each}}`)),
  ),
  fields: fc
    .uniqueArray(fc.tuple(around(name), tie("value")), { maxLength: 4, selector: ([of]) => String(JSON.parse(of)) })
    .map((each) => each.map(([of, json]) => `${of}:${json}`).join(",")),
}));

/** The numbers of a text as they are written, in their order. */
const numbersIn = (json: string): string[] => (json.match(/"(?:[^"\\]|\\.)*"|[^\s"[\]{},:]+/g) ?? []).filter((each) => /^[-\d]/.test(each));
const fieldOf = (json: string, own: string) => `{"model":"route"${own === "" ? "" : `,${own}`},"tail":${json}}`;

describe("a request that a version changes", () => {
  it("is the caller's value with these changes", () => {
    const parameters = fc.constantFrom({ temperature: 0 }, { temperature: null }, { "7": [1.5], tail: "theirs" });
    fc.assert(
      fc.property(value, fields, parameters, fc.constantFrom(null, "Be brief."), fc.boolean(), (json, own, set, systemTemplate, withUsage) => {
        const body = fieldOf(json, own);
        const merged = mergeParameters(JSON.parse(body), { ...version, parameters: set, systemTemplate }, chat);
        const options = merged.stream_options;
        const expected = withUsage ? { ...merged, stream_options: { ...(isJsonObject(options) ? options : {}), include_usage: true } } : merged;
        assert.deepEqual(JSON.parse(sent(body, { parameters: set, systemTemplate }, withUsage)), expected);
      }),
    );
  });

  it("keeps every number that the version does not replace as it was written", () => {
    fc.assert(
      fc.property(value, value, fields, fc.constantFrom(null, "Be brief."), (json, replaced, own, systemTemplate) => {
        const parameters = { gone: null, temperature: "none" };
        const mine = `"own":{${own}},"messages":[${json}]`;
        const body = fieldOf(json, `"temperature":${replaced},${mine},"gone":${replaced}`);
        assert.deepEqual(numbersIn(sent(body, { parameters, systemTemplate })), numbersIn(fieldOf(json, mine)));
      }),
    );
  });

  it("keeps those in the messages behind a system template, and in the options of a stream that is asked for its usage", () => {
    const messages = '[{"role":"user","x":12345678901234567890}, {"y":[1e400]}]';
    assert.equal(
      sent(`{"model":"r","messages":${messages},"seed":1.0}`, { parameters: {}, systemTemplate: "T" }),
      `{"model":"m","messages":[{"role":"system","content":"T"},${messages.slice(1)},"seed":1.0}`,
    );
    assert.equal(sent('{"model":"r","messages":[ ]}', { parameters: {}, systemTemplate: "T" }), '{"model":"m","messages":[{"role":"system","content":"T"}]}');
    assert.equal(
      sent('{"model":"r","stream_options":{"include_usage":false,"x":[12345678901234567890]}}', {}, true),
      '{"model":"m","stream_options":{"include_usage":true,"x":[12345678901234567890]},"temperature":0}',
    );
  });

  it("has the version's number in place of the caller's, also of one that a double does not tell from it", () => {
    assert.equal(sent('{"model":"r","seed":9007199254740993}', { parameters: { seed: 9_007_199_254_740_992 } }), '{"model":"m","seed":9007199254740992}');
  });

  it("takes the last of repeated fields, as it was read", () => {
    assert.equal(
      sent('{"model":"q","a":1e400,"b":2,"model":"r","\\u0061":12345678901234567890}'),
      '{"model":"m","a":12345678901234567890,"b":2,"temperature":0}',
    );
  });

  it("is not written anew where it was not changed, however many numbers it has", (t) => {
    const many = `[${"12345678901234567890,1,".repeat(50_000)}1]`;
    const body = `{"model":"r","messages":[{"x":${many}}],"y":${many},"stream_options":{"z":${many}},"temperature":1}`;
    const request = JSON.parse(body);
    const [parse, stringify] = [t.mock.method(JSON, "parse"), t.mock.method(JSON, "stringify")];
    const written = upstreamBody({ text: body, request, endpoint: chat }, { ...version, systemTemplate: "T" }, true);
    const chars = stringify.mock.calls.reduce((sum, call) => sum + String(call.result).length, 0);
    assert.deepEqual([parse.mock.callCount(), chars < 200, written.length > body.length], [0, true, true]);
  });
});

describe("an event that is written anew without its usage", () => {
  const shownOf = (event: string): string => {
    const collector = collectorFor(chat, { status: 200, contentEncoding: "", isStream: true }, true);
    collector.push(Buffer.from(event));
    return collector.shown(Buffer.from(event)).toString();
  };

  it("keeps its numbers too", () => {
    assert.equal(
      shownOf('data: {"id":12345678901234567890,"choices":[{"delta":{"x":{"usage":null,"y":1}}}],"usage":null}\n\n'),
      'data: {"id":12345678901234567890,"choices":[{"delta":{"x":{"usage":null,"y":1}}}]}\n\n',
    );
  });

  it("stays one event where its data came on several lines", () => {
    assert.equal(shownOf('data: {"choices":[1.0,\ndata: {"usage":null,"y":"a"}],"usage":null}\n\n'), 'data: {"choices":[1.0, {"usage":null,"y":"a"}]}\n\n');
  });
});
