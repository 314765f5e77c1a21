import assert from "node:assert/strict";
import { it } from "node:test";
import { type Results, runConformance, runPythonConformance } from "../fixtures/conformance.ts";
import { gatewayBefore } from "../fixtures/conformance-gateway.ts";
import { litellmBefore, litellmPackage } from "../fixtures/litellm.ts";
import { OpenaiUpstream } from "../fixtures/openai-upstream.ts";
import { pythonWith } from "../fixtures/python.ts";
import { until } from "../fixtures/until.ts";

/** What LiteLLM makes up for each call, so that two calls to it never tell the same: the times and ids of answers … */
const madeUp: Readonly<Record<string, (value: unknown) => boolean>> = {
  created: (value) => Number.isInteger(value),
  created_at: (value) => Number.isInteger(value),
  // Of a failed response only; others keep the provider's.
  id: (value) => /^resp_[0-9a-f]{32}$/.test(String(value)),
};
/** … and the headers that tell the call's id, when its provider answered, and how long that and LiteLLM itself took. */
const madeUpHeaders = new Set([
  "llm_provider-date",
  "x-litellm-call-id",
  ...["callback", "overhead", "response"].map((what) => `x-litellm-${what}-duration-ms`),
]);

function scrubbed(value: unknown): unknown {
  if (Array.isArray(value)) {
    const [name] = value;
    return value.length === 2 && madeUpHeaders.has(String(name)) ? [name, "made up"] : value.map(scrubbed);
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, madeUp[name]?.(field) === true ? "made up" : scrubbed(field)]));
}

/** Streams of completions that are not asked for their usage: LiteLLM then tells one of nothing but zeros in each chunk, and the gateway asks. */
const unaskedUsage = "completions streamed";

function withoutZeros(value: unknown): unknown {
  const isZero = (usage: object) => Object.values(usage).every((count) => count === 0 || count === null);
  return JSON.parse(JSON.stringify(value), (name, field) => (name === "usage" && (field === null || isZero(field)) ? undefined : field));
}

/** What a suite shows and asks at one address; waits until LiteLLM has told the upstream that a caller left its stream. */
async function run(suite: (baseUrl: string) => Promise<Results>, url: string, upstream: OpenaiUpstream) {
  upstream.reset();
  const results = await suite(url);
  await until("the upstream hears that a caller left", () => upstream.left.includes("#hang-stream"), 30_000);
  const asked = upstream.asked.map(({ path, text }) => {
    const { stream_options: _, ...body } = JSON.parse(text) as Record<string, unknown>;
    return [path, body];
  });
  return { results, asked };
}

/** Installs LiteLLM. @returns its Python, or why this machine cannot have it, which is also said */
function litellmPython(): { readonly path: string } | { readonly missing: string } {
  try {
    return { path: pythonWith([litellmPackage]) };
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: Buffer };
    const missing = `${litellmPackage} cannot be installed with python3 and pip: ${stderr?.toString().trim().split("\n").at(-1) || message}`;
    process.stderr.write(`not run: ${missing}\n`);
    return { missing };
  }
}

it("callers of a LiteLLM proxy see through a gateway in front of it what they see without one", { timeout: 900_000 }, async (t) => {
  const python = litellmPython();
  if ("missing" in python) return t.skip(python.missing);
  const upstream = await new OpenaiUpstream().start();
  t.after(() => upstream.stop());
  const litellm = await litellmBefore(t, python.path, upstream.url);
  const gateway = await gatewayBefore(t, litellm);
  let calls = 0;
  for (const [name, suite] of [
    ["Node", runConformance],
    ["Python", runPythonConformance],
  ] as const) {
    const direct = await run(suite, litellm, upstream);
    const through = await run(suite, gateway.url, upstream);
    assert.ok(Object.keys(direct.results).length >= 35, `${name} ran its whole suite`);
    assert.deepEqual(Object.keys(through.results), Object.keys(direct.results));
    for (const [what, seen] of Object.entries(direct.results)) {
      const [is, shouldBe] = [through.results[what], seen].map((each) => scrubbed(what === unaskedUsage ? withoutZeros(each) : each));
      assert.deepEqual(is, shouldBe, `${name}: ${what}`);
    }
    assert.deepEqual(through.asked, direct.asked, `${name}: LiteLLM asks its upstream the same`);
    calls += through.asked.length;
  }
  await until("every call that LiteLLM passed on is recorded", () => gateway.records.length >= calls, 60_000);
  const untold = gateway.records.filter(({ status, inputTokens, outputTokens }) => status === "ok" && (inputTokens === null || outputTokens === null));
  assert.deepEqual(
    untold.map(({ endpoint, stream }) => [endpoint, stream]),
    [],
    "tokens are recorded of every call that was answered",
  );
});
