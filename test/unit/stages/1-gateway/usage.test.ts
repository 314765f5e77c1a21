import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { collectorFor } from "../../../../src/stages/1-gateway/call/collect.ts";
import { asksForUsage, upstreamBody } from "../../../../src/stages/1-gateway/call/upstream-request.ts";
import { chat } from "../../../../src/stages/1-gateway/endpoints/chat.ts";
import { embeddings } from "../../../../src/stages/1-gateway/endpoints/embeddings.ts";
import { responses } from "../../../../src/stages/1-gateway/endpoints/responses.ts";

const version = { name: "v", upstream: "one", model: "m", parameters: {}, systemTemplate: null };
const knows = { usageInStreams: true };
const stream = { status: 200, contentEncoding: "", isStream: true };

/** Cuts bytes at arbitrary places. */
const pieces = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
};

/** What the caller is shown of a stream, and what is known of it in the end. */
function pass(bytes: Buffer, cuts: readonly number[]) {
  const collector = collectorFor(chat, stream, true);
  const shown: Buffer[] = [];
  for (const piece of pieces(bytes, cuts)) {
    collector.push(piece);
    shown.push(collector.shown(piece));
  }
  shown.push(collector.end() ?? Buffer.alloc(0));
  return { shown: Buffer.concat(shown).toString(), collected: collector.finish() };
}

describe("asking for the usage of a stream", () => {
  it("happens where the caller did not, the endpoint knows how, and the upstream takes it", () => {
    assert.equal(asksForUsage(chat, { stream: true }, knows), true);
    assert.equal(asksForUsage(chat, { stream: true, stream_options: { include_usage: false } }, knows), true);
    assert.equal(asksForUsage(chat, { stream: true, stream_options: { include_usage: true } }, knows), false);
    assert.equal(asksForUsage(chat, {}, knows), false);
    assert.equal(asksForUsage(chat, { stream: true }, { usageInStreams: false }), false);
    assert.equal(asksForUsage(responses, { stream: true }, knows), false);
    assert.equal(asksForUsage(embeddings, { stream: true }, knows), false);
  });

  it("does not where the stream options are not what they have to be: the upstream refuses them as it would without a gateway", () => {
    for (const options of ["bad", [1], 5, true, { include_usage: "true" }, { include_usage: 1 }])
      assert.equal(asksForUsage(chat, { stream: true, stream_options: options }, knows), false, JSON.stringify(options));
    for (const options of [null, {}, { include_usage: null }]) assert.equal(asksForUsage(chat, { stream: true, stream_options: options }, knows), true);
  });

  it("leaves such options as they are, and numbers within others", () => {
    for (const options of ['"bad"', "[1]", '{"include_usage":"true"}', '{"include_usage":1,"x":1.0}']) {
      const text = `{"model":"r","stream":true,"stream_options":${options}}`;
      const request = JSON.parse(text);
      for (const parameters of [{}, { temperature: 0 }]) {
        const body = upstreamBody({ text, request, endpoint: chat }, { ...version, parameters }, asksForUsage(chat, request, knows));
        assert.ok(body.includes(`"stream_options":${options}`), body);
      }
    }
    const text = '{"model":"r","stream":true,"stream_options":{"include_usage":false,"x":12345678901234567890}}';
    assert.equal(
      upstreamBody({ text, request: JSON.parse(text), endpoint: chat }, version, true),
      '{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":12345678901234567890}}',
    );
  });

  it("keeps the caller's text, and its other stream options", () => {
    const bodyOf = (text: string) => upstreamBody({ text, request: JSON.parse(text), endpoint: chat }, version, true);
    assert.equal(
      bodyOf(' {"model" : "r", "stream": true, "seed": 12345678901234567890}'),
      ' {"stream_options":{"include_usage":true},"model" : "m", "stream": true, "seed": 12345678901234567890}',
    );
    assert.deepEqual(JSON.parse(bodyOf('{"model":"r","stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}}')), {
      model: "m",
      stream: true,
      stream_options: { include_usage: true, include_obfuscation: false },
    });
  });
});

