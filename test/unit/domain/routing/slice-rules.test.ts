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
    assert.equal(estimatedTokens({ messages: [{ content: [{ image_url: { url: `data:${"x".repeat(4_000)}` } }, { file_data: "y".repeat(4_000) }] }] }), 0);
    const long: SliceCondition = { kind: "tokens", from: 100, below: 1_000 };
    assert.deepEqual(
      [99, 100, 999, 1_000].map((tokens) => isIn(long, { prompt: "x".repeat(tokens * 4) })),
      [false, true, true, false],
    );
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
