import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { itemOf } from "../../../../src/domain/judging/item.ts";
import type { Rubric } from "../../../../src/domain/judging/rubric.ts";

const answered = (message: object) => JSON.stringify({ choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: "stop" }] });
const item = (request: object, response: string, context: Rubric["context"] = "none", reference: string | null = null) =>
  itemOf(JSON.stringify(request), response, { context, reference });

describe("the item of a call", () => {
  const messages = [
    { role: "system", content: "Answer from the document: A is 1." },
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hi" },
    {
      role: "user",
      content: [
        { type: "text", text: "What is" },
        { type: "image_url", image_url: {} },
        { type: "text", text: "A?" },
      ],
    },
  ];

  it("is the last user message and the assistant's text", () => {
    assert.deepEqual(item({ messages }, answered({ content: "A is 1." })), { kind: "item", item: { prompt: "What is\nA?", answer: "A is 1." } });
    assert.deepEqual(
      item(
        { messages },
        answered({
          content: [
            { type: "text", text: "one " },
            { type: "text", text: "two" },
          ],
        }),
      ),
      {
        kind: "item",
        item: { prompt: "What is\nA?", answer: "one two" },
      },
    );
  });

  it("has the context that the rubric asks for, and the reference when there is one", () => {
    const system = item({ messages }, answered({ content: "x" }), "system", "1");
    assert.deepEqual(system, {
      kind: "item",
      item: { prompt: "What is\nA?", context: "Answer from the document: A is 1.", answer: "x", reference: "1" },
    });
    const whole = item({ messages: [...messages, { role: "tool", content: "A=1" }] }, answered({ content: "x" }), "conversation");
    assert.equal(whole.kind === "item" && whole.item.context, "[system] Answer from the document: A is 1.\n[user] Hello\n[assistant] Hi\n[tool] A=1");
    assert.deepEqual(item({ messages: [{ role: "user", content: "Q" }] }, answered({ content: "x" }), "system"), {
      kind: "item",
      item: { prompt: "Q", answer: "x" },
    });
  });

  it("is read from the Responses API and from legacy completions too", () => {
    const response = JSON.stringify({ output: [{ type: "reasoning" }, { type: "message", content: [{ type: "output_text", text: "four" }] }] });
    assert.deepEqual(item({ instructions: "Be brief.", input: "2+2?" }, response, "system"), {
      kind: "item",
      item: { prompt: "2+2?", context: "Be brief.", answer: "four" },
    });
    const input = [
      { role: "user", content: [{ type: "input_text", text: "2+2?" }] },
      { type: "function_call", name: "add" },
      { type: "function_call_output", output: "4" },
    ];
    const tooled = item({ input }, response, "conversation");
    assert.equal(tooled.kind === "item" && tooled.item.context, '[assistant] {"type":"function_call","name":"add"}\n[tool] 4');
    for (const prompt of ["2+2?", ["2+2?", "3+3?"]]) {
      assert.deepEqual(item({ prompt }, JSON.stringify({ choices: [{ text: "4" }] })), { kind: "item", item: { prompt: "2+2?", answer: "4" } });
    }
  });

  it("shows tool calls where there is no text, and an empty answer as empty", () => {
    const calls = [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }];
    const request = { messages: [{ role: "user", content: "Q" }] };
    const tooled = item(request, answered({ content: null, tool_calls: calls }));
    assert.equal(tooled.kind === "item" && tooled.item.answer, JSON.stringify(calls));
    const output = JSON.stringify({ output: [{ type: "function_call", name: "f" }] });
    const responses = item(request, output);
    assert.equal(responses.kind === "item" && responses.item.answer, '[{"type":"function_call","name":"f"}]');
    assert.deepEqual(item(request, answered({ content: "" })), { kind: "item", item: { prompt: "Q", answer: "" } });
  });

  it("is nothing, with the reason, when a body or what it should hold is missing", () => {
    const reason = (request: string | null, response: string | null) => {
      const result = itemOf(request, response, { context: "none", reference: null });
      return result.kind === "nothing" ? result.problem : "";
    };
    const request = JSON.stringify({ messages: [{ role: "user", content: "Q" }] });
    assert.match(reason(null, answered({ content: "x" })), /not logged/);
    assert.match(reason(request, null), /not logged/);
    assert.match(reason("{", answered({ content: "x" })), /no user message/);
    assert.match(reason(JSON.stringify({ messages: [{ role: "system", content: "x" }] }), answered({ content: "x" })), /no user message/);
    assert.match(reason(request, "<html>"), /no answer/);
    assert.match(reason(request, answered({ content: null })), /no answer/);
  });

  it("never throws, whatever the bodies are", () => {
    const body = fc.oneof(
      fc.json(),
      fc.string(),
      fc.json().map((json) => `{"messages":[${json}],"input":${json},"choices":[${json}],"output":[${json}]}`),
    );
    fc.assert(
      fc.property(body, body, fc.constantFrom("none" as const, "system" as const, "conversation" as const), (request, response, context) => {
        assert.ok(["item", "nothing"].includes(itemOf(request, response, { context, reference: null }).kind));
      }),
    );
  });
});
