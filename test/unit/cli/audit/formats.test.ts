import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { csvRows } from "../../../../src/cli/audit/formats/csv.ts";
import { parseMappings } from "../../../../src/cli/audit/mapping.ts";
import { readCalls } from "../../../../src/cli/audit/read.ts";
import { KnownError } from "../../../../src/errors/known-error.ts";

const folder = mkdtempSync(join(tmpdir(), "headgate-formats-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
function file(content: string | Buffer): string {
  const path = join(folder, `calls-${files++}`);
  writeFileSync(path, content);
  return path;
}
const read = (content: string | Buffer, ...maps: readonly string[]) => readCalls(file(content), parseMappings(maps));
const lines = (...rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const start = Date.UTC(2026, 10, 2, 10);

/** Columns of LiteLLM_SpendLogs in BerriAI/litellm schema.prisma; synthetic values. */
const spendLog = {
  request_id: "chatcmpl-1",
  call_type: "acompletion",
  api_key: "hash",
  spend: 0.00123,
  total_tokens: 150,
  prompt_tokens: 100,
  completion_tokens: 50,
  startTime: "2026-11-02T10:00:00.000Z",
  endTime: "2026-11-02 10:00:01.500000",
  completionStartTime: "2026-11-02T10:00:00.400Z",
  model: "gpt-x",
  model_group: "support-answer",
  end_user: "ann",
  metadata: {},
  cache_hit: "False",
  status: "success",
};
/** Fields of StandardLoggingPayload as docs.litellm.ai lists them; times are epoch seconds. */
const loggingPayload = {
  id: "c1",
  trace_id: "t1",
  call_type: "acompletion",
  response_cost: 0.002,
  status: "success",
  total_tokens: 30,
  prompt_tokens: 10,
  completion_tokens: 20,
  startTime: start / 1_000,
  endTime: start / 1_000 + 2,
  completionStartTime: start / 1_000 + 2,
  model: "gpt-x",
  model_group: "",
  model_parameters: { response_format: { type: "json_object" } },
  response: { choices: [{ message: { role: "assistant", content: '{"answer": 1' } }] },
};
/** Fields of Langfuse's blob storage export, observations_v2 (field reference in its documentation). */
const observation = {
  id: "o1",
  trace_id: "t1",
  type: "GENERATION",
  start_time: "2026-11-02 10:00:00.000000",
  end_time: "2026-11-02 10:00:03.250000",
  completion_start_time: "2026-11-02 10:00:00.750000",
  level: "DEFAULT",
  provided_model_name: "gpt-y",
  usage_details: { input: 500, output: 120, total: 620 },
  total_cost: 0.0042,
  user_id: "",
  session_id: "s1",
};
/** Names of Langfuse's API and table export: camelCase, a column per score name, several scores of a name as a list. */
const uiObservation = {
  id: "o2",
  traceId: "t2",
  type: "GENERATION",
  startTime: "2026-11-02T10:00:00.000Z",
  endTime: "2026-11-02T10:00:01.000Z",
  completionStartTime: null,
  model: "gpt-y",
  latency: 1,
  level: "ERROR",
  usageDetails: { output: 3 },
  totalCost: 0.1,
  userId: "bob",
  helpfulness: [0.6, 0.9],
};
/** A chat completion as the OpenAI API reference shows it, in a line of a proxy's log. */
const completion = {
  id: "chatcmpl-2",
  object: "chat.completion",
  created: start / 1_000,
  model: "gpt-z-2026-01-01",
  choices: [{ index: 0, message: { role: "assistant", content: '{"ok": true}' }, finish_reason: "stop" }],
  usage: { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21 },
};
const request = { model: "gpt-z", messages: [{ role: "user", content: "hi" }], response_format: { type: "json_schema", json_schema: {} } };

describe("exports of recorded calls", () => {
  it("of LiteLLM: its spend table and its logging payload", async () => {
    const { format, calls } = await read(lines(spendLog, { ...spendLog, status: "failure", spend: 0, completion_tokens: 0 }));
    assert.equal(format, "LiteLLM logs");
    assert.deepEqual(calls[0], {
      atMs: start + 1_500,
      subject: "ann",
      model: "support-answer",
      error: false,
      schemaValid: null,
      taskPass: null,
      grounded: null,
      latencyMs: 1_500,
      ttftMs: 400,
      costUsd: 0.00123,
      outputTokens: 50,
    });
    assert.deepEqual([calls[1]?.error, calls[1]?.costUsd, calls[1]?.outputTokens, calls[1]?.latencyMs], [true, null, null, 1_500]);
    const [payload] = (await read(JSON.stringify([loggingPayload], null, 2))).calls;
    assert.deepEqual([payload?.latencyMs, payload?.ttftMs, payload?.costUsd, payload?.model], [2_000, null, 0.002, "gpt-x"]);
    assert.equal(payload?.schemaValid, false, "JSON was asked for, and the reply is cut");
    const [old] = (await read(lines({ ...spendLog, status: null, request_duration_ms: 1_400 }))).calls;
    assert.deepEqual([old?.error, old?.latencyMs], [null, 1_400]);
  });

  it("of Langfuse: blob storage, table and API, JSON and CSV; spans are no calls", async () => {
    const { format, calls, skipped } = await read(lines({ ...observation, type: "SPAN" }, observation));
    assert.deepEqual([format, calls.length, skipped], ["Langfuse observations", 1, 1]);
    assert.deepEqual(
      [calls[0]?.atMs, calls[0]?.latencyMs, calls[0]?.ttftMs, calls[0]?.costUsd, calls[0]?.outputTokens, calls[0]?.subject, calls[0]?.error],
      [start + 3_250, 3_250, 750, 0.0042, 120, "s1", false],
    );
    const [ui] = (await read(JSON.stringify({ data: [uiObservation], meta: {} }))).calls;
    assert.deepEqual([ui?.latencyMs, ui?.error, ui?.costUsd, ui?.subject], [1_000, true, null, "bob"]);
    const header = Object.keys(observation);
    const cells = Object.values({ ...observation, usage_details: '{"input":500,"output":120}' }).map((value) => `"${String(value).replaceAll('"', '""')}"`);
    const [csv] = (await read(`\uFEFF${header.join(",")}\r\n${cells.join(",")}\r\n`)).calls;
    assert.deepEqual(csv, calls[0]);
  });

  it("of OpenAI-style logs: lines of a proxy, of the batch API, and bare completions", async () => {
    const line = { request, response: completion, status_code: 200, latency_ms: 812.5, started_at: "2026-11-02T10:00:00Z", user: "u1", cost_usd: 0.01 };
    const failed = { request, response: null, status_code: 503, latency_ms: 30, error: { message: "overloaded" } };
    const { format, calls } = await read(lines(line, failed));
    assert.equal(format, "OpenAI-style request/response logs");
    assert.deepEqual(calls[0], {
      atMs: start,
      subject: "u1",
      model: "gpt-z",
      error: false,
      schemaValid: true,
      taskPass: null,
      grounded: null,
      latencyMs: 812.5,
      ttftMs: null,
      costUsd: 0.01,
      outputTokens: 12,
    });
    assert.deepEqual([calls[1]?.error, calls[1]?.schemaValid, calls[1]?.costUsd], [true, null, null]);
    const batch = { id: "b1", custom_id: "r1", response: { status_code: 200, request_id: "q", body: completion }, error: null };
    const [fromBatch] = (await read(lines(batch))).calls;
    assert.deepEqual([fromBatch?.error, fromBatch?.outputTokens, fromBatch?.model, fromBatch?.latencyMs], [false, 12, "gpt-z-2026-01-01", null]);
    const [bare] = (await read(lines(completion))).calls;
    assert.deepEqual([bare?.atMs, bare?.error, bare?.schemaValid], [start, false, null]);
    const text = { request_body: JSON.stringify(request), response_body: JSON.stringify({ ...completion, choices: [{ message: { content: "Sure! {}" } }] }) };
    assert.equal((await read(lines(text))).calls[0]?.schemaValid, false);
  });

  it("of our own, packed too; columns can be named for what a shape does not carry", async () => {
    const own = { model_version: "gpt-4", task_pass: true, schema_valid: 1, error: false, latency_ms: "12.5", recorded_at: "2026-01-01", ended_at: start };
    const { format, calls } = await read(gzipSync(lines(own, { ...own, task_pass: 0 })));
    assert.equal(format, "headgate's normalised calls");
    assert.deepEqual([calls[0]?.taskPass, calls[1]?.taskPass, calls[0]?.schemaValid, calls[0]?.latencyMs, calls[0]?.atMs], [true, false, true, 12.5, start]);
    const mapped = await read(JSON.stringify([uiObservation]), "task_pass=helpfulness>=0.75", "ttft_ms=latency");
    assert.deepEqual([mapped.calls[0]?.taskPass, mapped.calls[0]?.ttftMs], [true, 1]);
    assert.equal((await read(JSON.stringify([uiObservation]), "task_pass=helpfulness>=0.8")).calls[0]?.taskPass, false);
    const score = await read(lines({ task_completion: true, grounded: 0.7 }), "grounded=grounded>=0.5");
    assert.deepEqual([score.calls[0]?.taskPass, score.calls[0]?.grounded], [true, true]);
    for (const wrong of ["task_pass", "nothing=x", "latency_ms=x>=1"]) assert.throws(() => parseMappings([wrong]), /is not understood/);
  });

  it("that are wrong are refused with file, place and field, and what was looked for", async () => {
    const refused = async (content: string, part: RegExp) => {
      await assert.rejects(read(content), (error) => error instanceof KnownError && error.code === "REQUEST_INVALID" && part.test(error.message));
    };
    await refused(
      lines({ foo: 1, bar: 2 }),
      /calls-\d+, line 1: the shape of these rows is not known; they have foo, bar\. Looked for:\n {2}Langfuse observations: type/,
    );
    await refused(`${lines(spendLog)}\n\n${lines({ ...spendLog, spend: "much" })}`, /line 3: spend is "much", where a number of at least 0 is expected/);
    await refused(lines({ ...observation, start_time: "yesterday" }), /line 1: start_time is "yesterday", where a time/);
    await refused(lines({ task_pass: 0.7 }), /line 1: task_pass is 0.7, where true, false, 1 or 0/);
    await refused(`${lines(spendLog)}\n{"cut": `, /line 2: no JSON/);
    await refused(`[${lines(spendLog)}, 5]`, /row 2: 5 is no object/);
    await refused("", /holds no rows/);
    await refused('[{"a":', /begins like JSON and is none/);
    await refused(lines({ ...observation, type: "SPAN" }), /none of them is a call/);
    await refused('a,b\n"1,2\n3,4', /line 2: a quote/);
    await assert.rejects(readCalls(join(folder, "missing"), parseMappings([])), /missing cannot be read/);
  });

  it("in CSV keep quotes, commas and line ends within fields, and say the line where a row begins", () => {
    assert.deepEqual(
      [...csvRows('a,b\n1,"x, ""y""\nz"\r\n\n2,\n3,4')],
      [
        { row: { a: "1", b: 'x, "y"\nz' }, line: 2 },
        { row: { a: "2", b: "" }, line: 5 },
        { row: { a: "3", b: "4" }, line: 6 },
      ],
    );
  });
});
