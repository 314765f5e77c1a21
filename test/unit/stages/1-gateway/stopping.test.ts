import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { answerJson, ask, completion, fileFor, MemoryLog, testGateway, testUpstream, until } from "./harness.ts";

describe("a gateway that is asked to stop", () => {
  it("a stopping gateway finishes what runs, records it, and reports that it stops", async (t) => {
    const one = await testUpstream(t);
    let finish: () => void = () => undefined;
    one.answer = (_, response) => {
      finish = () => answerJson(response, completion("late"));
    };
    const gateway = await testGateway(t, fileFor(one));
    const running = gateway.chat(ask());
    await until("the call runs", () => one.asked.length === 1);
    const stopped = gateway.stop();
    await until("it reports that it stops", () => gateway.log.reports().at(-1)?.stopping === true);
    await assert.rejects(gateway.chat(ask()), "a stopping gateway takes no new connections");
    finish();
    assert.equal((await running).status, 200);
    await stopped;
    assert.equal(gateway.log.calls().length, 1);
    assert.equal(gateway.log.requests().at(-1)?.kind, "mark");
  });

  it("a gateway that is stopped while it connects writes what it has recorded, as soon as it is connected", async (t) => {
    const memory = new MemoryLog();
    const connecting = Promise.withResolvers<void>();
    const connect = async () => {
      await connecting.promise;
      return memory.client();
    };
    const gateway = await testGateway(t, fileFor(await testUpstream(t)), { connect });
    assert.equal((await gateway.chat(ask())).status, 200);
    const stopped = gateway.stop();
    setTimeout(connecting.resolve, 300);
    await stopped;
    assert.equal(memory.calls().length, 1);
  });

  it("a gateway that is stopped while Kafka is away does not wait for it beyond the attempt under way", async (t) => {
    const gateway = await testGateway(t, fileFor(await testUpstream(t)), { connect: () => Promise.reject(new Error("away")) });
    assert.equal((await gateway.chat(ask())).status, 200);
    await gateway.stop();
    assert.match(await gateway.registry.metrics(), /headgate_gateway_dropped_records_total\{reason="shutdown"\} 1/);
  });

  it("a leaving gateway is not ready and serves on, until load balancers have turned away", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one), { drain: { lameDuckMs: 3_000, finishMs: 8_000 } });
    const stopped = gateway.stop();
    const readyz = await fetch(`${gateway.url}/readyz`);
    assert.deepEqual([readyz.status, ((await readyz.json()) as { stopping: boolean }).stopping], [503, true]);
    const answer = await gateway.chat(ask());
    assert.deepEqual([answer.status, answer.headers.get("connection")], [200, "close"]);
    await stopped;
    await assert.rejects(gateway.chat(ask()), "it has stopped");
    assert.equal(gateway.log.calls().length, 1);
  });

  it("a stream that outlives the time for finishing is cut and recorded", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => void response.writeHead(200, { "content-type": "text/event-stream" }).write("data: {}\n\n");
    const gateway = await testGateway(t, fileFor(one), { drain: { lameDuckMs: 0, finishMs: 50 } });
    const answer = await gateway.chat(ask("hi", { stream: true }));
    await gateway.stop();
    await assert.rejects(answer.text());
    assert.deepEqual(
      gateway.log.calls().map((call) => call.kind === "call" && call.status),
      ["cancelled"],
    );
  });
});