describe("hiding the usage of a stream", () => {
  const chunkOf = (content: string) => ({ id: "c", choices: [{ index: 0, delta: { content }, finish_reason: null }] });

  it("shows what would have come without the question, wherever the bytes are cut and whatever is written", () => {
    const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom('"usage":null,', ',"usage": null}', '{"choices":[],"usage":{}}'));
    const eol = fc.constantFrom("\n", "\r\n");
    const space = fc.constantFrom("", " ");
    fc.assert(
      fc.property(fc.array(text, { minLength: 1 }), eol, space, fc.array(fc.nat()), (contents, end, gap, cuts) => {
        const event = (value: unknown, usage: string) => {
          const json = JSON.stringify(value);
          return `data: ${usage === "" ? json : `${json.slice(0, -1)},${gap}"usage":${gap}${usage}}`}${end}${end}`;
        };
        const stop = { id: "c", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
        const sent = (usage: "null" | "") => `: keepalive${end}${end}${[...contents.map(chunkOf), stop].map((each) => event(each, usage)).join("")}`;
        const last = event({ id: "c", choices: [] }, '{"prompt_tokens":7,"completion_tokens":5}');
        const done = `data: [DONE]${end}${end}`;
        const { shown, collected } = pass(Buffer.from(`${sent("null")}${last}${done}`), cuts);
        assert.equal(shown, `${sent("")}${done}`);
        assert.deepEqual([collected.inputTokens, collected.outputTokens, collected.errorType], [7, 5, ""]);
        assert.equal(JSON.parse(collected.body ?? "null").choices[0].message.content, contents.join(""));
      }),
    );
  });

  it("hides the usage also where it comes with a choice that says nothing, as from LiteLLM", () => {
    const event = (delta: object) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }], usage: { prompt_tokens: 1 } })}\n\n`;
    assert.deepEqual([pass(Buffer.from(event({})), []).shown, pass(Buffer.from(event({ content: "a" })), []).shown], ["", event({ content: "a" })]);
  });

  it("hides only the usage of a chunk that tells something else too, and keeps the rest as it was written", () => {
    const usage = '{"prompt_tokens": 7, "completion_tokens": 5, "x": [{"usage": 1}, "}"]}';
    const beside = fc.constantFrom(
      '"error": {"message": "full", "code": 500}',
      '"error":"full"',
      '"citations" : ["https://a.test/?x={\\"usage\\":{}}", 12345678901234567890]',
    );
    const known = fc.constantFrom(
      '"id": "c"',
      '"object":"chat.completion.chunk"',
      '"created" :1',
      '"model":"m"',
      '"system_fingerprint": null',
      '"service_tier":"x"',
      '"citations2": []',
    );
    const choices = fc.constantFrom('"choices": []', '"choices": [{"index": 0, "delta": {}, "usage": null}]');
    const members = fc
      .tuple(choices, beside, fc.uniqueArray(known))
      .chain(([first, second, more]) => fc.shuffledSubarray([first, second, ...more], { minLength: 2 + more.length }));
    fc.assert(
      fc.property(members, fc.nat(), fc.constantFrom(",", ", ", ",\t"), fc.array(fc.nat()), (others, at, comma, cuts) => {
        const sent = (others as string[]).toSpliced(at % (others.length + 1), 0, `"usage": ${usage}`);
        const { shown, collected } = pass(Buffer.from(`event: x\ndata: {${sent.join(comma)}}\nid: 1\n\n`), cuts);
        // Between its fields there is no space any more.
        const shownFields = others.map((each) => each.replace(/"\s*:\s*/, '":'));
        assert.equal(shown, `data: {${shownFields.join(",")}}\nevent: x\nid: 1\n\n`);
        assert.equal(collected.inputTokens, 7);
      }),
    );
  });

  it("hides a chunk of usage whose other fields say who made it, or nothing", () => {
    const chunk = {
      id: "c",
      object: "chat.completion.chunk",
      created: 1,
      model: "m",
      system_fingerprint: "f",
      service_tier: "s",
      obfuscation: "o",
      provider: "OpenAI",
      x_groq: { id: "req_1" },
      timings: { predicted_ms: 12.5 },
      choices: [],
    };
    const nothing = { usage: { prompt_tokens: 7 }, prompt_filter_results: [], prompt_token_ids: null, note: "" };
    assert.equal(pass(Buffer.from(`data: ${JSON.stringify({ ...chunk, ...nothing })}\n\n`), [9]).shown, "");
  });

  it("hides the usage of such a chunk also where it comes twice, or on several lines", () => {
    const twice = pass(Buffer.from('data: {"choices":[],"usage":{"a":1},"error":"full","usage":{"a":2}}\n\n'), []);
    assert.equal(twice.shown, 'data: {"choices":[],"error":"full"}\n\n');
    const lines = pass(Buffer.from('data: {"choices":[],"usage":{},\ndata: "error":"full"}\nid: 1\n\n'), []);
    assert.equal(lines.shown, 'data: {"choices":[],"error":"full"}\nid: 1\n\n');
  });

  it("keeps what an upstream tells unasked, and what it cannot read", () => {
    const events = [
      `data: ${JSON.stringify({ choices: [], prompt_filter_results: [] })}\n\n`,
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage: { prompt_tokens: 1 } })}\n\n`,
      "event: ping\ndata: not json\n\n",
      "data: [DONE]",
    ].join("");
    assert.equal(pass(Buffer.from(events), [5, 90]).shown, events);
  });

  it("leaves the field out by writing the chunk anew where it is not clear which one it is", () => {
    const { shown } = pass(Buffer.from('data: {"x":{"a":1,"usage":null},"usage":null,"choices":[]}\n\n'), []);
    assert.equal(shown, 'data: {"x":{"a":1,"usage":null},"choices":[]}\n\n');
    const lines = pass(Buffer.from('event: x\r\ndata:{"choices":[],\r\ndata:"usage":null}\r\nid:7\r\n\r\n'), [20]);
    assert.equal(lines.shown, 'data: {"choices":[]}\nevent: x\r\nid:7\r\n\r\n');
  });
});

