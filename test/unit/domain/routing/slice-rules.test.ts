import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { estimatedTokens, parsePath, type SliceCondition, slicesByRules } from "../../../../src/domain/routing/slice-rules.ts";

const call = (request: Record<string, unknown>, headers: Record<string, string> = {}) => ({ route: "r", request, header: (name: string) => headers[name] });
const isIn = (condition: SliceCondition, ...about: Parameters<typeof call>) =>
  slicesByRules([{ name: "s", routes: null, when: [condition] }], call(...about)).length === 1;
const field = (path: string, pattern: RegExp): SliceCondition => ({ kind: "field", path: parsePath(path) ?? [], test: { kind: "matches", pattern } });

describe("slices by rules", () => {
  it("read fields by their path, from the end too, and parts of a message as one text", () => {
    const request = {
      metadata: { domain: "billing", __proto__: { hidden: "x" } },
      messages: [
        { role: "system", content: "Be brief" },
        {
          role: "user",
          content: [
            { type: "text", text: "my invoice" },
            { type: "image_url", image_url: { url: "data:..." } },
          ],
        },
      ],
      temperature: 0,
    };
    assert.ok(isIn(field("metadata.domain", /^billing$/), request));
    assert.ok(isIn(field("messages[-1].content", /invoice/), request));
    assert.ok(isIn(field("messages[0].content", /brief/), request));
    assert.ok(isIn(field("temperature", /^0$/), request));
    for (const path of ["messages[5].content", "metadata", "metadata.toString", "messages.length", "no.such"])
      assert.ok(!isIn(field(path, /(?:)/), request), path);
  });

  it("ask headers, and need all conditions and one of the routes", () => {
    const header = (test: Extract<SliceCondition, { kind: "header" }>["test"]): SliceCondition => ({ kind: "header", name: "x-tier", test });
    assert.ok(isIn(header({ kind: "present" }), {}, { "x-tier": "gold" }));
    assert.ok(isIn(header({ kind: "equals", text: "gold" }), {}, { "x-tier": "gold" }));
    assert.ok(!isIn(header({ kind: "equals", text: "gold" }), {}, { "x-tier": "golden" }) && !isIn(header({ kind: "present" }), {}));
    const both = [header({ kind: "present" }), field("user", /^u/)];
    const rules = [
      { name: "both", routes: ["r"], when: both },
      { name: "elsewhere", routes: ["q"], when: [header({ kind: "present" })] },
    ];
    assert.deepEqual(slicesByRules(rules, call({ user: "u1" }, { "x-tier": "gold" })), ["both"]);
    assert.deepEqual(slicesByRules(rules, call({ user: "x" }, { "x-tier": "gold" })), []);
  });

  it("estimate tokens from the prompt alone, without the data of images", () => {
    assert.equal(estimatedTokens({ messages: [{ content: "x".repeat(396) }, { role: "user" }] }), 100);
    assert.equal(estimatedTokens({ input: "x".repeat(400), model: "ignored" }), 100);
    assert.equal(estimatedTokens({ messages: [{ content: [{ image_url: { url: `data:;base64,${"x".repeat(4_000)}` } }] }] }), 0);
    const long: SliceCondition = { kind: "tokens", from: 100, below: 1_000 };
    assert.deepEqual(
      [99, 100, 999, 1_000].map((tokens) => isIn(long, { prompt: "x".repeat(tokens * 4) })),
      [false, true, true, false],
    );
  });

  it("estimate one token for each id of a prompt or an input that is given as ids, in lists too", () => {
    const ids = (count: number) => Array.from({ length: count }, (_, id) => id);
    assert.deepEqual([estimatedTokens({ prompt: ids(100) }), estimatedTokens({ input: [ids(60), ids(40)] })], [100, 100]);
    assert.equal(estimatedTokens({ prompt: [ids(60), "x".repeat(160)] }), 100);
    assert.equal(estimatedTokens({ input: [{ role: "", content: "x".repeat(400), box: [1, 2, 3] }], messages: [{ box: [4] }] }), 100);
  });

  it("estimate a text as one whatever it begins with, and whatever its field is called", () => {
    const text = "x".repeat(391);
    for (const start of ["data:    ", "data:a,b;", "data: a;b"]) assert.equal(estimatedTokens({ messages: [{ role: "", content: start + text }] }), 100, start);
    const schema = { description: "x".repeat(400) };
    for (const name of ["data", "file_data"]) {
      assert.equal(estimatedTokens({ tools: [{ function: { parameters: { properties: { [name]: schema } } } }] }), 100, name);
      assert.equal(estimatedTokens({ tools: [{ parameters: { [name]: "x".repeat(400) } }] }), 100, name);
    }
    assert.equal(estimatedTokens({ messages: [{ content: [{ source: { type: "", data: "x".repeat(400) } }] }] }), 100);
  });

  it("estimate nothing for the data of images, sound and files, in whichever API's form", () => {
    const data = "QUFB".repeat(1_000);
    const parts = [
      { type: "input_audio", input_audio: { data, format: "" } },
      { type: "file", file: { file_data: data } },
      { type: "input_file", file_data: data },
      { type: "image_url", image_url: { url: `data:image/png;base64,${data}` } },
      { type: "input_image", image_url: `DATA:image/svg+xml;charset=utf-8;base64,${data}` },
      { type: "image", source: { type: "base64", media_type: "", data } },
      { type: "image_generation_call", result: data },
    ];
    for (const part of parts) {
      const tokens = [estimatedTokens({ messages: [{ content: [part] }] }), estimatedTokens({ input: [part] })];
      assert.ok(Math.max(...tokens) < 10, JSON.stringify(part).slice(0, 40));
    }
    assert.equal(estimatedTokens({ messages: [{ content: [{ type: "document", source: { type: "text", data } }] }] }), Math.ceil((data.length + 12) / 4));
  });

  it("never fail, whatever the request", () => {
    const rules = [{ name: "s", routes: null, when: [field("messages[-1].content", /a/u), { kind: "tokens", from: 0, below: 10 } as const] }];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom("messages", "input", "metadata"), fc.jsonValue()), (request) => {
        slicesByRules(rules, call(request as Record<string, unknown>));
      }),
    );
  });

  it("know a path from what is none", () => {
    assert.deepEqual(parsePath("messages[-1].content"), ["messages", -1, "content"]);
    for (const path of ["", ".a", "a.", "a[b]", "a[1", "[0]", "a b"]) assert.equal(parsePath(path), null, path);
  });
});
