import assert from "node:assert/strict";
import { describe, it } from "node:test";
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
        const answer = gateway.chat(ask("hi", { stream: isStream }));
        answers.push(answer);
        await until("it hangs", () => finishes.length === i + 1);
        while ((await kept()) < Math.min(i + 1, 2) * 59 * KIB) await new Promise((resolve) => setTimeout(resolve, 5));
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
          .map(({ status, cut }) => ({ status, cut }))
          .toSorted((a, b) => Number(a.cut) - Number(b.cut)),
        [false, false, true].map((cut) => ({ status: "ok", cut })),
      );
      assert.equal(await kept(), 0);

      one.answer = (_, response) => answerJson(response, completion(text));
      await (await gateway.chat(ask())).text();
      await until("the next call is recorded", () => gateway.log.calls().length === 4);
      assert.equal(gateway.log.calls().at(-1)?.cut, false);
    });
  }
});
