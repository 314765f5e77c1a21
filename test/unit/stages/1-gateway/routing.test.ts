import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { followTables } from "../../../../src/stages/1-gateway/routing/follow-tables.ts";
import { LiveRoutes } from "../../../../src/stages/1-gateway/routing/live-routes.ts";
import type { RoutingTable } from "../../../../topics/index.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, MemoryLog, silentLog, type TestGateway, testGateway, testUpstream, until } from "./harness.ts";

const split = (candidateBuckets: number) => rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets, holdbackBuckets: 0 });
const everybodyOnCandidate = (changes: Partial<RoutingTable> = {}) => tableWith({ ranges: split(10_000), ...changes });
const shadowAll = (changes: Partial<RoutingTable> = {}) => tableWith({ ranges: split(0), shadowPpm: 1_000_000, phase: "shadow", step: -1, ...changes });
const brake = (changes = {}) => ({
  route: "support-answer",
  rollout: "support-answer-b",
  attempt: 1,
  cleared: false,
  reason: "",
  actor: "test",
  atMs: Date.now(),
  ...changes,
});

async function twoUpstreams(t: Parameters<typeof testUpstream>[0]) {
  const [one, two] = [await testUpstream(t), await testUpstream(t)];
  two.answer = (_, response) => answerJson(response, completion("from b"));
  const gateway = await testGateway(t, fileFor(one, two));
  return { one, two, gateway };
}
const versionOf = async (gateway: TestGateway, body: unknown = ask()) => {
  const before = gateway.log.calls().length;
  await (await gateway.chat(body)).text();
  await until("the call is recorded", () => gateway.log.calls().length > before);
  return gateway.log.calls().at(-1);
};

describe("a gateway with `log: off`", () => {
  it("obeys routing, reports to fleet and counts, and records nothing", async (t) => {
    const { one, two } = { one: await testUpstream(t), two: await testUpstream(t) };
    const gateway = await testGateway(t, fileFor(one, two, "log: off"));
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    await (await gateway.chat(ask())).text();
    assert.deepEqual([one.asked.length, two.asked.length], [0, 1]);
    await until("fleet hears the epoch", () => gateway.log.reports().at(-1)?.routes[0]?.epoch === 7);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_calls_total\{route="support-answer",version="b@2",arm="candidate".*\} 1/);
    await gateway.stop();
    assert.deepEqual(gateway.log.requests(), []);
  });
});

