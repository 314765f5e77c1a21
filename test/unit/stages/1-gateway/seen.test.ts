import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pino } from "pino";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { ask, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `00-${trace}-00f067aa0ba902b7-01`;

describe("the trace of a call", () => {
  it("goes upstream as the caller gave it, state included, and into the record", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    await (await gateway.chat(ask(), { headers: { traceparent, tracestate: "vendor=a,other=b" } })).text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const [record] = gateway.log.calls();
    assert.deepEqual([one.asked[0]?.headers.traceparent, one.asked[0]?.headers.tracestate], [traceparent, "vendor=a,other=b"]);
    assert.deepEqual([record?.traceId, record?.traceState], [trace, "vendor=a,other=b"]);
  });

  it("is one of its own, the record's, when the caller gave none that can be read", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    for (const headers of [{}, { traceparent: "nonsense", tracestate: "vendor=a" }]) {
      const before = gateway.log.calls().length;
      await (await gateway.chat(ask(), { headers })).text();
      await until("the call is recorded", () => gateway.log.calls().length > before);
      const record = gateway.log.calls().at(-1);
      const sent = one.asked.at(-1)?.headers;
      assert.match(String(sent?.traceparent), /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      assert.deepEqual([String(sent?.traceparent).slice(3, 35), sent?.tracestate, record?.traceState], [record?.traceId, undefined, ""]);
    }
  });
});

describe("the access log", () => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line)) });

  it("has a line per request when it is asked for, without bodies and subjects, and none otherwise", async (t) => {
    const one = await testUpstream(t);
    const loud = await testGateway(t, fileFor(one, one, "accessLog: true"), { logger: log });
    await (await loud.chat(ask("secret prompt", { user: "secret user" }))).text();
    await (await loud.chat(ask("secret prompt", { model: "secret-model" }))).text();
    await until("both are logged", () => lines.filter(({ msg }) => String(msg).startsWith("call")).length === 2);
    const [call, rejected] = lines.filter(({ msg }) => String(msg).startsWith("call"));
    const { requestId, traceId, latencyMs, ...rest } = call ?? {};
    const expected = {
      route: "support-answer",
      version: "a@1",
      arm: "none",
      status: "ok",
      httpStatus: 200,
      inputTokens: 11,
      outputTokens: 3,
      attempts: 1,
      upstream: "one",
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(rest[name], value, name);
    assert.deepEqual([rejected?.status, rejected?.code], [404, "model_not_found"]);
    assert.ok(!JSON.stringify(lines).includes("secret") && !("subject" in rest));
    lines.length = 0;
    const quiet = await testGateway(t, fileFor(one), { logger: log });
    await (await quiet.chat(ask())).text();
    await until("the call is recorded", () => quiet.log.calls().length === 1);
    assert.ok(lines.every(({ msg }) => !String(msg).startsWith("call")));
  });
});

describe("metrics", () => {
  it("are by route, version, arm and exposure, under the names of the OpenTelemetry conventions where they have one", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one));
    const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 10_000, holdbackBuckets: 0 });
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges }));
    await (await gateway.chat(ask("hi", { user: "secret user" }))).text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const text = await gateway.registry.metrics();
    const about = 'route="support-answer",version="b@2",arm="candidate",exposure="served"';
    for (const line of [
      `headgate_gateway_calls_total{${about},status="ok"} 1`,
      `gen_ai_client_operation_duration_seconds_count{${about}} 1`,
      `gen_ai_client_token_usage_sum{${about},gen_ai_token_type="input"} 11`,
      `gen_ai_client_token_usage_count{${about},gen_ai_token_type="output"} 1`,
    ]) {
      const fields = line.slice(0, line.indexOf("{"));
      assert.ok(
        text.split("\n").some(
          (each) =>
            each.startsWith(fields) &&
            line
              .slice(fields.length + 1, line.lastIndexOf("}"))
              .split(",")
              .every((label) => each.includes(label)) &&
            each.endsWith(line.slice(line.lastIndexOf(" "))),
        ),
        line,
      );
    }
    assert.ok(!text.includes("secret"));
  });
});
