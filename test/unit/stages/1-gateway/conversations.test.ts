import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { Conversations, responseIdOf } from "../../../../src/stages/1-gateway/call/conversations.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const share = (candidateBuckets: number) => rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets, holdbackBuckets: 100 });
const step = (epoch: number, candidateBuckets: number, changes = {}) => tableWith({ epoch, ranges: share(candidateBuckets), ...changes });
/** With a holdback of 1 % nobody but its subjects stays on the baseline; this one is not among them. */
const user = "u-1";
/** Nothing else runs with the same first question. */
const begun = { body: null, staysWith: () => false };
const turn = (n: number, question = "first question") => [
  { role: "user", content: question },
  ...Array.from({ length: n }, (_, i) => [
    { role: "assistant", content: `answer ${i}` },
    { role: "user", content: `question ${i + 1}` },
  ]).flat(),
];

async function setUp(t: TestContext, extra = "") {
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  two.answer = (_, response) => answerJson(response, completion("from b"));
  const gateway = await testGateway(t, fileFor(one, two, extra));
  const put = (table: ReturnType<typeof tableWith>) => gateway.log.tables.routing.put("support-answer", table);
  put(step(1, 0));
  return { one, two, gateway, put };
}
async function callOf(gateway: TestGateway, path: string, body: unknown) {
  const before = gateway.log.calls().length;
  const response = await fetch(`${gateway.url}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  await response.text();
  await until("the call is recorded", () => gateway.log.calls().length > before);
  const record = gateway.log.calls().at(-1);
  return [record?.version, record?.arm];
}
const chat = (gateway: TestGateway, messages: unknown, more = {}) => callOf(gateway, "/v1/chat/completions", { ...ask(), messages, user, ...more });

describe("a running conversation", () => {
  it("stays on the baseline when a step up adds its subject, on no arm; a new one of the same subject goes to the candidate", async (t) => {
    const { gateway, put } = await setUp(t);
    assert.deepEqual(await chat(gateway, turn(0)), ["a@1", "baseline"]);
    put(step(2, 9_900));
    assert.deepEqual(await chat(gateway, turn(1)), ["a@1", "none"]);
    assert.deepEqual(await chat(gateway, turn(0, "another question")), ["b@2", "candidate"]);
    assert.deepEqual(await chat(gateway, turn(2)), ["a@1", "none"]);
    assert.deepEqual(await chat(gateway, turn(1, "another question")), ["b@2", "candidate"]);
  });

  it("goes on where it was in a tool loop of the Responses API, whose input holds no message of the assistant", async (t) => {
    const { gateway, put } = await setUp(t);
    const respond = (...more: object[]) =>
      callOf(gateway, "/v1/responses", { model: "support-answer", user, input: [{ role: "user", content: "weather?" }, ...more] });
    const loop = [
      { type: "reasoning", id: "rs_1", summary: [] },
      { type: "function_call", call_id: "c1", name: "w", arguments: "{}" },
      { type: "function_call_output", call_id: "c1", output: "sunny" },
    ];
    assert.deepEqual(await respond(), ["a@1", "baseline"]);
    put(step(2, 9_900));
    assert.deepEqual([await respond(...loop), await respond(...loop, ...loop)], Array(2).fill(["a@1", "none"]));
    assert.deepEqual(
      gateway.log.calls().map((call) => call.turn),
      [0, 1, 2],
    );
  });

  it("leaves the candidate at once on a rollback, a contraction or a brake, and a version that serves nobody any more", async (t) => {
    const { gateway, put } = await setUp(t);
    put(step(2, 9_900));
    assert.deepEqual(await chat(gateway, turn(0)), ["b@2", "candidate"]);
    put(step(3, 0));
    assert.deepEqual(await chat(gateway, turn(1)), ["a@1", "baseline"]);
    put(step(4, 10_000, { ranges: [{ arm: "none", version: "b@2", from: 0, to: 10_000 }], baseline: "b@2", candidate: "" }));
    assert.deepEqual(await chat(gateway, turn(2)), ["b@2", "none"]);
  });

  it("is not moved by a new one of the same subject that begins with the same question, nor moves that", async (t) => {
    const { gateway, put } = await setUp(t);
    const answered = (answer: unknown) => [
      { role: "user", content: "first question" },
      { role: "assistant", ...(answer as object) },
      { role: "user", content: "and?" },
    ];
    const [old, young] = [answered({ content: "hello" }), answered({ content: [{ type: "text", text: " from b " }] })];
    assert.deepEqual(await chat(gateway, turn(0)), ["a@1", "baseline"]);
    put(step(2, 9_900));
    assert.deepEqual(await chat(gateway, turn(0)), ["b@2", "candidate"]);
    for (let i = 0; i < 2; i++)
      assert.deepEqual(
        [await chat(gateway, old), await chat(gateway, young)],
        [
          ["a@1", "none"],
          ["b@2", "candidate"],
        ],
      );
    put(step(3, 0));
    assert.deepEqual([await chat(gateway, young), await chat(gateway, old)], Array(2).fill(["a@1", "baseline"]));
    put(step(4, 9_900));
    assert.deepEqual([await chat(gateway, young), await chat(gateway, old)], Array(2).fill(["a@1", "none"]));
  });

  it("gives way to a new one with the same question where the answers cannot be told apart", async (t) => {
    const { two, gateway, put } = await setUp(t);
    two.answer = (_, response) => answerJson(response, completion(""));
    await chat(gateway, turn(0));
    put(step(2, 9_900));
    assert.deepEqual([await chat(gateway, turn(0)), await chat(gateway, turn(1))], Array(2).fill(["b@2", "candidate"]));
  });

  it("is told from another by the calls of tools in its first answer, and by its stored response", async (t) => {
    const { one, two, gateway, put } = await setUp(t);
    const respond = (more: object) => callOf(gateway, "/v1/responses", { model: "support-answer", user, ...more });
    const call = (id: string) => ({ type: "function_call", call_id: `call_${id}`, name: "w", arguments: "{}" });
    const answers = (id: string) => ({ id: `resp_${id}`, object: "response", status: "completed", output: [{ type: "reasoning" }, call(id)] });
    one.answer = (_, response) => answerJson(response, answers("a"));
    two.answer = (_, response) => answerJson(response, answers("b"));
    const question = { role: "user", content: "weather?" };
    const went = (id: string) => ({ input: [question, call(id), { type: "function_call_output", call_id: `call_${id}`, output: "sunny" }] });
    await respond({ input: [question] });
    put(step(2, 9_900));
    assert.deepEqual(await respond({ input: [question] }), ["b@2", "candidate"]);
    assert.deepEqual(
      [await respond(went("a")), await respond(went("b"))],
      [
        ["a@1", "none"],
        ["b@2", "candidate"],
      ],
    );
    const [chainA, chainB] = [
      await respond({ input: "go on", previous_response_id: "resp_a" }),
      await respond({ input: "go on", previous_response_id: "resp_b" }),
    ];
    assert.deepEqual(
      [chainA, chainB],
      [
        ["a@1", "none"],
        ["b@2", "candidate"],
      ],
    );
  });

  it("is known by the id that it has, whatever its history says", async (t) => {
    const { gateway, put } = await setUp(t);
    const metadata = { conversation_id: "c-1" };
    await chat(gateway, turn(0), { metadata });
    put(step(2, 9_900));
    assert.deepEqual(await chat(gateway, turn(0, "only the last message"), { metadata }), ["a@1", "none"]);
    assert.deepEqual(await chat(gateway, turn(0, "only the last message"), { metadata: { conversation_id: "c-2" } }), ["b@2", "candidate"]);
  });

  it("is moved at once where the file remembers none", async (t) => {
    const { gateway, put } = await setUp(t, "conversations: { max: 0 }");
    await chat(gateway, turn(0));
    put(step(2, 9_900));
    assert.deepEqual(await chat(gateway, turn(1)), ["b@2", "candidate"]);
  });

  it("is not begun by an answer that failed", async (t) => {
    const { one, gateway, put } = await setUp(t);
    one.answer = (_, response) => answerJson(response, {}, 400);
    await chat(gateway, turn(0));
    put(step(2, 9_900));
    assert.deepEqual(await chat(gateway, turn(1)), ["b@2", "candidate"]);
  });

  it("is told from another of the same question by other processes too, and for as long as both run", () => {
    const [here, there] = [new Conversations({ max: 9, idleMs: 1_000 }), new Conversations({ max: 9, idleMs: 1_000 })];
    here.onRemembered((fact) => void there.take([fact]));
    const question = { role: "user", content: "q" };
    const of = (memory: Conversations, answer = "") => {
      const request = { messages: [question, { role: "assistant", content: answer }] };
      return memory.of({ route: "r", request, subject: "s", turn: answer === "" ? 0 : 1, requestId: "1" });
    };
    const serve = (version: string, answer: string, nowMs: number) =>
      here.served(of(here), { version, subject: "s", responseId: null, nowMs, body: JSON.stringify(completion(answer)), staysWith: (last) => last === "a@1" });
    serve("a@1", "A", 0);
    serve("b@2", "B", 1);
    const versions = (nowMs: number) => [here, there].flatMap((memory) => ["A", "B"].map((answer) => memory.versionOf(of(memory, answer), nowMs)));
    assert.deepEqual(versions(2), ["a@1", "b@2", "a@1", "b@2"]);
    serve("b@2", "C", 1_500);
    assert.deepEqual([here.versionOf(of(here, "A"), 1_501), here.versionOf(of(here, "C"), 1_501)], ["b@2", "b@2"]);
  });

  it("is over when it was silent for long, and the ones not used for longest are forgotten first", () => {
    const conversations = new Conversations({ max: 2, idleMs: 1_000 });
    const of = (question: string, turns = 1) =>
      conversations.of({ route: "r", request: { messages: [{ role: "user", content: question }] }, subject: "s", turn: turns, requestId: "1" });
    const serve = (question: string, nowMs: number) => conversations.served(of(question), { version: "a@1", subject: "s", responseId: null, nowMs, ...begun });
    serve("q1", 0);
    assert.deepEqual(
      [conversations.versionOf(of("q1"), 1_000), conversations.versionOf(of("q1"), 1_001), conversations.versionOf(of("q1", 0), 1)],
      ["a@1", undefined, undefined],
    );
    const minuteMs = 60_000;
    serve("q2", 1);
    serve("q1", minuteMs);
    serve("q3", minuteMs + 1);
    assert.deepEqual(
      ["q1", "q2", "q3"].map((question) => conversations.versionOf(of(question), minuteMs + 2)),
      ["a@1", undefined, "a@1"],
    );
    // Used again within the minute in which it keeps its place, a conversation goes on all the same.
    serve("q1", minuteMs + 900);
    assert.equal(conversations.versionOf(of("q1"), minuteMs + 1_900), "a@1");
  });
});

describe("a chain of stored responses", () => {
  it("keeps its first call's subject and version, from answer to answer, streamed or not", async (t) => {
    const { one, gateway, put } = await setUp(t);
    let nth = 0;
    one.answer = (asked, response) => {
      const value = {
        id: `resp_${++nth}`,
        object: "response",
        status: "completed",
        output: [{ type: "message", content: [{ type: "output_text", text: "hi" }] }],
      };
      if (asked.body.stream !== true) return answerJson(response, value);
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`event: response.completed\ndata: ${JSON.stringify({ type: "response.completed", response: value })}\n\n`);
    };
    const respond = (more = {}) => callOf(gateway, "/v1/responses", { model: "support-answer", input: "hi", ...more });
    await respond();
    put(step(2, 9_900));
    assert.deepEqual(await respond({ previous_response_id: "resp_1", stream: true }), ["a@1", "none"]);
    assert.deepEqual(await respond({ previous_response_id: "resp_2" }), ["a@1", "none"]);
    assert.equal(new Set(gateway.log.calls().map(({ subject }) => subject)).size, 1);
    await respond({ previous_response_id: "resp_unknown" });
    assert.equal(new Set(gateway.log.calls().map(({ subject }) => subject)).size, 2);
  });

  it("that another gateway began is nobody's evidence, and goes to its subject's version or to the one that most have", async (t) => {
    const { gateway, put } = await setUp(t);
    put(step(2, 4_000));
    const respond = (more: object) =>
      callOf(gateway, "/v1/responses", { model: "support-answer", input: "hi", previous_response_id: "resp_of_another", ...more });
    const named = [];
    for (let i = 0; i < 20; i++) named.push([await respond({ user: `user-${i}` }), await respond({ user: `user-${i}` })]);
    assert.deepEqual(new Set(named.flat().map(([, arm]) => arm)), new Set(["none"]));
    for (const [first, again] of named) assert.deepEqual(first, again);
    assert.deepEqual(new Set(named.flat().map(([version]) => version)), new Set(["a@1", "b@2"]));
    for (let i = 0; i < 10; i++) assert.deepEqual(await respond({}), ["a@1", "none"]);
    put(step(3, 9_000));
    assert.deepEqual(await respond({}), ["b@2", "none"]);
  });

  it("is read from an answer's own id", () => {
    assert.equal(responseIdOf('{ "id": "resp_1", "object": "response" }'), "resp_1");
    assert.equal(responseIdOf('{"output":[{"id":"msg_1"}],"id":"resp_2"}'), "resp_2");
    assert.deepEqual([responseIdOf(null), responseIdOf("{"), responseIdOf("[]")], [null, null, null]);
  });
});

describe("the ids of conversations and responses", () => {
  it("are kept as hashes of one short length, whatever callers and upstreams choose", () => {
    const conversations = new Conversations({ max: 10, idleMs: 1_000 });
    const of = (request: object) => conversations.of({ route: "r", request: { ...request }, subject: "s", turn: 1, requestId: "q" });
    const long = "private ".repeat(100_000);
    const named = of({ metadata: { conversation_id: long } });
    assert.ok(named.key.length < 64 && !named.key.includes("private"));
    assert.notEqual(named.key, of({ metadata: { conversation_id: `${long}.` } }).key);
    conversations.served(named, { version: "a@1", subject: "s", responseId: long, nowMs: 0, ...begun });
    assert.equal(conversations.subjectOf({ previous_response_id: long }), "s");
    assert.equal(of({ previous_response_id: long }).key, named.key);
    assert.equal(conversations.versionOf(of({ metadata: { conversation_id: long } }), 1), "a@1");
    assert.equal(conversations.subjectOf({ previous_response_id: long.slice(1) }), undefined);
  });

  it("is not forgotten for calls that nobody can go on with", async (t) => {
    const { gateway, put } = await setUp(t, "conversations: { max: 3 }\n");
    assert.deepEqual(await chat(gateway, turn(0)), ["a@1", "baseline"]);
    for (let i = 0; i < 10; i++) await callOf(gateway, "/v1/chat/completions", ask(`from nobody ${i}`));
    put(step(2, 9_900));
    assert.deepEqual(await chat(gateway, turn(1)), ["a@1", "none"]);
  });
});
