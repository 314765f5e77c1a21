import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { fitBodies } from "../../../../src/stages/1-gateway/call/fit-bodies.ts";
import { KeyedHash } from "../../../../src/stages/1-gateway/call/keyed-hash.ts";
import { uuidv7 } from "../../../../src/stages/1-gateway/call/request-id.ts";
import { spliceModel } from "../../../../src/stages/1-gateway/call/splice-model.ts";
import { slicesOf, subjectOf, traceIdOf, traceStateOf } from "../../../../src/stages/1-gateway/call/subject.ts";
import { answerOf, costOf } from "../../../../src/stages/1-gateway/call/usage.ts";
import { EventClock } from "../../../../src/stages/1-gateway/log/event-clock.ts";

describe("splicing the model into a request", () => {
  it("changes the model and nothing else, for any request in any spacing", () => {
    const rest = fc.dictionary(
      fc.string().filter((key) => key !== "model" && key !== "__proto__"),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(rest, rest, fc.string(), fc.string(), fc.constantFrom(undefined, 1, "\t"), (before, after, from, to, space) => {
        const json = JSON.stringify({ ...before, model: from, ...after }, null, space);
        const spliced = spliceModel(json, to);
        if (spliced !== null) assert.deepEqual(JSON.parse(spliced), { ...JSON.parse(json), model: to });
        else assert.ok(Object.keys({ ...before, ...after }).some((key) => JSON.stringify(key).includes("\\")));
      }),
    );
  });

  it("keeps numbers that JavaScript cannot hold", () => {
    assert.equal(
      spliceModel('{"seed": 12345678901234567890, "model" : "a" ,"x":{"model":"b"}}', "c"),
      '{"seed": 12345678901234567890, "model" : "c" ,"x":{"model":"b"}}',
    );
  });

  it("declines a repeated or escaped field", () => {
    assert.equal(spliceModel('{"model":"a","model":"b"}', "c"), null);
    assert.equal(spliceModel('{"mod\\u0065l":"a","model":"b"}', "c"), null);
    assert.equal(spliceModel('{"model":"a","mod\\u0065l":"b"}', "c"), null);
  });

  it("finds the field among others of that name further in, in values and in texts", () => {
    assert.equal(spliceModel('{"metadata":{"model":"x"},"model":"a"}', "c"), '{"metadata":{"model":"x"},"model":"c"}');
    assert.equal(spliceModel('{"model":"model"}', "c"), '{"model":"c"}');
    assert.equal(spliceModel('{"prompt":"\\"model\\":\\"b\\" \\u00e9","model":"a"}', "c"), '{"prompt":"\\"model\\":\\"b\\" \\u00e9","model":"c"}');
  });
});

describe("request ids", () => {
  it("are UUIDs of version 7 that carry their time, and differ", () => {
    const ids = new Set<string>();
    for (let i = 0; i < 5_000; i++) {
      const nowMs = 1_700_000_000_000 + i;
      const id = uuidv7(nowMs);
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.equal(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16), nowMs);
      ids.add(id);
    }
    assert.equal(ids.size, 5_000);
  });
});

describe("the subject of a call", () => {
  const order = ["header", "safety_identifier", "user", "conversation"] as const;
  const of = (headers: Record<string, string>, request: Record<string, unknown>, requestId = "r-1", key = "a key") =>
    subjectOf([...order], new KeyedHash(key), { headers, request, requestId }).subject;

  it("is looked for in the configured order", () => {
    const everything = { safety_identifier: "s", user: "u", metadata: { conversation_id: "c" } };
    assert.equal(of({ "x-headgate-subject": "h" }, everything), of({}, { user: "h" }));
    // Node reads headers as Latin-1, and callers write UTF-8.
    assert.equal(of({ "x-headgate-subject": Buffer.from("Zoë").toString("latin1") }, everything), of({}, { user: "Zoë" }));
    assert.equal(of({}, everything), of({}, { user: "s" }));
    assert.equal(of({}, { ...everything, safety_identifier: "" }), of({}, { safety_identifier: "u" }));
    assert.equal(of({}, { metadata: { conversation_id: "c" } }), of({}, { user: "c" }));
  });

  it("is the request itself when nobody is named", () => {
    assert.notEqual(of({}, {}, "r-1"), of({}, {}, "r-2"));
    assert.notEqual(of({}, { user: 5, metadata: "x" }, "r-1"), of({}, {}, "r-2"));
  });

  it("is a keyed hash: 32 hex digits, another under another key", () => {
    assert.match(of({}, { user: "u" }), /^[0-9a-f]{32}$/);
    assert.notEqual(of({}, { user: "u" }, "r-1", "a key"), of({}, { user: "u" }, "r-1", "another"));
  });

  it("is the same HMAC whether it was seen lately, long ago or never", () => {
    const hash = new KeyedHash("a key");
    const expected = (text: string) => createHmac("sha256", "a key").update(text).digest("hex").slice(0, 32);
    for (const round of [0, 1]) {
      for (let i = 0; i < 12_000; i++) {
        const text = `user-${i}${i % 1_000 === 0 ? "ü".repeat(200) : ""}`;
        if (i % 97 === 0 || round === 1) assert.equal(hash.of(text), expected(text));
        else hash.of(text);
      }
    }
    assert.equal(hash.once("user-1"), hash.of("user-1"));
  });

  it("is remembered for at most so many, also when those of long ago come again", () => {
    const hash = new KeyedHash("a key");
    for (let generation = 1; generation <= 6; generation++) for (let i = 0; i < generation * 5_000; i++) hash.of(`user-${i}`);
    assert.ok(hash.size <= 10_000, `${hash.size} are remembered`);
  });

  it("its trace is that of traceparent, else the request's; its turn counts the model's answers so far", () => {
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const requestId = uuidv7(Date.now());
    assert.equal(traceIdOf({ traceparent: `00-${trace}-00f067aa0ba902b7-01` }, requestId), trace);
    assert.equal(traceIdOf({ traceparent: `00-${"0".repeat(32)}-00f067aa0ba902b7-01` }, requestId), requestId.replaceAll("-", ""));
    assert.equal(traceIdOf({}, requestId), requestId.replaceAll("-", ""));
    const valid = `00-${trace}-00f067aa0ba902b7-01`;
    assert.equal(traceIdOf({ traceparent: `cc-${trace}-00f067aa0ba902b7-01-what.comes-later` }, requestId), trace);
    const invalid = [
      `ff${valid.slice(2)}`,
      `${valid}, ${valid}`,
      `${valid}-more`,
      `${valid}0`,
      `00-${trace}-${"0".repeat(16)}-01`,
      valid.toUpperCase(),
      ` ${valid}`,
    ];
    for (const traceparent of invalid) {
      assert.equal(traceIdOf({ traceparent }, requestId), requestId.replaceAll("-", ""), traceparent);
      assert.equal(traceStateOf({ traceparent, tracestate: "a=1" }), "", traceparent);
    }
    assert.equal(traceStateOf({ traceparent: valid, tracestate: "a=1" }), "a=1");
  });
});

