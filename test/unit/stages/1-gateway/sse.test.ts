import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { collectorFor } from "../../../../src/stages/1-gateway/call/collect.ts";
import { isStream } from "../../../../src/stages/1-gateway/call/is-stream.ts";
import { SseReader } from "../../../../src/stages/1-gateway/call/sse.ts";
import { chat } from "../../../../src/stages/1-gateway/endpoints/chat.ts";
import { completions } from "../../../../src/stages/1-gateway/endpoints/completions.ts";
import { embeddings } from "../../../../src/stages/1-gateway/endpoints/embeddings.ts";
import type { Joiner } from "../../../../src/stages/1-gateway/endpoints/endpoint.ts";
import { responses } from "../../../../src/stages/1-gateway/endpoints/responses.ts";

const head = (contentType: string, contentEncoding = "") => ({
  status: 200,
  contentEncoding,
  isStream: isStream({ endpoint: chat, body: "", hidesUsage: false }, 200, contentType),
});
function joinerOf(maxChars: number): Joiner {
  assert.ok(chat.joiner !== null);
  return chat.joiner(maxChars);
}
/** Cuts bytes at arbitrary places. */
const pieces = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
};
const read = (chunks: readonly Buffer[]): string[] => {
  const seen: string[] = [];
  const reader = new SseReader((data) => {
    if (data !== null) seen.push(data);
  });
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return seen;
};
const delta = (content: string) => ({ id: "c", model: "m", choices: [{ index: 0, delta: { content }, finish_reason: null }] });
const events = (...values: unknown[]) => `${values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join("")}data: [DONE]\n\n`;

describe("reading server-sent events", () => {
  it("gives the same events wherever the bytes are cut, with any line end", () => {
    const line = fc.string({ unit: "binary" }).map((text) => text.replace(/[\r\n\ud800-\udfff]/g, "é"));
    const end = fc.constantFrom("\n", "\r\n", "\r");
    fc.assert(
      fc.property(fc.array(fc.array(line, { minLength: 1, maxLength: 3 }), { maxLength: 6 }), end, fc.array(fc.nat()), (wanted, eol, cuts) => {
        const text = wanted.map((lines) => `: comment${eol}event: x${eol}${lines.map((data) => `data: ${data}${eol}`).join("")}${eol}`).join("");
        assert.deepEqual(
          read(pieces(Buffer.from(text), cuts)),
          wanted.map((lines) => lines.join("\n")),
        );
      }),
    );
  });

  it("passes an event on that is longer than is held, in one line or in many, and reads the next one", () => {
    const many = "data: xxxxxxxxxxxxxxxx\n".repeat(400_000);
    for (const long of [many, `data: ${"x".repeat(9_000_000)}\ndata: rest\n`, ": nothing\n".repeat(900_000)]) {
      const seen: (string | null)[] = [];
      let shown = 0;
      let longest = 0;
      const reader = new SseReader((data, text) => {
        seen.push(data);
        shown += text.length;
        longest = Math.max(longest, text.length);
      }, true);
      const text = `${long}\ndata: next\n\n`;
      for (let from = 0; from < text.length; from += 65_536) reader.push(Buffer.from(text.slice(from, from + 65_536)));
      reader.end();
      assert.deepEqual([seen.filter((data) => data !== null), shown], [["next"], text.length]);
      assert.ok(longest < 9 * 1024 * 1024);
      assert.equal(reader.overflowed, long.startsWith("data"));
    }
  });

  it("delivers a last event whose blank line is missing, and ignores what is no data", () => {
    assert.deepEqual(read([Buffer.from("id: 1\nretry: 5\ndata:a\ndata\ndata: b")]), ["a\n\nb"]);
    assert.deepEqual(read([]), []);
  });
});

/** An answer as its record holds it. */
const asLogged = (answer: unknown) => JSON.parse(JSON.stringify(answer)) as { choices: unknown };

