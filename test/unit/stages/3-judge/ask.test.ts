import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { evaluate } from "../../../../src/stages/3-judge/evaluate.ts";
import { completion, filled, judgeServer, type Question } from "./judge-server.ts";
import { never, partsFor, sampleWith } from "./parts.ts";

const resultOf = async (parts: Parameters<typeof evaluate>[0], changes: Parameters<typeof sampleWith>[0] = {}) =>
  (await evaluate(parts, sampleWith(changes), never))[0]?.results[0];
const failure = (status: number, error: object = {}, headers: Record<string, string> = {}) => ({
  status,
  headers,
  body: { error: { message: "no", ...error } },
});

describe("asking the judge", () => {
  it("comes back after a storm of 429, obeying Retry-After, and counts no failure", async (t) => {
    const reply = (question: Question) =>
      question.index < 12
        ? failure(429, {}, question.index % 2 === 0 ? { "retry-after": "0.02" } : { "retry-after-ms": "15" })
        : completion(filled(question, "yes"));
    const { url } = await judgeServer(t, reply);
    const { parts, counted, changes } = partsFor(url, { env: { HEADGATE_JUDGE_CACHE: "0" } });
    const results = await Promise.all(Array.from({ length: 6 }, (_, i) => resultOf(parts, { answer: `a${i}` })));
    assert.deepEqual(
      results.map((result) => result?.status),
      new Array(6).fill("scored"),
    );
    assert.equal(await counted("calls_total", { outcome: "busy" }), 12);
    assert.equal(await counted("retries_total"), 12);
    assert.equal(await counted("failures_total"), 0);
    assert.deepEqual(changes, [], "a rate limit is no outage");
  });

  it("keeps everybody back while one was told to wait", async (t) => {
    let now = 1_000;
    const { url, questions } = await judgeServer(t, (question) =>
      question.index === 0 ? failure(429, {}, { "retry-after": "100" }) : completion(filled(question, "yes")),
    );
    const { parts, gate } = partsFor(url, { now: () => now });
    const leaving = new AbortController();
    const first = evaluate(parts, sampleWith({ answer: "a" }), leaving.signal);
    while (questions.length === 0) await new Promise(setImmediate);
    while ((await partsWaiting(gate)) !== "paused") await new Promise(setImmediate);
    const second = evaluate(parts, sampleWith({ answer: "b" }), leaving.signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(questions.length, 1, "the second item waits for the endpoint's pause");
    leaving.abort();
    await assert.rejects(first, { name: "AbortError" });
    await assert.rejects(second, { name: "AbortError" });
    now += 200_000;
    assert.equal((await resultOf(parts, { answer: "c" }))?.status, "scored");
  });

  it("asks again, twice, what it cannot read, and then fails: never a low score", async (t) => {
    const broken = ["{nonsense", '{"task_completion":{"evidence":"e","reasoning":"r","criteria":{"correct":"maybe"}}}', "[]"];
    const { url, questions } = await judgeServer(t, ({ index }) => completion(broken[index] ?? null));
    const { parts, counted } = partsFor(url);
    const result = await resultOf(parts);
    assert.deepEqual([result?.status, result?.value, questions.length], ["failed", null, 3]);
    assert.match(result?.rationale ?? "", /does not fit its form/);
    assert.equal(await counted("failures_total", { reason: "unparsable" }), 1);
  });

  it("reads a verdict at the second try, or in a markdown fence", async (t) => {
    const { url } = await judgeServer(t, (question) => completion(question.index === 0 ? "hm" : `\`\`\`json\n${filled(question, "yes")}\n\`\`\``));
    assert.equal((await resultOf(partsFor(url).parts))?.value, 1);
  });

  it("fails at once what will never be judged: refusals, filters, items too long, requests refused", async (t) => {
    const replies: Record<string, () => ReturnType<typeof completion>> = {
      refused: () => completion(null, { refusal: "no" }),
      filtered: () => completion("", { finish_reason: "content_filter" }),
      blocked: () => failure(400, { code: "content_filter" }),
      long: () => failure(400, { code: "context_length_exceeded" }),
      large: () => failure(413),
      unprocessable: () => failure(422, { message: "secret item text" }),
    };
    const { url, questions } = await judgeServer(t, ({ item }) => replies[item.answer]?.() ?? "drop");
    const { parts, counted } = partsFor(url);
    for (const [i, answer] of Object.keys(replies).entries()) {
      const result = await resultOf(parts, { answer });
      assert.deepEqual([result?.status, result?.value, questions.length], ["failed", null, i + 1], answer);
      assert.ok(!result?.rationale.includes("secret"), "bodies of errors may quote the item");
    }
    assert.deepEqual(
      [
        await counted("failures_total", { reason: "refused" }),
        await counted("failures_total", { reason: "too_long" }),
        await counted("failures_total", { reason: "rejected" }),
      ],
      [3, 2, 1],
    );
  });

  it("fails a verdict that is cut at the limit of tokens after asking again", async (t) => {
    const { url, questions } = await judgeServer(t, () => completion('{"evidence":', { finish_reason: "length" }));
    const result = await resultOf(partsFor(url).parts);
    assert.deepEqual([result?.status, questions.length, result?.rationale], ["failed", 3, "the verdict was cut at the limit of tokens"]);
  });

  it("gives up on an answer that hangs, before or inside its body, and asks again", async (t) => {
    const { url, questions } = await judgeServer(t, (question) =>
      question.index === 0 ? "hang" : question.index === 1 ? "hang_body" : completion(filled(question, "yes")),
    );
    const { parts, outages } = partsFor(url, { env: { HEADGATE_JUDGE_TIMEOUT_MS: "600" } });
    assert.equal((await resultOf(parts))?.status, "scored");
    assert.equal(questions.length, 3);
    assert.deepEqual(
      outages.map(({ problem }) => problem),
      ["no verdict within 600 ms", "no verdict within 600 ms"],
    );
  });

  it("fails an item that only ever breaks its call when its time is up, while others are answered", async (t) => {
    const { url } = await judgeServer(t, ({ item, ...question }) =>
      item.answer === "poison" ? failure(500) : completion(filled({ item, ...question }, "yes")),
    );
    let now = 0;
    const { parts, counted } = partsFor(url, { now: () => (now += 40), env: { HEADGATE_JUDGE_DEADLINE_MS: "500", HEADGATE_JUDGE_CACHE: "0" } });
    const poisoned = resultOf(parts, { answer: "poison" });
    let others = 0;
    let isOver = false;
    void poisoned.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      assert.equal((await resultOf(parts, { answer: `fine ${others++}` }))?.status, "scored");
    }
    const result = await poisoned;
    assert.deepEqual([result?.status, result?.rationale], ["failed", "not judged within 500 ms"]);
    assert.equal(await counted("failures_total", { reason: "deadline" }), 1);
  });

  it("waits out an outage however long it lasts: opens its breaker, probes, and then judges everything", async (t) => {
    let isDown = true;
    let now = 0;
    const { url, questions } = await judgeServer(t, (question) =>
      isDown ? (question.index % 2 === 0 ? failure(503) : "drop") : completion(filled(question, "yes")),
    );
    const { parts, gate, changes, counted } = partsFor(url, { now: () => now, env: { HEADGATE_JUDGE_DEADLINE_MS: "1000", HEADGATE_JUDGE_CONCURRENCY: "4" } });
    const all = Array.from({ length: 12 }, (_, i) => resultOf(parts, { answer: `a${i}` }));
    while (!gate.isDown) await new Promise(setImmediate);
    assert.deepEqual(changes, ["open"]);
    const asked = questions.length;
    assert.ok(asked <= 12, `${asked} calls before the breaker opened`);
    // An hour passes; the clock is ours, the gate's timer is real but short.
    isDown = false;
    now += 3_600_000;
    const results = await Promise.all(all);
    assert.deepEqual(new Set(results.map((result) => result?.status)), new Set(["scored"]));
    assert.deepEqual(changes, ["open", "closed"]);
    assert.equal(await counted("failures_total"), 0);
  });

  it("takes a wrong key, model or address for an outage that a person has to end", async (t) => {
    const statuses = [401, 403, 404];
    const { url } = await judgeServer(t, (question) => {
      const status = statuses[question.index];
      return status === undefined ? completion(filled(question, "yes")) : failure(status, { code: "invalid_api_key" });
    });
    const { parts, outages } = partsFor(url);
    assert.equal((await resultOf(parts))?.status, "scored");
    assert.deepEqual(
      outages,
      statuses.map((status) => ({ problem: `the endpoint answered ${status} (invalid_api_key)`, isConfiguration: true })),
    );
    const closed = partsFor("http://127.0.0.1:1/v1");
    const leaving = new AbortController();
    const waiting = evaluate(closed.parts, sampleWith(), leaving.signal);
    while (closed.outages.length === 0) await new Promise(setImmediate);
    leaving.abort();
    await assert.rejects(waiting);
    assert.match(closed.outages[0]?.problem ?? "", /no connection: (ECONNREFUSED|\w+)/);
  });

  it("has no more calls under way than configured, over all items", async (t) => {
    const { url, mostUnderWay } = await judgeServer(t, async (question) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return completion(filled(question, "yes"));
    });
    const { parts, counted } = partsFor(url, { env: { HEADGATE_JUDGE_CONCURRENCY: "3", HEADGATE_JUDGE_CACHE: "0" } });
    await Promise.all(Array.from({ length: 20 }, (_, i) => resultOf(parts, { answer: `a${i}` })));
    assert.equal(mostUnderWay(), 3);
    assert.equal(await counted("in_flight"), 0);
    assert.equal(await counted("waiting"), 0);
  });

  it("ends a call that is under way when it is stopped", async (t) => {
    const { url, questions } = await judgeServer(t, () => "hang");
    const { parts, counted } = partsFor(url);
    const leaving = new AbortController();
    const hanging = evaluate(parts, sampleWith(), leaving.signal);
    while (questions.length === 0) await new Promise(setImmediate);
    leaving.abort();
    await assert.rejects(hanging, { name: "AbortError" });
    assert.equal(await counted("in_flight"), 0);
    await assert.rejects(evaluate(parts, sampleWith(), leaving.signal), { name: "AbortError" });
  });
});

/** Whether the gate keeps calls back. */
async function partsWaiting(gate: { enter(signal: AbortSignal): Promise<void>; leave(result: "unknown"): void }): Promise<"paused" | "open"> {
  const leaving = new AbortController();
  const entered = gate.enter(leaving.signal).then(
    () => "open" as const,
    () => "paused" as const,
  );
  const state = await Promise.race([entered, new Promise<"paused">((resolve) => setImmediate(() => resolve("paused")))]);
  if (state === "open") gate.leave("unknown");
  leaving.abort();
  return state;
}
