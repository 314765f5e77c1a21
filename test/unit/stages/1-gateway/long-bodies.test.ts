import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const everybodyOnBaseline = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 });
const MIB = 1024 * 1024;
const schema = { type: "object", properties: { text: { type: "string" } }, required: ["text"], additionalProperties: false };
const format = { type: "json_schema", json_schema: { name: "long", schema } };
const json = (bytes: number, more: object = {}) => JSON.stringify({ text: "x".repeat(bytes), ...more });
const streamOf = (text: string) => {
  const pieces = [...Array(Math.ceil(text.length / MIB)).keys()].map((i) => text.slice(i * MIB, (i + 1) * MIB));
  const events = [...pieces.map((content) => ({ index: 0, delta: { content } })), { index: 0, delta: {}, finish_reason: "stop" }];
  return `${events.map((choice) => `data: ${JSON.stringify({ choices: [choice] })}\n\n`).join("")}data: [DONE]\n\n`;
};

describe("a call that is longer than its record", () => {
  for (const isStream of [false, true]) {
    it(`is checked whole before it is cut: a valid, an invalid and a broken answer of 9 MiB${isStream ? ", streamed" : ""}`, async (t) => {
      const one = await testUpstream(t);
      const answers = [json(9 * MIB), json(9 * MIB, { more: 1 }), json(9 * MIB).slice(0, -1)];
      one.answer = (_, response) => {
        const content = answers.shift() ?? "";
        if (!isStream) return answerJson(response, completion(content));
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end(streamOf(content));
      };
      const gateway = await testGateway(t, fileFor(one));
      for (const length of answers.map((answer) => answer.length)) {
        const seen = await (await gateway.chat(ask("hi", { response_format: format, stream: isStream }))).text();
        assert.ok(seen.length > length, "the caller sees the whole answer");
      }
      await until("the calls are recorded", () => gateway.log.calls().length === 3);
      assert.deepEqual(
        gateway.log.calls().map(({ status, cut, wholeChecks, responseBody }) => ({ status, cut, wholeChecks, isShort: (responseBody?.length ?? 0) < 8 * MIB })),
        [true, false, false].map((schemaValid) => {
          const answer = { schemaValid, empty: false, formBroken: false, timedOut: false };
          return { status: "ok", cut: true, wholeChecks: { answer, twin: null }, isShort: true };
        }),
      );
    });
  }

  it("is checked by the table's own form, also when only its prompt is too long", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    gateway.log.tables.routing.put(
      "support-answer",
      tableWith({ ranges: everybodyOnBaseline, schemaCheck: { source: "pattern", pattern: "^hello$", jsonSchema: null, fence: "forbidden" } }),
    );
    await (await gateway.chat(ask("y".repeat(9 * MIB)))).text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const { cut, wholeChecks, responseBody } = gateway.log.calls()[0] ?? {};
    assert.deepEqual([cut, wholeChecks?.answer?.schemaValid, JSON.parse(responseBody ?? "").choices[0].message.content], [true, true, "hello"]);
  });

  it("has no checks where nobody can read it whole, nor where it is not cut or not logged", async (t) => {
    const one = await testUpstream(t);
    const lengths = [33 * MIB, 1, 9 * MIB];
    one.answer = (_, response) => answerJson(response, completion(json(lengths.shift() ?? 0)));
    const gateway = await testGateway(t, `${fileFor(one)}  quiet: { baseline: { version: q@1, upstream: one, model: m }, bodies: none }\n`);
    for (const model of ["support-answer", "support-answer", "quiet"]) await (await gateway.chat(ask("hi", { model, response_format: format }))).text();
    await until("the calls are recorded", () => gateway.log.calls().length === 3);
    assert.deepEqual(
      gateway.log.calls().map(({ cut, wholeChecks }) => [cut, wholeChecks]),
      [
        [true, { answer: null, twin: null }],
        [false, null],
        [false, null],
      ],
    );
  });

  it("brings, mirrored, the checks of both sides", async (t) => {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    one.answer = (_, response) => answerJson(response, completion(json(5 * MIB)));
    two.answer = (_, response) => answerJson(response, completion(json(5 * MIB, { more: 1 })));
    const gateway = await testGateway(t, fileFor(one, two));
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges: everybodyOnBaseline, shadowPpm: 1_000_000, phase: "shadow", step: -1 }));
    await (await gateway.chat(ask("hi", { response_format: format }))).text();
    await until("both calls are recorded", () => gateway.log.calls().length === 2);
    const [served, shadow] = gateway.log.calls();
    assert.deepEqual([served?.cut, shadow?.exposure, shadow?.cut], [false, "shadow", true]);
    assert.deepEqual([shadow?.wholeChecks?.answer?.schemaValid, shadow?.wholeChecks?.twin?.schemaValid], [false, true]);
  });
});