describe("the slices of a call", () => {
  it("are what its header names, each once, and no more and no longer than a record should carry", () => {
    const of = (header?: string) => slicesOf([], { route: "r", request: {}, headers: header === undefined ? {} : { "x-headgate-slices": header } });
    assert.deepEqual(of(Buffer.from("ländle").toString("latin1")), ["ländle"]);
    assert.deepEqual(of(" context=long , domain=billing,,context=long"), ["context=long", "domain=billing"]);
    assert.deepEqual([of(), of(""), of(`a,${"x".repeat(101)}`)], [[], [], ["a"]]);
    assert.equal(of(Array.from({ length: 40 }, (_, i) => `s${i}`).join(",")).length, 16);
  });
});

describe("cost", () => {
  const price = { inputPerMillion: 2, outputPerMillion: 10 };
  it("is what the upstream says, else tokens at the price, else unknown", () => {
    assert.equal(costOf(answerOf({ usage: { cost: 0.5, prompt_tokens: 1, completion_tokens: 1 } }), price), 0.5);
    assert.equal(costOf(answerOf({ usage: { prompt_tokens: 1_000_000, completion_tokens: 100_000 } }), price), 3);
    assert.equal(costOf(answerOf({ usage: { input_tokens: 0, output_tokens: 0 } }), price), 0);
    assert.equal(costOf(answerOf({ usage: { prompt_tokens: 5 } }), price), null);
    assert.equal(costOf(answerOf({ usage: { prompt_tokens: 5, completion_tokens: -1, cost: "1" } }), price), null);
    assert.equal(costOf(answerOf({ usage: { prompt_tokens: 5, completion_tokens: 1 } }), undefined), null);
  });
});

describe("bodies that do not fit", () => {
  const none = { requestBody: null, responseBody: null, responseFormat: null, reference: null, twinBody: null };

  it("never exceed the limit together, are cut between characters, and say so", () => {
    const text = fc.option(fc.string({ unit: "grapheme", maxLength: 60 }));
    fc.assert(
      fc.property(text, text, text, text, text, fc.nat(120), (requestBody, responseBody, responseFormat, reference, twinBody, maxBytes) => {
        const given = { requestBody, responseBody, responseFormat, reference, twinBody };
        const { cut, ...fitted } = fitBodies(given, maxBytes);
        const size = (texts: typeof given) => Object.values(texts).reduce((sum, value) => sum + Buffer.byteLength(value ?? ""), 0);
        assert.ok(size(fitted) <= maxBytes);
        assert.equal(cut, size(given) > maxBytes);
        for (const [name, value] of Object.entries(fitted)) {
          const whole = given[name as keyof typeof given];
          if (value !== null) assert.ok(whole?.startsWith(value));
          if (!cut) assert.equal(value, whole);
        }
      }),
    );
  });

  it("keeps the answer longest and the prompt shortest", () => {
    const fitted = fitBodies({ ...none, requestBody: "p".repeat(50), responseBody: "a".repeat(50), responseFormat: "{}" }, 60);
    assert.deepEqual([fitted.responseBody?.length, fitted.responseFormat, fitted.requestBody?.length, fitted.cut], [50, "{}", 8, true]);
  });
});

describe("the event clock", () => {
  it("never goes back, whatever the wall clock does, but when that is more than a minute behind", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e13, noNaN: true }), { minLength: 2 }), (walls) => {
        const times = [...walls];
        const clock = new EventClock(() => times.shift() ?? 0);
        let last = 0;
        for (const wall of walls) {
          const nowMs = clock.nowMs();
          assert.equal(nowMs, last - Math.floor(wall) > 60_000 ? Math.floor(wall) : Math.max(last, Math.floor(wall)));
          last = nowMs;
        }
      }),
    );
  });
});