describe("a gateway obeys routing", () => {
  it("from the moment a table arrives, with its attribution in the record", async (t) => {
    const { one, two, gateway } = await twoUpstreams(t);
    assert.equal((await versionOf(gateway))?.version, "a@1");
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    const record = await versionOf(gateway, ask("hi", { user: "u", temperature: 1 }));
    assert.deepEqual(
      [
        record?.version,
        record?.arm,
        record?.epoch,
        record?.rollout,
        record?.attempt,
        record?.step,
        record?.paneMs,
        record?.samplePpm,
        record?.upstream,
        record?.upstreamModel,
      ],
      ["b@2", "candidate", 7, "support-answer-b", 1, 1, 10_000, 1_000_000, "two", "model-b"],
    );
    assert.deepEqual([two.asked[0]?.body.model, two.asked[0]?.body.temperature], ["model-b", 0]);
    assert.equal(one.asked.length, 1);
  });

  it("keeps a subject on its arm, and different subjects on different arms", async (t) => {
    const { gateway } = await twoUpstreams(t);
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges: split(5_000) }));
    const versions = new Map<string, Set<string>>();
    for (let i = 0; i < 40; i++) {
      const user = `user-${i % 10}`;
      const seen = versions.get(user) ?? new Set();
      versions.set(user, seen.add((await versionOf(gateway, ask("hi", { user })))?.version ?? ""));
    }
    assert.ok([...versions.values()].every((seen) => seen.size === 1));
    assert.equal(new Set([...versions.values()].map((seen) => [...seen][0])).size, 2);
  });

  it("ignores a table that is not newer, and a deletion", async (t) => {
    const { gateway } = await twoUpstreams(t);
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    gateway.log.tables.routing.put("support-answer", tableWith({ epoch: 6, ranges: split(0) }));
    gateway.log.tables.routing.put("support-answer", tableWith({ epoch: 7, ranges: split(0) }));
    gateway.log.tables.routing.remove("support-answer");
    assert.equal((await versionOf(gateway))?.version, "b@2");
  });

  it("refuses a table that names an unknown upstream, stays on the one before, counts and shows it", async (t) => {
    const { gateway } = await twoUpstreams(t);
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    const [a, b] = tableWith().versions;
    assert.ok(a !== undefined && b !== undefined);
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate({ epoch: 8, versions: [a, b, { ...b, name: "c", upstream: "http://evil" }] }));
    assert.equal((await versionOf(gateway))?.epoch, 7);
    const ready = (await (await fetch(`${gateway.url}/readyz`)).json()) as { routes: { epoch: number; refusal: { epoch: number; problems: string[] } }[] };
    assert.deepEqual([ready.routes[0]?.epoch, ready.routes[0]?.refusal.epoch], [7, 8]);
    assert.match(ready.routes[0]?.refusal.problems[0] ?? "", /unknown upstream http:\/\/evil/);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_refused_tables_total\{route="support-answer"\} 1/);
    await until("the fleet sees the old epoch", () => gateway.log.reports().at(-1)?.routes[0]?.epoch === 7);
  });

  it("never exposes more than the newest table asks for, also when it cannot obey it", async (t) => {
    const { gateway } = await twoUpstreams(t);
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    const [a, b] = tableWith().versions;
    assert.ok(a !== undefined && b !== undefined);
    gateway.log.tables.routing.put("support-answer", tableWith({ epoch: 8, ranges: split(0), versions: [{ ...a, upstream: "new" }, b] }));
    const record = await versionOf(gateway);
    assert.deepEqual([record?.version, record?.arm, record?.epoch], ["a@1", "none", 7]);
  });

  it("serves a route that only has a table, and tells it among the models", async (t) => {
    const { gateway } = await twoUpstreams(t);
    assert.equal((await gateway.chat(ask("hi", { model: "new-route" }))).status, 404);
    gateway.log.tables.routing.put("new-route", everybodyOnCandidate({ route: "new-route" }));
    assert.equal((await versionOf(gateway, ask("hi", { model: "new-route" })))?.version, "b@2");
    assert.deepEqual(gateway.routes.names(), ["new-route", "support-answer"]);
  });

  it("serves the baseline when its tables have grown stale, and the table again when they are fresh", async (t) => {
    const { gateway } = await twoUpstreams(t);
    const { routing, brakes } = gateway.log.tables;
    // Fetched at the start and never since; a clock a millisecond later is enough.
    const startedAtMs = Date.now();
    await until("time passes", () => Date.now() > startedAtMs + 5);
    routing.fresh = Date.now() + 3_600_000;
    brakes.fresh = 0;
    routing.put("support-answer", everybodyOnCandidate({ staleAfterMs: 1 }));
    const stale = await versionOf(gateway);
    assert.deepEqual([stale?.version, stale?.arm], ["a@1", "none"]);
    brakes.fresh = routing.fresh;
    assert.equal((await versionOf(gateway))?.version, "b@2");
    routing.fresh = 0;
    routing.put("support-answer", everybodyOnCandidate({ epoch: 8, staleAfterMs: 0 }));
    assert.equal((await versionOf(gateway))?.version, "b@2");
  });

  it("reports on the fleet what it serves, at each change", async (t) => {
    const { gateway } = await twoUpstreams(t);
    await until("a first report", () => gateway.log.reports().length > 0);
    const { atMs, ...first } = gateway.log.reports()[0] ?? { atMs: 0 };
    assert.ok(atMs > 0);
    assert.deepEqual(first, {
      instance: "gateway-1",
      role: "gateway",
      url: gateway.url,
      routes: [{ route: "support-answer", epoch: 0, braked: false, static: true }],
      upstreams: ["one", "two"],
      droppedRecords: 0,
      stopping: false,
    });
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    gateway.log.tables.brakes.put("support-answer", brake());
    await until("the change is reported", () => gateway.log.reports().at(-1)?.routes[0]?.epoch === 7);
    assert.deepEqual(gateway.log.reports().at(-1)?.routes, [{ route: "support-answer", epoch: 7, braked: true, static: false }]);
  });
});