describe("the usage of an answer that is not logged", () => {
  it("is found at either end of it, however long it is and wherever it is cut", () => {
    const usage = '"usage" : {"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":0},"total_tokens":8}';
    const data = `"data":[{"object":"embedding","index":0,"embedding":[${Array.from({ length: 2_000 }, (_, i) => i / 7).join(",")}]}]`;
    fc.assert(
      fc.property(fc.constantFrom(`{${data},${usage}}\n`, `{${usage},${data}}`, `{${usage}}`), fc.array(fc.nat()), (text, cuts) => {
        const collector = collectorFor(embeddings, { ...stream, isStream: false }, false);
        for (const piece of pieces(Buffer.from(text), cuts)) collector.push(piece);
        const { inputTokens, outputTokens, body, errorType } = collector.finish();
        assert.deepEqual([inputTokens, outputTokens, body, errorType], [8, 0, null, ""]);
      }),
    );
  });

  it("is unknown when nobody tells it; a broken answer is an error, and an error's text is kept", () => {
    const collect = (status: number, text: string) => {
      const collector = collectorFor(embeddings, { status, contentEncoding: "", isStream: false }, false);
      collector.push(Buffer.from(text));
      const { inputTokens, outputTokens, body, errorType } = collector.finish();
      return [inputTokens, outputTokens, body, errorType];
    };
    assert.deepEqual(collect(200, '{"data":[]}'), [null, null, null, ""]);
    assert.deepEqual(collect(200, '{"data":[0.1,'), [null, null, null, "invalid_json"]);
    assert.deepEqual(collect(400, '{"error":{}}'), [null, null, '{"error":{}}', "answer_error"]);
  });
});