describe("joining a streamed completion", () => {
  it("joins content to what was sent, wherever the bytes are cut, and knows that it is complete", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" }), { minLength: 1 }), fc.array(fc.nat()), (contents, cuts) => {
        const finish = { id: "c", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
        const usage = { id: "c", choices: [], usage: { prompt_tokens: 7, completion_tokens: 5, cost: 0.25 } };
        const collector = collectorFor(chat, head("text/event-stream; charset=utf-8"), false);
        for (const piece of pieces(Buffer.from(events(...contents.map(delta), finish, usage)), cuts)) collector.push(piece);
        const collected = collector.finish();
        const body = JSON.parse(collected.body ?? "null");
        assert.equal(body.choices[0].message.content, contents.join(""));
        assert.equal(body.object, "chat.completion");
        assert.deepEqual([collected.finishReason, collected.inputTokens, collected.outputTokens, collected.reportedCostUsd], ["stop", 7, 5, 0.25]);
        assert.equal(collected.errorType, "");
      }),
    );
  });

  it("puts tool calls together by their index, and keeps choices apart", () => {
    const joiner = joinerOf(1_000);
    const toolCall = (index: number, call: object) => ({ choices: [{ index: 0, delta: { tool_calls: [{ index, ...call }] } }] });
    for (const chunk of [
      { choices: [{ index: 1, delta: { role: "assistant", content: "B" }, finish_reason: "stop" }] },
      toolCall(0, { id: "call_1", type: "function", function: { name: "weather", arguments: '{"ci' } }),
      toolCall(1, { id: "call_2", type: "function", function: { name: "time", arguments: "{}" } }),
      toolCall(0, { function: { arguments: 'ty":"Bern"}' } }),
      { choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] },
    ]) {
      joiner.push(chunk);
    }
    const { choices } = asLogged(joiner.answer()) as { choices: unknown[] };
    assert.deepEqual(choices, [
      {
        index: 0,
        message: {
          role: "assistant",
          content: null,
          tool_calls: [
            { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Bern"}' } },
            { id: "call_2", type: "function", function: { name: "time", arguments: "{}" } },
          ],
        },
        finish_reason: "tool_calls",
      },
      { index: 1, message: { role: "assistant", content: "B" }, finish_reason: "stop" },
    ]);
    assert.equal(joiner.isComplete, true);
  });

  it("a role alone is no content yet; the first text, refusal or tool call is", () => {
    const first = (value: object) => {
      const joiner = joinerOf(100);
      joiner.push({ choices: [{ index: 0, delta: value }] });
      return joiner.hasContent;
    };
    assert.deepEqual(
      [first({ role: "assistant", content: "" }), first({ content: "x" }), first({ refusal: "no" }), first({ tool_calls: [{ index: 0 }] })],
      [false, true, true, true],
    );
  });

  it("names an error inside the stream, and a stream that stops before it is complete", () => {
    const collect = (text: string) => {
      const collector = collectorFor(chat, head("text/event-stream"), false);
      collector.push(Buffer.from(text));
      return collector.finish();
    };
    assert.equal(collect(events(delta("a"), { error: { message: "secret", type: "server_error", code: "overloaded" } })).errorType, "overloaded");
    assert.equal(collect(events({ error: { message: "x", code: 'with "quotes" and spaces' } })).errorType, "stream_error");
    assert.equal(collect(`data: ${JSON.stringify(delta("a"))}\n\n`).errorType, "incomplete_stream");
    assert.equal(collect("").errorType, "incomplete_stream");
  });

  it("keeps a bounded part of an endless answer and says that it was cut", () => {
    const joiner = joinerOf(5);
    for (const part of ["abc", "def", "ghi"]) joiner.push(delta(part));
    assert.equal((joiner.answer() as { choices: [{ message: { content: string } }] }).choices[0].message.content, "abcde");
    assert.equal(joiner.isCut, true);
  });

  it("joins lists in place, and bounds what is neither text nor counted elsewhere", () => {
    const details = (text: string) => ({ choices: [{ index: 0, delta: { reasoning_details: [{ type: "text", text }] } }] });
    const joiner = joinerOf(100);
    const [first, second] = [details("a"), details("b")];
    for (const chunk of [first, second]) joiner.push(chunk);
    assert.deepEqual(asLogged(joiner.answer()).choices, [
      {
        index: 0,
        message: {
          role: "assistant",
          content: null,
          reasoning_details: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
        finish_reason: null,
      },
    ]);
    assert.equal(joiner.isCut, false);
    // What came is not changed by what comes.
    assert.deepEqual(first, details("a"));
    const flood = (chunkOf: (i: number) => object) => {
      const flooded = joinerOf(1_000);
      for (let i = 0; i < 20_000; i++) flooded.push({ choices: [{ index: 0, delta: {}, ...chunkOf(i) }] });
      return [flooded.isCut, JSON.stringify(flooded.answer()).length < 40_000];
    };
    assert.deepEqual(
      flood(() => ({ delta: { list: [{}] } })),
      [true, true],
    );
    assert.deepEqual(
      flood((i) => ({ delta: { [`field ${i}`]: 1 } })),
      [true, true],
    );
    assert.deepEqual(
      flood((i) => ({ delta: { object: { [`field ${i}`]: 1 } } })),
      [true, true],
    );
    assert.deepEqual(
      flood((i) => ({ index: i, delta: { content: "" } })),
      [true, true],
    );
    assert.deepEqual(
      flood((i) => ({ delta: { tool_calls: [{ index: i }] } })),
      [true, true],
    );
  });

  it("bounds the items of a response that never ends", () => {
    assert.ok(responses.joiner !== null);
    const joiner = responses.joiner(1_000);
    for (let i = 0; i < 1_000; i++) joiner.push({ type: "response.output_item.added", output_index: i, item: { type: "message", text: "x".repeat(100) } });
    assert.deepEqual([joiner.isCut, JSON.stringify(joiner.answer()).length < 10_000], [true, true]);
  });

  it("reads an error object of a successful answer as a failure, and types of media without regard to case", () => {
    const error = '{"error":{"message":"secret","type":"server_error","code":"overloaded"}}';
    for (const endpoint of [chat, completions, embeddings]) {
      const collector = collectorFor(endpoint, head("application/json"), false);
      collector.push(Buffer.from(error));
      assert.equal(collector.finish().errorType, "overloaded", endpoint.endpoint);
      const well = collectorFor(endpoint, head("application/json"), false);
      well.push(Buffer.from('{"error":null,"choices":[]}'));
      assert.equal(well.finish().errorType, "");
    }
    const stream = collectorFor(chat, head("Text/Event-Stream; charset=UTF-8"), false);
    stream.push(Buffer.from(events(delta("a"))));
    assert.deepEqual([stream.finish().errorType, JSON.parse(stream.finish().body ?? "").choices[0].message.content], ["", "a"]);
  });

  it("reads an error that is a text as a failure too, in answers and in events; one that says nothing is none", () => {
    const failureOf = (endpoint: typeof chat, type: string, text: string) => {
      const collector = collectorFor(endpoint, head(type), false);
      collector.push(Buffer.from(text));
      collector.end();
      return collector.finish().errorType;
    };
    for (const [fields, told] of [
      ['"error":"out of memory"', null],
      ['"error":"out of memory","error_type":"overloaded"', "overloaded"],
      ['"error":"out of memory","code":"full"', "full"],
      ['"error":"out of memory","code":500', null],
      ['"error":true', null],
      ['"error":["out of memory"]', null],
      ['"error":{}', null],
      ['"error":""', ""],
      ['"error":false', ""],
      ['"error":[]', ""],
      ['"error":null', ""],
    ] as const) {
      for (const endpoint of [chat, completions, embeddings, responses]) {
        assert.equal(failureOf(endpoint, "application/json", `{${fields}}`), told ?? "answer_error", `${endpoint.endpoint} ${fields}`);
        if (endpoint.joiner === null) continue;
        const type = endpoint === responses ? '"type":"response.x",' : "";
        assert.equal(
          failureOf(endpoint, "text/event-stream", `data: {${type}${fields}}\n\ndata: [DONE]\n\n`),
          told ?? "stream_error",
          `${endpoint.endpoint} ${fields}`,
        );
      }
    }
  });

  it("an answer that is no JSON is an error, one in an unasked encoding is passed over", () => {
    const html = collectorFor(chat, head("text/html"), false);
    html.push(Buffer.from("<html>"));
    assert.deepEqual([html.finish().errorType, collectorFor(chat, head("application/json", "gzip"), false).finish().isCut], ["invalid_json", true]);
  });
});