describe("a gateway obeys brakes", () => {
  it("at once: everybody on the baseline, and the attempt never comes back", async (t) => {
    const { gateway } = await twoUpstreams(t);
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    assert.equal((await versionOf(gateway))?.version, "b@2");
    gateway.log.tables.brakes.put("support-answer", brake());
    assert.deepEqual([(await versionOf(gateway))?.version, (await versionOf(gateway))?.arm], ["a@1", "none"]);
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate({ epoch: 9 }));
    assert.equal((await versionOf(gateway))?.version, "a@1");
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate({ epoch: 10, attempt: 2 }));
    assert.equal((await versionOf(gateway))?.version, "b@2");
  });

  it("never obeys a table for a moment before the brake that was there at its start", async () => {
    const log = new MemoryLog();
    log.tables.routing.put("support-answer", everybodyOnCandidate());
    log.tables.brakes.put("support-answer", brake());
    const routes = new LiveRoutes({
      configured: new Map(),
      defaults: { bodies: "none", shield: "none", maxInFlight: 1, maxBodyBytes: 1 },
      isKnownUpstream: () => true,
      log: silentLog,
      nowMs: Date.now,
      onRefusal: () => undefined,
    });
    const holds: (string | null | undefined)[] = [];
    routes.onChange(() => holds.push(routes.effective("support-answer")?.hold));
    await followTables(log.client(), routes);
    assert.deepEqual(holds, [undefined, "braked"]);
  });

  it("keeps a brake that is deleted, and one on all routes after it is cleared, for what ran under it", async (t) => {
    const { gateway } = await twoUpstreams(t);
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate());
    gateway.log.tables.brakes.put("*", brake({ route: "*", rollout: "", attempt: 0 }));
    assert.equal((await versionOf(gateway))?.version, "a@1");
    gateway.log.tables.brakes.put("*", brake({ route: "*", rollout: "", attempt: 0, cleared: true, atMs: 0 }));
    gateway.log.tables.brakes.remove("*");
    assert.equal((await versionOf(gateway))?.version, "a@1");
    gateway.log.tables.routing.put("support-answer", everybodyOnCandidate({ epoch: 8, attempt: 2 }));
    assert.equal((await versionOf(gateway))?.version, "b@2");
  });
});

