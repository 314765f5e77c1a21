import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { pino } from "pino";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { AnswerMemory } from "../../../../src/stages/1-gateway/call/answer-memory.ts";
import { ShadowBudget } from "../../../../src/stages/1-gateway/call/shadow-budget.ts";
import { Upstream } from "../../../../src/stages/1-gateway/call/upstream.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import type { RoutingTable } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const chunk = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;
const done = `${chunk("", "stop")}data: [DONE]\n\n`;
const everybodyOnBaseline = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 });

/** A route that mirrors everything, whose served upstream holds its stream open behind the first token until the test goes on. */
async function held(t: TestContext, about: { readonly extra?: string; readonly table?: Partial<RoutingTable> } = {}) {
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  const served: ServerResponse[] = [];
  one.answer = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(chunk("A"));
    served.push(response);
  };
  two.answer = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`${chunk("B")}${done}`);
  };
  const gateway = await testGateway(t, fileFor(one, two, about.extra));
  gateway.log.tables.routing.put("support-answer", tableWith({ ranges: everybodyOnBaseline, shadowPpm: 1_000_000, phase: "shadow", step: -1, ...about.table }));
  const result = async (name: string) =>
    Number(new RegExp(`shadow_calls_total\\{route="support-answer",result="${name}"\\} (\\d+)`).exec(await gateway.registry.metrics())?.[1] ?? 0);
  const inFlight = async () => Number(/shadows_in_flight (\d+)/.exec(await gateway.registry.metrics())?.[1]);
  const stream = (signal?: AbortSignal) => gateway.chat(ask("hi", { stream: true }), signal === undefined ? {} : { signal });
  return { one, two, served, gateway, result, inFlight, stream };
}

describe("the budget of mirrors", () => {
  it("lets so many begin in a minute", async (t) => {
    const { served, gateway, result, stream } = await held(t, { extra: "shadow: { maxPerMinute: 2 }\n" });
    for (let i = 0; i < 4; i++) {
      const response = await stream();
      served[i]?.end(done);
      await response.text();
    }
    await until("all calls and two mirrors are recorded", () => gateway.log.calls().length === 6);
    assert.deepEqual([await result("completed"), await result("over_budget"), await result("dropped")], [2, 2, 0]);
  });

  it("stops when what they cost in an hour is spent, and says which model it cannot count", async (t) => {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    const told: string[] = [];
    const logger = pino({ level: "warn" }, { write: (line: string) => void told.push(line) });
    const yaml = fileFor(one, two, "shadow: { maxUsdPerHour: 0.0001 }\n");
    const priced = yaml.replace(
      `two: { baseUrl: "${two.url}" }`,
      `two: { baseUrl: "${two.url}", prices: { model-b: { inputPerMillion: 2, outputPerMillion: 10 } } }`,
    );
    const gateways = [await testGateway(t, priced, { logger }), await testGateway(t, yaml, { logger })];
    const shadows = [];
    for (const gateway of gateways) {
      gateway.log.tables.routing.put("support-answer", tableWith({ ranges: everybodyOnBaseline, shadowPpm: 1_000_000, phase: "shadow", step: -1 }));
      const mirrored = () => gateway.log.calls().filter(({ exposure }) => exposure === "shadow").length;
      for (let i = 0; i < 4; i++) {
        await (await gateway.chat(ask())).text();
        // Two mirrors of 52 millionths of a dollar each are more than there is.
        await until("its mirror is over", () => mirrored() === Math.min(i + 1, gateway === gateways[0] ? 2 : 4));
      }
      await until("all calls are recorded", () => gateway.log.calls().filter(({ exposure }) => exposure === "served").length === 4);
      shadows.push(mirrored());
    }
    assert.deepEqual(shadows, [2, 4]);
    assert.equal(told.filter((line) => line.includes("maxUsdPerHour")).length, 1);
  });

  it("pays for a mirrored answer also when its caller left, and there is no record of it", async (t) => {
    const { two, gateway, result, inFlight, stream } = await held(t, { extra: "shadow: { maxUsdPerHour: 0.0001 }\n" });
    let hasAnswered = false;
    two.answer = (_, response) => {
      const usage = { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14, cost: 0.001 };
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`${chunk("B")}${chunk("", "stop")}data: ${JSON.stringify({ id: "c", choices: [], usage })}\n\ndata: [DONE]\n\n`, () => (hasAnswered = true));
    };
    const abort = new AbortController();
    await stream(abort.signal);
    await until("the candidate has answered", () => hasAnswered);
    // It is in the gateway's socket by now, which is read before the next turn's immediates.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await inFlight(), 1, "its record waits for its twin");
    abort.abort();
    await until("the served call is recorded", () => gateway.log.calls().length === 1);
    const next = new AbortController();
    await stream(next.signal);
    next.abort();
    await until("both are recorded", () => gateway.log.calls().length === 2);
    assert.deepEqual([await result("stopped"), await result("over_budget"), two.asked.length], [1, 1, 1]);
  });

  it("is there again when time has passed", () => {
    let nowMs = 0;
    const budget = new ShadowBudget({ maxPerMinute: null, maxUsdPerHour: 1 }, () => nowMs);
    budget.spent(0.6);
    nowMs = 30 * 60_000;
    budget.spent(0.5);
    budget.spent(null);
    assert.equal(budget.take(), false);
    nowMs = 59 * 60_000 + 59_999;
    assert.equal(budget.take(), false);
    nowMs = 60 * 60_000;
    assert.equal(budget.take(), true);
  });
});

