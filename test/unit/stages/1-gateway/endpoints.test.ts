import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { type JsonObject, mergeParameters, RESERVED_PARAMETERS } from "../../../../src/domain/routing/merge-parameters.ts";
import { chat } from "../../../../src/stages/1-gateway/endpoints/chat.ts";
import { completions } from "../../../../src/stages/1-gateway/endpoints/completions.ts";
import { embeddings } from "../../../../src/stages/1-gateway/endpoints/embeddings.ts";
import type { Endpoint } from "../../../../src/stages/1-gateway/endpoints/endpoint.ts";
import { settable } from "../../../../src/stages/1-gateway/endpoints/fields.ts";
import { responses } from "../../../../src/stages/1-gateway/endpoints/responses.ts";

/** Fields of a request as the official SDK declares them. */
function declared(file: string, name: string): string[] {
  const source = readFileSync(new URL(`../../../../node_modules/openai/resources/${file}.d.ts`, import.meta.url), "utf8");
  const body = new RegExp(`export interface ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(source)?.[1] ?? "";
  return [...body.matchAll(/^ {4}(\w+)\??:/gm)].map(([, field = ""]) => field);
}

const templated = { model: "m", parameters: {}, systemTemplate: "T" };
const withTemplate = (endpoint: Endpoint, request: JsonObject) => mergeParameters(request, templated, endpoint);

describe("what a version may set", () => {
  it("is, for each endpoint, every field of the official SDK but those that are the caller's", () => {
    const sdk = {
      chat: declared("chat/completions/completions", "ChatCompletionCreateParamsBase"),
      responses: declared("responses/responses", "ResponseCreateParamsBase"),
      completions: declared("completions", "CompletionCreateParamsBase"),
      embeddings: declared("embeddings", "EmbeddingCreateParams"),
    };
    for (const [name, fields] of Object.entries(sdk)) {
      // `prompt` is the caller's text of a legacy completion; in the Responses API it names a stored template.
      const callers = name === "completions" ? [...RESERVED_PARAMETERS, "prompt"] : RESERVED_PARAMETERS;
      const own: ReadonlySet<string> = settable[name as keyof typeof settable];
      assert.deepEqual(fields.filter((field) => !callers.includes(field)).sort(), [...own].sort(), name);
    }
  });

  it("is sent only to endpoints that know it; what nobody knows is sent everywhere", () => {
    const version = {
      model: "m",
      parameters: { temperature: 0, max_tokens: 5, max_output_tokens: 6, dimensions: 7, prompt: "p", vendor: 1 },
      systemTemplate: null,
    };
    const sent = (endpoint: Endpoint) => mergeParameters({ model: "r" }, version, endpoint);
    assert.deepEqual(sent(chat), { model: "m", temperature: 0, max_tokens: 5, vendor: 1 });
    assert.deepEqual(sent(completions), { model: "m", temperature: 0, max_tokens: 5, vendor: 1 });
    assert.deepEqual(sent(responses), { model: "m", temperature: 0, max_output_tokens: 6, prompt: "p", vendor: 1 });
    assert.deepEqual(sent(embeddings), { model: "m", dimensions: 7, vendor: 1 });
  });
});

describe("a version's system template", () => {
  it("becomes a system message, instructions or the beginning of a prompt, before what the caller wrote there", () => {
    assert.deepEqual(withTemplate(chat, { messages: [{ role: "system", content: "C" }] }).messages, [
      { role: "system", content: "T" },
      { role: "system", content: "C" },
    ]);
    assert.equal(withTemplate(responses, { input: "hi" }).instructions, "T");
    assert.equal(withTemplate(responses, { instructions: "C", input: "hi" }).instructions, "T\n\nC");
    assert.equal(withTemplate(completions, { prompt: "once" }).prompt, "T\n\nonce");
    assert.deepEqual(withTemplate(completions, { prompt: ["a", "b"] }).prompt, ["T\n\na", "T\n\nb"]);
  });

  it("is left out where it has no place: token ids, embeddings", () => {
    assert.deepEqual(withTemplate(completions, { prompt: [1, 2] }).prompt, [1, 2]);
    assert.deepEqual(withTemplate(embeddings, { input: "hi" }), { model: "m", input: "hi" });
  });
});

describe("the turn of a call", () => {
  const inputTurn = (...items: unknown[]) => responses.turnOf({ input: items });
  const user = { role: "user", content: "weather?" };
  const item = (type: string) => ({ type });

  it("counts whatever the model made in the input of a response, also where it has no role", () => {
    assert.equal(inputTurn(user, item("function_call"), item("function_call_output")), 1);
    const made = [
      "reasoning",
      "custom_tool_call",
      "web_search_call",
      "mcp_call",
      "shell_call",
      "a_new_call",
      "mcp_approval_request",
      "program",
      "compaction",
      "item_reference",
    ];
    for (const type of made) assert.equal(inputTurn(user, item(type)), 1, type);
    const given = [
      "function_call_output",
      "custom_tool_call_output",
      "mcp_approval_response",
      "program_output",
      "additional_tools",
      "message",
      "compaction_trigger",
    ];
    for (const type of given) assert.equal(inputTurn(user, item(type)), 0, type);
    assert.deepEqual([inputTurn({ id: "msg_1" }), inputTurn({ id: "msg_1", type: null }), inputTurn({ id: "msg_1", role: "user" })], [1, 1, 0]);
    assert.deepEqual(
      [inputTurn(), inputTurn(null, 5, [], { type: 7 }, { role: "system" }), responses.turnOf({ input: "hi" }), responses.turnOf({})],
      [0, 0, 0, 0],
    );
  });

  it("counts as one answer what the model made in a row", () => {
    const answer = [item("reasoning"), { role: "assistant", content: "I look" }, item("function_call"), item("function_call")];
    const outputs = [item("function_call_output"), item("function_call_output")];
    assert.equal(inputTurn(user, ...answer), 1);
    assert.equal(inputTurn(user, ...answer, ...outputs, ...answer, ...outputs, item("reasoning"), { type: "message", role: "assistant" }, user), 3);
  });

  it("counts each assistant message of a chat: one is one answer", () => {
    const messages = [user, { role: "assistant", tool_calls: [] }, { role: "tool" }, { role: "assistant" }, { role: "assistant" }, null];
    assert.deepEqual([chat.turnOf({ messages }), chat.turnOf({}), chat.turnOf({ messages: "x" })], [3, 0, 0]);
  });
});

describe("what an endpoint knows of a request", () => {
  it("the turn, the wanted form, and what binds it to one upstream", () => {
    const turns = [{ role: "user" }, { role: "assistant" }, null, { role: "user" }];
    assert.deepEqual([chat.turnOf({ messages: turns }), chat.turnOf({}), responses.turnOf({ input: turns }), responses.turnOf({ input: "hi" })], [1, 0, 1, 0]);
    assert.deepEqual(responses.formatOf({ text: { format: { type: "json_object" } } }), { type: "json_object" });
    assert.deepEqual(chat.formatOf({ response_format: { type: "text" } }), { type: "text" });
    assert.deepEqual([responses.statefulBy({ previous_response_id: "r" }), responses.statefulBy({ conversation: null })], ["previous_response_id", null]);
    assert.deepEqual(
      [responses.statefulBy({ input: [{ type: "item_reference", id: "m" }] }), responses.statefulBy({ input: [{ role: "user" }] })],
      ["input", null],
    );
    assert.deepEqual([responses.unsupportedIn({ background: true }), responses.unsupportedIn({ background: false })], ["background", null]);
  });
});