describe("shadow calls", () => {
  it("go to the candidate after the answer, and are recorded with what was served", async (t) => {
    const { two, gateway } = await twoUpstreams(t);
    gateway.log.tables.routing.put("support-answer", shadowAll());
    await (await gateway.chat(ask("hi", { user: "u" }))).text();
    await until("both are recorded", () => gateway.log.calls().length === 2);
    const [served, shadow] = gateway.log.calls();
    assert.deepEqual([served?.exposure, served?.version, served?.arm, served?.twin], ["served", "a@1", "baseline", null]);
    assert.deepEqual([shadow?.exposure, shadow?.version, shadow?.arm, shadow?.samplePpm], ["shadow", "b@2", "candidate", 700_000]);
    assert.deepEqual([shadow?.traceId, shadow?.subject, shadow?.requestBody], [served?.traceId, served?.subject, served?.requestBody]);
    assert.notEqual(shadow?.requestId, served?.requestId);
    assert.deepEqual(shadow?.twin, {
      version: "a@1",
      status: "ok",
      firstErrorType: "",
      responseBody: served?.responseBody,
      finishReason: "stop",
      latencyMs: served?.latencyMs,
      ttftMs: null,
      outputTokens: 3,
      costUsd: served?.costUsd,
    });
    assert.equal(JSON.parse(shadow?.responseBody ?? "null").choices[0].message.content, "from b");
    assert.equal(two.asked[0]?.body.temperature, 0);
  });

  it("never delay the caller: the answer is whole while the candidate has not been asked or hangs", async (t) => {
    const { one, two, gateway } = await twoUpstreams(t);
    two.answer = () => undefined;
    one.answer = (_, response) => {
      assert.equal(two.asked.length, 0);
      answerJson(response, completion("hello"));
    };
    gateway.log.tables.routing.put("support-answer", shadowAll());
    const response = await gateway.chat(ask());
    assert.deepEqual(await response.json(), completion("hello"));
    await until("the candidate is asked", () => two.asked.length === 1);
  });

  it("are dropped and counted when too many run, and stopped at once by a brake", async (t) => {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    let cancelled = 0;
    two.answer = (_, response) => void response.on("close", () => cancelled++);
    const gateway = await testGateway(t, fileFor(one, two, "shadow: { maxInFlight: 2 }\n"));
    gateway.log.tables.routing.put("support-answer", shadowAll());
    for (let i = 0; i < 3; i++) await (await gateway.chat(ask())).text();
    await until("two are mirrored", () => two.asked.length === 2);
    assert.match(await gateway.registry.metrics(), /shadow_calls_total\{route="support-answer",result="dropped"\} 1/);
    gateway.log.tables.brakes.put("support-answer", brake());
    await until("the mirrors are cancelled", () => cancelled === 2);
    await (await gateway.chat(ask())).text();
    await until("the served calls are recorded", () => gateway.log.calls().length === 4);
    assert.ok(gateway.log.calls().every(({ exposure }) => exposure === "served"));
    assert.equal(two.asked.length, 2);
  });

  it("stop at once when the tables grow stale", async (t) => {
    const { two, gateway } = await twoUpstreams(t);
    let cancelled = false;
    two.answer = (_, response) => {
      response.on("close", () => {
        cancelled = true;
      });
    };
    gateway.log.tables.routing.put("support-answer", shadowAll({ staleAfterMs: 1 }));
    gateway.log.tables.routing.fresh = gateway.log.tables.brakes.fresh = Date.now() + 3_600_000;
    await (await gateway.chat(ask())).text();
    await until("the candidate is asked", () => two.asked.length === 1);
    gateway.log.tables.routing.fresh = 1;
    await until("the mirror is cancelled", () => cancelled);
  });

  it("of a stream are streams too", async (t) => {
    const { one, two, gateway } = await twoUpstreams(t);
    const streamed = (text: string) => {
      const chunk = { id: "c", choices: [{ index: 0, delta: { content: text }, finish_reason: "stop" }] };
      return `data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`;
    };
    for (const [upstream, text] of [
      [one, "A"],
      [two, "B"],
    ] as const) {
      upstream.answer = (_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end(streamed(text));
      };
    }
    gateway.log.tables.routing.put("support-answer", shadowAll());
    await (await gateway.chat(ask("hi", { stream: true }))).text();
    await until("both are recorded", () => gateway.log.calls().length === 2);
    const shadow = gateway.log.calls()[1];
    assert.equal(JSON.parse(shadow?.responseBody ?? "null").choices[0].message.content, "B");
    assert.ok(shadow?.ttftMs !== null && shadow?.twin?.ttftMs !== null);
  });
});

describe("without the log", () => {
  it("a gateway serves its static baseline, keeps records, and writes them when the log comes", async (t) => {
    const one = await testUpstream(t);
    const log = new MemoryLog();
    let isUp = false;
    const connect = () => (isUp ? Promise.resolve(log.client()) : Promise.reject(new Error("down")));
    const gateway = await testGateway(t, fileFor(one), { connect });
    for (let i = 0; i < 5; i++) assert.equal((await gateway.chat(ask(`${i}`))).status, 200);
    assert.deepEqual([gateway.isReady(), log.appended.length], [false, 0]);
    isUp = true;
    await until("the records are written", () => log.calls().length === 5);
    await until("it is ready", () => gateway.isReady());
    for (let partition = 0; partition < log.partitions; partition++) {
      const seqs = log.appended.flatMap((record) =>
        record.topic.name === "requests" && record.partition === partition ? [(record.value as { seq: number }).seq] : [],
      );
      assert.deepEqual(
        seqs,
        seqs.map((_, i) => i + 1),
      );
    }
  });
});