describe("the mirror of a stream", () => {
  it("is asked while the caller's stream still runs, and is recorded with how that ended", async (t) => {
    const { two, served, gateway, result, inFlight, stream } = await held(t);
    const response = await stream();
    await until("the candidate is asked", () => two.asked.length === 1);
    assert.equal(served[0]?.writableEnded, false, "the caller's stream has not ended");
    // The candidate has answered: the record waits for its twin, and counts as running.
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([gateway.log.calls().length, await inFlight(), await result("completed")], [0, 1, 0]);
    served[0]?.end(done);
    assert.match(await response.text(), /"A"/);
    await until("both are recorded", () => gateway.log.calls().length === 2);
    const [own, shadow] = gateway.log.calls();
    assert.deepEqual([own?.exposure, shadow?.exposure, shadow?.twin?.status, shadow?.twin?.responseBody], ["served", "shadow", "ok", own?.responseBody]);
    assert.ok((shadow?.latencyMs ?? 0) < (own?.latencyMs ?? 0), "its latency is its own");
    assert.deepEqual([await inFlight(), await result("completed")], [0, 1]);
  });

  it("carries that the served stream broke after it had begun", async (t) => {
    const { two, served, gateway, stream } = await held(t);
    const response = await stream();
    await until("the candidate is asked", () => two.asked.length === 1);
    served[0]?.destroy();
    await response.text().catch(() => "");
    await until("both are recorded", () => gateway.log.calls().length === 2);
    assert.deepEqual([gateway.log.calls()[1]?.status, gateway.log.calls()[1]?.twin?.status], ["ok", "error"]);
  });

  it("is stopped when the caller leaves, and leaves no record", async (t) => {
    const { two, gateway, result, inFlight, stream } = await held(t);
    let hasClosed = false;
    two.answer = (_, response) => void response.on("close", () => (hasClosed = true));
    const abort = new AbortController();
    await stream(abort.signal);
    await until("the candidate is asked", () => two.asked.length === 1);
    abort.abort();
    await until("the mirror is cancelled", () => hasClosed);
    await until("the served call is recorded", () => gateway.log.calls().length === 1);
    assert.equal(gateway.log.calls()[0]?.status, "cancelled");
    assert.deepEqual([await inFlight(), await result("stopped")], [0, 1]);
  });

  it("that has answered is forgotten when a newer table no longer wants it, and its caller notices nothing", async (t) => {
    const { two, served, gateway, result, inFlight, stream } = await held(t);
    const response = await stream();
    await until("the candidate is asked", () => two.asked.length === 1);
    gateway.log.tables.routing.put("support-answer", tableWith({ epoch: 8, ranges: everybodyOnBaseline, shadowPpm: 0 }));
    served[0]?.end(done);
    assert.match(await response.text(), /"A".*\[DONE\]/s);
    await until("the served call is recorded", () => gateway.log.calls().length === 1);
    assert.deepEqual([gateway.log.calls()[0]?.exposure, await inFlight(), await result("stopped")], ["served", 0, 1]);
  });

  it("takes a place until its twin is known, so that streams that never end hold no more than the limit", async (t) => {
    const { two, served, gateway, result, stream } = await held(t, { extra: "shadow: { maxInFlight: 2 }\n" });
    const responses = [];
    for (let i = 0; i < 4; i++) responses.push(await stream());
    await until("all are served", () => served.length === 4);
    await until("two are mirrored", () => two.asked.length === 2);
    assert.equal(await result("dropped"), 2);
    for (const response of served) response.end(done);
    for (const response of responses) await response.text();
    await until("all are recorded", () => gateway.log.calls().length === 6);
    assert.equal(two.asked.length, 2);
  });
});

