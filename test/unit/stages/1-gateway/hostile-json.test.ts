import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Registry } from "prom-client";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import type { CallRecord } from "../../../../src/stages/1-gateway/call/record.ts";
import { Recorder } from "../../../../src/stages/1-gateway/call/recorder.ts";
import { isTooDeep } from "../../../../src/stages/1-gateway/http/json-depth.ts";
import { EventClock } from "../../../../src/stages/1-gateway/log/event-clock.ts";
import { RequestLog } from "../../../../src/stages/1-gateway/log/request-log.ts";
import { GatewayMetrics } from "../../../../src/stages/1-gateway/metrics.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, MemoryLog, silentLog, testGateway, testUpstream, until } from "./harness.ts";

const lists = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const shadowAll = () => {
  const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 });
  const table = tableWith({ ranges, shadowPpm: 1_000_000, phase: "shadow", step: -1 });
  return { ...table, versions: table.versions.map((version) => ({ ...version, parameters: '{"temperature":0}' })) };
};
const polluted = () => Object.keys(Object.prototype).length;
const inFlight = async (registry: Registry) => /headgate_gateway_in_flight (\d+)/.exec(await registry.metrics())?.[1];

/** Levels of a value, counted by walking it. */
function levelsOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(levelsOf));
}

describe("the depth of JSON", () => {
  it("is what walking the value tells, whatever brackets and quotes its strings hold", () => {
    const text = fc.stringMatching(/^[[\]{}"\\a]{0,8}$/);
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof({ maxDepth: 6 }, text, fc.array(tie("tree"), { maxLength: 4 }), fc.dictionary(text, tie("tree"), { maxKeys: 4 })),
    }));
    fc.assert(
      fc.property(tree, fc.integer({ min: 1, max: 6 }), (value, most) => assert.equal(isTooDeep(JSON.stringify(value), most), levelsOf(value) > most)),
      { numRuns: 2_000 },
    );
  });

  it("has its limit at 256 levels, of lists, objects and both", () => {
    const objects = (levels: number) => `${'{"a":'.repeat(levels)}0${"}".repeat(levels)}`;
    const both = (pairs: number) => `${'[{"a":'.repeat(pairs)}0${"}]".repeat(pairs)}`;
    assert.deepEqual(
      [lists(256), objects(256), both(128)].map((json) => isTooDeep(json)),
      [false, false, false],
    );
    assert.deepEqual(
      [lists(257), objects(257), `[${both(128)}]`, lists(100_000)].map((json) => isTooDeep(json)),
      [true, true, true, true],
    );
  });
});

describe("JSON that exhausts the stack of whoever walks it", () => {
  it("is refused in a request in OpenAI's shape, mirrored or not, and the next call is served", async (t) => {
    const upstream = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(upstream));
    gateway.log.tables.routing.put("support-answer", shadowAll());
    for (const field of ["x", "response_format", "messages"]) {
      const response = await gateway.chat(`{"model":"support-answer","${field}":${lists(20_000)}}`);
      const { error } = (await response.json()) as { error: Record<string, unknown> };
      assert.deepEqual([response.status, error.type, error.code, error.param], [400, "invalid_request_error", "json_too_deep", null]);
    }
    assert.equal(upstream.asked.length, 0);
    assert.equal((await gateway.chat(ask())).status, 200);
    await until("the mirror is recorded", () => gateway.log.calls().length === 2);
  });

  for (const [what, asked] of [
    ["hidden", false],
    ["asked for", true],
  ] as const) {
    it(`of an upstream's stream goes to the caller and is an error of the version, with its usage ${what}`, async (t) => {
      const upstream = await testUpstream(t);
      const deep = `data: {"choices":[{"index":0,"delta":{"content":"a","x":${lists(20_000)}}}]}\n\ndata: [DONE]\n\n`;
      upstream.answer = (_, response) => void response.writeHead(200, { "content-type": "text/event-stream" }).end(deep);
      const gateway = await testGateway(t, fileFor(upstream));
      const response = await gateway.chat(ask("hi", { stream: true, stream_options: { include_usage: asked } }));
      assert.equal(await response.text(), deep);
      await until("the call is recorded", () => gateway.log.calls().length === 1);
      const [record] = gateway.log.calls();
      assert.deepEqual([record?.status, record?.errorType, record?.cut], ["error", "unreadable_answer", true]);
      assert.equal(await inFlight(gateway.registry), "0");
    });
  }

  it("of an upstream's answer is an error too", async (t) => {
    const upstream = await testUpstream(t);
    const deep = `{"choices":[],"x":${lists(20_000)}}`;
    upstream.answer = (_, response) => void response.writeHead(200, { "content-type": "application/json" }).end(deep);
    const gateway = await testGateway(t, fileFor(upstream));
    assert.equal(await (await gateway.chat(ask())).text(), deep);
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.equal(gateway.log.calls()[0]?.errorType, "unreadable_answer");
    upstream.answer = (_, response) => answerJson(response, completion("well"));
    assert.equal((await gateway.chat(ask())).status, 200);
  });
});

