import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { fieldNames } from "../../../../src/cli/recorded/field-names.ts";
import { readGaps } from "../../../../src/cli/recorded/read-arrivals.ts";
import { callsOfVersion, readCalls } from "../../../../src/cli/recorded/read-calls.ts";
import { repeatedGaps } from "../../../../src/domain/backtest/arrivals.ts";
import { KnownError } from "../../../../src/errors/known-error.ts";

const folder = mkdtempSync(join(tmpdir(), "headgate-recorded-"));
after(() => rmSync(folder, { recursive: true }));
function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const jsonl = (...rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const read = (path: string, maps: readonly string[] = [], signals: readonly string[] = []) => readCalls([path], fieldNames(maps, signals));
async function refusal(work: Promise<unknown>): Promise<KnownError> {
  const error = await work.then(
    () => assert.fail("it was not refused"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof KnownError, String(error));
  return error;
}

describe("recorded calls", () => {
  const row = { model_version: "a", prompt_id: 7, task_pass: true, schema_valid: false, grounded: 0, error: false, latency_ms: 12.5, output_tokens: 3 };

  it("are read with what they carry, and nothing else", async () => {
    const [call] = await read(file("one.jsonl", jsonl({ ...row, cost_usd: null, subject: "u", slices: ["long"], t_ms: 5, prompt: "never read" })));
    assert.deepEqual(call, {
      version: "a",
      promptId: "7",
      subject: "u",
      traceId: null,
      slices: ["long"],
      atMs: 5,
      isError: false,
      isTimeout: false,
      isSchemaValid: false,
      latencyMs: 12.5,
      ttftMs: null,
      costUsd: null,
      inputTokens: null,
      outputTokens: 3,
      scores: new Map([
        ["task_completion", 1],
        ["groundedness", 0],
      ]),
    });
  });

  it("are read plain or gzip, whatever the name, with blank lines, a byte order mark, other line ends and letters of several bytes", async () => {
    const text = `\ufeff${JSON.stringify({ ...row, subject: "Zoë 🙂" })}\r\n\n${JSON.stringify(row)}\n`;
    const plain = await read(file("plain.gz", text));
    const packed = await read(file("packed.jsonl", gzipSync(text)));
    assert.deepEqual(packed, plain);
    assert.deepEqual(
      plain.map(({ subject }) => subject),
      ["Zoë 🙂", null],
    );
  });

  it("come from several files, in their order", async () => {
    const files = [file("x.jsonl", jsonl({ ...row, model_version: "x" })), file("y.jsonl", jsonl({ ...row, model_version: "y" }))];
    assert.deepEqual(
      (await readCalls(files, fieldNames())).map(({ version }) => version),
      ["x", "y"],
    );
  });

  it("carry signals by their own names; of what counts something bad, true is bad", async () => {
    const [call] = await read(
      file("own.jsonl", jsonl({ model_version: "a", refusal_rate: true, factuality: 0.25, tool_call_validity: 1, error_rate: 1, latency_p95: 9, tone: 0.5 })),
      [],
      ["tone"],
    );
    assert.deepEqual(Object.fromEntries(call?.scores ?? []), { refusal_rate: 0, factuality: 0.25, tool_call_validity: 1, tone: 0.5 });
    assert.deepEqual([call?.isError, call?.latencyMs], [true, 9]);
  });

  it("are renamed by --map, whichever side is ours", async () => {
    const path = file("map.jsonl", jsonl({ model: "a", ms: 3, correct: false }));
    const [call] = await read(path, ["model=model_version", "latency_ms=ms", "correct=task_completion"]);
    assert.deepEqual([call?.version, call?.latencyMs, call?.scores.get("task_completion")], ["a", 3, 0]);
    for (const map of ["model", "=x", "x=", "colour=shade"]) assert.throws(() => fieldNames([map]), /^KnownError: --map /);
  });

  it("of a call that took too long have no latency that counts", async () => {
    const calls = await read(file("timeouts.jsonl", jsonl({ ...row, error_code: 504 }, { ...row, error_code: "Timeout" }, { ...row, error_code: 429 })));
    assert.deepEqual(
      calls.map(({ isTimeout }) => isTimeout),
      [true, true, false],
    );
  });

  const broken: readonly (readonly [what: string, line: string, field: string | null])[] = [
    ["no JSON", "{", null],
    ["a list", "[1]", null],
    ["a text", '"a"', null],
    ["no version", "{}", "model_version"],
    ["a version that is a list", '{"model_version":[1]}', "model_version"],
    ["NaN", '{"model_version":"a","latency_ms":NaN}', null],
    ["infinity", '{"model_version":"a","latency_ms":1e999}', "latency_ms"],
    ["a negative latency", '{"model_version":"a","latency_ms":-1}', "latency_ms"],
    ["a number as text", '{"model_version":"a","cost_usd":"0.1"}', "cost_usd"],
    ["a label that is a text", '{"model_version":"a","task_pass":"yes"}', "task_pass"],
    ["a label above 1", '{"model_version":"a","grounded":2}', "grounded"],
    ["half an error", '{"model_version":"a","error":0.5}', "error"],
    ["slices that are a text", '{"model_version":"a","slices":"long"}', "slices"],
  ];
  for (const [what, line, field] of broken) {
    it(`are refused with file, line and field: ${what}`, async () => {
      const path = file("broken.jsonl", `${JSON.stringify(row)}\n\n${line}\n`);
      const error = await refusal(read(path));
      assert.equal(error.code, "REQUEST_INVALID");
      assert.ok(error.message.startsWith(`${path}:3: ${field ?? "is not"}`), error.message);
      assert.deepEqual([error.details.line, error.details.field], [3, field]);
    });
  }

  it("are refused when there are none, and when a file is not there or cut", async () => {
    assert.match((await refusal(read(file("empty.jsonl", "\n \n")))).message, /empty\.jsonl: holds no call/);
    assert.match((await refusal(read(join(folder, "nowhere.jsonl")))).message, /cannot read .*nowhere\.jsonl/);
    const packed = gzipSync(jsonl(row, row));
    assert.match((await refusal(read(file("cut.jsonl.gz", packed.subarray(0, packed.length - 12))))).message, /cannot read .*cut\.jsonl\.gz/);
  });

  it("of an unknown version are refused with the versions that there are", async () => {
    const calls = await read(file("versions.jsonl", jsonl({ ...row, model_version: "b" }, row, row)));
    assert.equal(callsOfVersion(calls, "a", "--baseline").length, 2);
    assert.throws(
      () => callsOfVersion(calls, "c", "--baseline"),
      (error: KnownError) => error.message === "--baseline c: no call is of this version" && error.fix === "name one of a (2), b (1)",
    );
  });
});

describe("recorded arrivals", () => {
  it("come again and again, the mean gap apart", async () => {
    const gaps = await readGaps(file("arrivals.jsonl", jsonl({ t_ms: 100 }, { t_ms: 100 }, { t_ms: 400 })));
    assert.deepEqual(gaps, [0, 300, 150]);
    const arrivals = repeatedGaps(gaps);
    assert.deepEqual([arrivals(0, 1), arrivals(1, 301), arrivals(301, 450), arrivals(450, 451), arrivals(0, 4_500)], [2, 1, 0, 2, 30]);
  });

  it("are refused when they are not in the order of time, missing, or all at once", async () => {
    const bad = async (...rows: readonly object[]) => (await refusal(readGaps(file("bad.jsonl", jsonl(...rows))))).message;
    assert.match(await bad({ t_ms: 2 }, { t_ms: 1 }), /bad\.jsonl:2: t_ms is 1, before that of the line above/);
    assert.match(await bad({ t_ms: 2 }, {}), /bad\.jsonl:2: t_ms is missing/);
    assert.match(await bad({ t_ms: "2" }), /bad\.jsonl:1: t_ms is not a finite number/);
    assert.match(await bad({ t_ms: 2 }, { t_ms: 2 }), /holds no two arrivals/);
  });
});