describe("the mirror of a plain answer", () => {
  it("is asked too where the served version gave no answer at all: such calls are pairs like others", async (t) => {
    const { one, two, gateway } = await held(t);
    one.answer = (_, response) => void response.destroy();
    two.answer = (_, response) => answerJson(response, completion("from b"));
    assert.equal((await gateway.chat(ask())).status, 502);
    await until("both are recorded", () => gateway.log.calls().length === 2);
    const shadow = gateway.log.calls()[1];
    assert.deepEqual([shadow?.status, shadow?.twin?.status, shadow?.twin?.responseBody], ["ok", "error", null]);
  });

  it("is not begun by an attempt that is repeated: one call, one mirror, with the failure that the retry hid", async (t) => {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    const gateway = await testGateway(t, fileFor(one, two).replace("prices:", "retries: { max: 1, on: ['429'] }, prices:"));
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges: everybodyOnBaseline, shadowPpm: 1_000_000, phase: "shadow", step: -1 }));
    let tries = 0;
    one.answer = (_, response) => (++tries === 1 ? answerJson(response, { error: { message: "busy" } }, 429) : answerJson(response, completion("hello")));
    two.answer = (_, response) => answerJson(response, completion("from b"));
    assert.equal((await gateway.chat(ask())).status, 200);
    await until("both are recorded", () => gateway.log.calls().length === 2);
    assert.deepEqual([two.asked.length, gateway.log.calls()[1]?.twin?.status, gateway.log.calls()[1]?.twin?.firstErrorType], [1, "ok", "429"]);
  });
});

describe("the places of mirrored calls at their upstream", () => {
  /** @param about `candidate`: the upstream of the candidate, which takes `maxInFlight` calls */
  const world = async (t: TestContext, about: { readonly candidate: "one" | "two"; readonly maxInFlight: number }) => {
    const { candidate, maxInFlight } = about;
    const upstreams = { one: await testUpstream(t), two: await testUpstream(t) };
    const { one, two } = upstreams;
    const limited = `${candidate}: { baseUrl: "${upstreams[candidate].url}"`;
    const yaml = fileFor(one, two)
      .replace(limited, `${limited}, maxInFlight: ${maxInFlight}`)
      .replace("routes:", "routes:\n  other: { baseline: { version: c@1, upstream: two, model: model-c } }");
    const gateway = await testGateway(t, yaml);
    const table = tableWith({ ranges: everybodyOnBaseline, shadowPpm: 1_000_000, phase: "shadow", step: -1 });
    const versions = table.versions.map((version) => (version.name === table.candidate ? { ...version, upstream: candidate } : version));
    gateway.log.tables.routing.put("support-answer", { ...table, versions });
    const results = async (): Promise<Record<string, number>> =>
      Object.fromEntries(
        [...(await gateway.registry.metrics()).matchAll(/shadow_calls_total\{.*result="(\w+)"\} (\d+)/g)].map(([, name, n]) => [name, Number(n)]),
      );
    return { two, gateway, results };
  };

  it("are given up for callers: none of them is refused because of a mirror, and the upstream never has more than it may", async (t) => {
    const { two, gateway, results } = await world(t, { candidate: "two", maxInFlight: 2 });
    const waiting: ServerResponse[] = [];
    two.answer = (_, response) => void waiting.push(response);
    for (let i = 0; i < 3; i++) assert.equal((await gateway.chat(ask())).status, 200);
    await until("two are mirrored", () => waiting.length === 2);
    assert.deepEqual(await results(), { upstream_busy: 1 });
    const closed = () => waiting.filter((response) => response.closed).length;
    const calls = [0, 1].map(() => gateway.chat(ask("hi", { model: "other" })));
    await until("both calls are sent, in the place of the mirrors", () => waiting.length === 4 && closed() === 2);
    const { status, headers } = await gateway.chat(ask("hi", { model: "other" }));
    assert.deepEqual([status, headers.get("retry-after")], [503, "1"]);
    for (const response of waiting) answerJson(response, completion("from two"));
    for (const call of calls) assert.equal((await call).status, 200);
    await until("all calls are recorded, no mirror is", () => gateway.log.calls().length === 6);
    assert.deepEqual(await results(), { upstream_busy: 1, displaced: 2 });

    for (let i = 0; i < 2; i++) assert.equal((await gateway.chat(ask())).status, 200);
    await until("every place is free again", () => two.asked.length === 6);
    for (const response of waiting.slice(4)) answerJson(response, completion("from two"));
    await until("the mirrors are recorded", () => gateway.log.calls().filter(({ exposure }) => exposure === "shadow").length === 2);
    assert.deepEqual(await results(), { upstream_busy: 1, displaced: 2, completed: 2 });
  });

  const shared: [string, "one" | "two", number, object][] = [
    ["are never free where both versions are at an upstream that takes one call at a time: the caller's own is there", "one", 1, { upstream_busy: 2 }],
    ["are free where both are at one that takes two", "one", 2, { completed: 2 }],
    ["are free at a candidate's own upstream that takes one call at a time, while it has none", "two", 1, { completed: 2 }],
  ];
  for (const [name, candidate, maxInFlight, expected] of shared) {
    it(name, async (t) => {
      const { gateway, results } = await world(t, { candidate, maxInFlight });
      for (let i = 1; i <= 2; i++) {
        assert.equal((await gateway.chat(ask())).status, 200);
        await until("it was mirrored or not", async () => Object.values(await results()).reduce((sum, count) => sum + count, 0) === i);
      }
      assert.deepEqual(await results(), expected);
    });
  }

  /** An upstream with so many places, and what comes and goes there. */
  function crowd(max: number) {
    const yaml = `upstreams: { one: { baseUrl: "http://127.0.0.1:9", maxInFlight: ${max} } }\nroutes: { r: { baseline: { version: a@1, upstream: one, model: m } } }`;
    const [config] = parseGatewayFile("test.yaml", yaml, {}).upstreams.values();
    assert.ok(config !== undefined);
    const upstream = new Upstream(config, new AnswerMemory(1));
    let calls = 0;
    let mirrors: { leave: (() => void) | null }[] = [];
    const steps = {
      call() {
        const isFree = calls < max;
        assert.equal(upstream.enter(), isFree);
        calls += Number(isFree);
      },
      callOver() {
        if (calls === 0) return;
        calls--;
        upstream.leave();
      },
      mirror() {
        const own = { leave: null as (() => void) | null };
        const mayBegin = (calls + mirrors.length) * 2 <= max;
        own.leave = upstream.enterMirror(() => {
          mirrors = mirrors.filter((each) => each !== own);
          own.leave?.();
        });
        assert.equal(own.leave !== null, mayBegin);
        if (mayBegin) mirrors.push(own);
      },
      mirrorOver() {
        const over = mirrors.shift();
        over?.leave?.();
        over?.leave?.();
      },
    };
    return { steps, taken: () => calls + mirrors.length };
  }

  it("never keep a caller's call out and are never too many, in any order of coming and going", () => {
    const step = fc.constantFrom("call" as const, "callOver" as const, "mirror" as const, "mirrorOver" as const);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 100, size: "max" }), (max, names) => {
        const { steps, taken } = crowd(max);
        for (const name of names) {
          steps[name]();
          assert.ok(taken() <= max);
        }
      }),
    );
  });
});

