import assert from "node:assert/strict";
import { it } from "node:test";
import { type Results, runConformance, runPythonConformance } from "../fixtures/conformance.ts";
import { gatewayBefore } from "../fixtures/conformance-gateway.ts";
import { type AskedOf, OpenaiUpstream } from "../fixtures/openai-upstream.ts";
import { until } from "../fixtures/until.ts";

/** What belongs to the connection, or to whoever stands at its end; a trace of its own is what the gateway adds. */
const ofTheWay = new Set(["host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive", "traceparent", "tracestate"]);
const headersOf = ({ headers }: AskedOf) => Object.entries(headers).filter(([name]) => !ofTheWay.has(name));

/** A request as it came through the gateway, without the question for usage that the gateway puts into streams. */
function withoutQuestion({ text }: AskedOf, direct: string): string {
  if (text === direct) return text;
  return direct.includes('"include_usage":false')
    ? text.replace('"include_usage":true', '"include_usage":false')
    : text.replace('"stream_options":{"include_usage":true},', "");
}

/** Runs a suite against an address, and waits until the upstream has heard of every caller that left. */
async function run(suite: (baseUrl: string) => Promise<Results>, url: string, upstream: OpenaiUpstream) {
  upstream.reset();
  const results = await suite(url);
  await until("the upstream hears that its callers left", () => upstream.left.length === 3, 30_000);
  return { results, asked: [...upstream.asked], left: [...upstream.left].sort() };
}

it("the official SDKs see through the gateway what they see without it, and the upstream is asked the same", { timeout: 600_000 }, async (t) => {
  const upstream = await new OpenaiUpstream().start();
  t.after(() => upstream.stop());
  const gateway = await gatewayBefore(t, upstream.url);
  let calls = 0;
  for (const [name, suite] of [
    ["Node", runConformance],
    ["Python", runPythonConformance],
  ] as const) {
    const direct = await run(suite, upstream.url, upstream);
    const through = await run(suite, gateway.url, upstream);
    assert.ok(Object.keys(direct.results).length >= 35, `${name} ran its whole suite`);
    for (const [what, seen] of Object.entries(direct.results)) assert.deepEqual(through.results[what], seen, `${name}: ${what}`);
    assert.deepEqual(Object.keys(through.results), Object.keys(direct.results));
    assert.deepEqual(through.left, direct.left);
    assert.equal(through.asked.length, direct.asked.length);
    for (const [i, asked] of direct.asked.entries()) {
      const same = through.asked[i];
      assert.ok(same !== undefined);
      assert.deepEqual([same.path, withoutQuestion(same, asked.text)], [asked.path, asked.text]);
      assert.deepEqual(headersOf(same), headersOf(asked));
    }
    calls += through.asked.length;
  }
  await until("every call is recorded", () => gateway.records.length >= calls, 60_000);
  assert.equal(gateway.records.length, calls);
  const answered = gateway.records.filter(({ status }) => status === "ok");
  assert.deepEqual(
    answered.filter(({ inputTokens, outputTokens }) => inputTokens === null || outputTokens === null).map(({ endpoint, stream }) => [endpoint, stream]),
    [],
    "tokens are recorded of every call that was answered, also where the caller did not ask for them",
  );
  assert.deepEqual([...new Set(answered.map(({ operation }) => operation))].sort(), ["chat", "embeddings", "text_completion"]);
  const states = new Map<string, number>();
  for (const { status } of gateway.records) states.set(status, (states.get(status) ?? 0) + 1);
  assert.equal(states.get("cancelled"), 6, "timeouts and aborts of callers");
  assert.equal(states.get("timeout"), undefined);
});
