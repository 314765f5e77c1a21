import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const KIB = 1024;
const chunk = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;

describe("the memory that running answers share", () => {
  for (const isStream of [false, true]) {
    it(`has an end: what does not fit goes to its caller whole and is recorded as cut${isStream ? ", streamed" : ""}`, async (t) => {
      const one = await testUpstream(t);
      const finishes: (() => void)[] = [];
      const text = "x".repeat(60 * KIB);
      one.answer = (_, response) => {
        const body = JSON.stringify(completion(text));
        response.writeHead(200, { "content-type": isStream ? "text/event-stream" : "application/json" });
        response.write(isStream ? chunk(text.slice(0, -1)) : body.slice(0, -1));
        finishes.push(() => response.end(isStream ? `${chunk("x", "stop")}data: [DONE]\n\n` : body.slice(-1)));
      };
      const gateway = await testGateway(t, fileFor(one, one, `maxAnswerBytesInFlight: ${150 * KIB}\n`));
      const kept = async () => Number(/^headgate_gateway_in_flight_answer_bytes (\S+)$/m.exec(await gateway.registry.metrics())?.[1]);
      const answers = [];
      // One after the other, so that it is known which of them finds no room.
      for (let i = 0; i < 3; i++) {
        const answer = gateway.chat(ask("hi", { stream: isStream, response_format: { type: "text" } }));
        answers.push(answer);
        await until("it hangs", () => finishes.length === i + 1);
        await until("what came of it is kept", async () => (await kept()) >= Math.min(i + 1, 2) * 59 * KIB);
      }
      // The last first, while the others still hold what they have.
      for (const i of [2, 1, 0]) {
        finishes[i]?.();
        assert.ok(((await (await answers[i])?.text()) ?? "").length > 60 * KIB, "every caller sees the whole answer");
      }
      await until("the calls are recorded", () => gateway.log.calls().length === 3);
      assert.deepEqual(
        gateway.log
          .calls()
          // The gateway itself has no whole answer: nobody may take what is left of it for an invalid or an empty one.
          .map(({ status, cut, wholeChecks }) => ({ status, cut, wholeChecks }))
          .toSorted((a, b) => Number(a.cut) - Number(b.cut)),
        [false, false, true].map((cut) => ({ status: "ok", cut, wholeChecks: cut ? { answer: null, twin: null } : null })),
      );
      assert.equal(await kept(), 0);

      one.answer = (_, response) => answerJson(response, completion(text));
      await (await gateway.chat(ask())).text();
      await until("the next call is recorded", () => gateway.log.calls().length === 4);
      assert.equal(gateway.log.calls().at(-1)?.cut, false);
    });
  }
});

describe("an answer of which only a part was kept", () => {
  it("is no invalid one: neither the served answer nor, mirrored, its twin", async (t) => {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    const json = JSON.stringify({ text: "x".repeat(60 * KIB) });
    one.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`${chunk(json.slice(0, 30 * KIB))}${chunk(json.slice(30 * KIB), "stop")}data: [DONE]\n\n`);
    };
    two.answer = (_, response) => answerJson(response, completion("{}"));
    const gateway = await testGateway(t, fileFor(one, two, `maxAnswerBytesInFlight: ${20 * KIB}\n`));
    const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 });
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges, shadowPpm: 1_000_000, phase: "shadow", step: -1 }));
    const format = { type: "json_schema", json_schema: { name: "a", schema: { type: "object" } } };
    assert.ok((await (await gateway.chat(ask("hi", { stream: true, response_format: format }))).text()).length > 60 * KIB);
    await until("both calls are recorded", () => gateway.log.calls().length === 2);
    assert.deepEqual(
      gateway.log
        .calls()
        .map(({ exposure, status, cut, wholeChecks }) => ({ exposure, status, cut, answer: wholeChecks?.answer?.schemaValid, twin: wholeChecks?.twin })),
      [
        { exposure: "served", status: "ok", cut: true, answer: undefined, twin: null },
        { exposure: "shadow", status: "ok", cut: true, answer: true, twin: null },
      ],
    );
  });
});
