import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { collectorFor } from "../../../../src/stages/1-gateway/call/collect.ts";
import { withExactNumbers } from "../../../../src/stages/1-gateway/call/exact-numbers.ts";
import { upstreamBody } from "../../../../src/stages/1-gateway/call/upstream-request.ts";
import { chat } from "../../../../src/stages/1-gateway/endpoints/chat.ts";

const version = { name: "v", upstream: "u", model: "m", parameters: { temperature: 0 }, systemTemplate: null };
const sent = (text: string) => upstreamBody({ text, request: JSON.parse(text), endpoint: chat }, version, false);

describe("a request that is written anew", () => {
  it("keeps the numbers that a double does not hold, wherever they stand", () => {
    const text =
      '{"model":"r","seed":12345678901234567890,"a":[1e400,-1e-400, 0.12345678901234567890],"b":{"c":1234567890.12345678},"n":1.5e3,"t":"12345678901234567890, 1e400"}';
    assert.equal(
      sent(text),
      '{"model":"m","seed":12345678901234567890,"a":[1e400,-1e-400,0.12345678901234567890],"b":{"c":1234567890.12345678},"n":1.5e3,"t":"12345678901234567890, 1e400","temperature":0}',
    );
    assert.equal(sent('{"model":"r","temperature":1e400,"seed":7}'), '{"model":"m","temperature":0,"seed":7}');
  });

  it("is the same value as the caller's, for any JSON", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const text = `{"model":"r","x":${json},"big":[12345678901234567890]}`;
        assert.equal(sent(text), `{"model":"m","x":${JSON.stringify(JSON.parse(json))},"big":[12345678901234567890],"temperature":0}`);
      }),
    );
  });

  it("is looked at no further when it has no such number", () => {
    for (const text of [
      '{"seed":42,"t":"id 12345678901234567"}',
      `{"url":"data:image/png;base64,iVBOR${"3e400A1234567890123456789".repeat(10)}"}`,
      '{"x":[0.1,1e10,-7]}',
    ]) {
      const parsed = JSON.parse(text);
      const isSame = withExactNumbers(text, parsed) === parsed;
      assert.equal(isSame, !text.includes("id 1234"), text);
      assert.equal(JSON.stringify(withExactNumbers(text, parsed)), JSON.stringify(parsed));
    }
  });
});

describe("an event that is written anew without its usage", () => {
  it("keeps them too", () => {
    const collector = collectorFor(chat, { status: 200, contentEncoding: "", isStream: true }, true);
    const chunk = Buffer.from('data: {"id":12345678901234567890,"choices":[{"delta":{"x":{"usage":null,"y":1}}}],"usage":null}\n\n');
    collector.push(chunk);
    assert.equal(collector.shown(chunk).toString(), 'data: {"id":12345678901234567890,"choices":[{"delta":{"x":{"usage":null,"y":1}}}]}\n\n');
  });
});