describe("a mirrored request", () => {
  async function mirroring(t: TestContext) {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    const gateway = await testGateway(t, fileFor(one, two));
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges: everybodyOnBaseline, shadowPpm: 1_000_000, phase: "shadow", step: -1 }));
    return { one, two, gateway };
  }

  it("goes without the caller's idempotency key: under it an upstream would refuse it, or give it the other answer", async (t) => {
    const { one, two, gateway } = await mirroring(t);
    await (await gateway.chat(ask(), { headers: { "idempotency-key": "k" } })).text();
    await until("it is mirrored", () => two.asked.length === 1);
    assert.deepEqual(
      [one, two].map(({ asked }) => asked[0]?.headers["idempotency-key"]),
      ["k", undefined],
    );
  });

  it("has no tools with which its provider acts by itself: what they do would be done twice", async (t) => {
    const { one, two, gateway } = await mirroring(t);
    const server = { type: "mcp", server_label: "mail", server_url: "https://mail.example/mcp" };
    const acting = [
      { tools: [{ ...server, require_approval: "never" }] },
      { tools: [server] },
      { tools: [], mcp_servers: [{ type: "url", url: "https://a" }] },
    ];
    const others = [{ tools: [{ ...server, require_approval: "always" }] }, { tools: [{ type: "function", function: { name: "f" } }] }, { mcp_servers: [] }];
    for (const request of [...acting, ...others]) await (await gateway.chat(ask("hi", request))).text();
    await until("the others are mirrored", () => two.asked.length === others.length);
    assert.deepEqual(
      [one.asked.length, two.asked.map(({ body }) => [body.tools, body.mcp_servers])],
      [6, others.map(({ tools, mcp_servers: servers }: { tools?: unknown; mcp_servers?: unknown }) => [tools, servers])],
    );
    assert.match(await gateway.registry.metrics(), /shadow_calls_total\{route="support-answer",result="acting"\} 3/);
  });
});