describe("a record that cannot be made", () => {
  it("is counted as lost, and readers see its gap", async () => {
    const [registry, log] = [new Registry(), new MemoryLog()];
    const metrics = new GatewayMetrics(registry);
    const onDrop = (reason: string, count: number) => metrics.dropped.inc({ reason }, count);
    const options = { instance: "g", clock: new EventClock(), log: silentLog, maxRecords: 10, maxBytes: 1e6, onAppendFailure: () => undefined };
    const records = new RequestLog({ ...options, onDrop });
    records.connect({ appender: log.appender(), partitions: 1, partitionOf: () => 0 });
    const recorder = new Recorder({ records, metrics, log: silentLog });
    const fails = (): CallRecord => JSON.parse(lists(3), (_, value) => (value.length === 0 ? assert.fail("too deep") : value)) as CallRecord;
    assert.equal(recorder.record({ requestId: "r", subject: "s" }, fails), null);
    await records.stop(Date.now() + 1_000);
    assert.equal(records.dropped, 1);
    assert.match(await registry.metrics(), /headgate_gateway_dropped_records_total\{reason="unrecordable"\} 1/);
    // The number of the lost one is used up: what comes next is not the first.
    assert.ok((log.requests().at(-1)?.seq ?? 0) > 1);
  });
});

describe("names that mean something in JavaScript", () => {
  for (const delta of [
    '{"__proto__":{"polluted":"yes"}}',
    '{"x":{"__proto__":{"polluted":"yes"}}}',
    '{"constructor":{"prototype":{"polluted":"yes"}},"toString":"x"}',
  ]) {
    it(`are fields like any other in a stream: ${delta}`, async (t) => {
      const one = await testUpstream(t);
      one.answer = (_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end(
          `data: {"choices":[{"index":0,"delta":${delta}}]}\n\ndata: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`,
        );
      };
      const gateway = await testGateway(t, fileFor(one));
      await (await gateway.chat(ask("hi", { stream: true }))).text();
      await until("the call is recorded", () => gateway.log.calls().length === 1);
      assert.equal(polluted(), 0);
      const kept = gateway.log.calls()[0]?.responseBody ?? "";
      const { message } = JSON.parse(kept).choices[0] as { message: object };
      assert.deepEqual(JSON.parse(delta), Object.fromEntries(Object.entries(message).filter(([name]) => name !== "role" && name !== "content")));
    });
  }

  it("are event types that nobody knows, in the Responses API", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const events = [
        { type: "constructor", delta: "x" },
        { type: "__proto__", delta: "x" },
        { type: "response.completed", response: { id: "r", object: "response", output: [] } },
      ];
      response.end(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
    };
    const gateway = await testGateway(t, fileFor(one));
    await (await fetch(`${gateway.url}/v1/responses`, { method: "POST", body: JSON.stringify({ model: "support-answer", input: "hi", stream: true }) })).text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    assert.equal(gateway.log.calls()[0]?.responseBody, JSON.stringify({ id: "r", object: "response", output: [] }));
  });
});
