import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { decodeToken } from "../../../../src/domain/outcomes/token.ts";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { SealedTokens } from "../../../../src/runtime/sealed-tokens.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { ask, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const tokens = new SealedTokens(["a key of tests, 32 letters or so"]);
const everyoneTo = (candidateBuckets: number, epoch: number) =>
  tableWith({
    epoch,
    slices: ["context=long"],
    ranges: rangesFor({ baseline: "a@1", candidate: "b-much-longer@2", candidateBuckets, holdbackBuckets: 0 }),
    candidate: "b-much-longer@2",
    versions: tableWith().versions.map((version) => (version.name === "b@2" ? { ...version, name: "b-much-longer@2" } : version)),
    atMs: Date.now(),
  });

async function gatewayWithTokens(t: TestContext) {
  const one = await testUpstream(t);
  return { one, gateway: await testGateway(t, fileFor(one), { tokens }) };
}

function opened(response: Response) {
  const found = tokens.open(response.headers.get("x-headgate-outcome-token") ?? "");
  assert.ok(found.kind === "opened");
  return decodeToken(found.bytes);
}

describe("the outcome token of an answer", () => {
  it("holds what the record of the call says of it, and of its slices the declared ones", async (t) => {
    const { gateway } = await gatewayWithTokens(t);
    gateway.log.tables.routing.put("support-answer", everyoneTo(10_000, 3));
    const response = await gateway.chat(ask("hi", { user: "u-1" }), { headers: { "x-headgate-slices": "context=long, id=17" } });
    await response.text();
    await until("the call is recorded", () => gateway.log.calls().length === 1);
    const record = gateway.log.calls()[0];
    assert.ok(record !== undefined);
    const { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, startedAtMs, paneMs } = record;
    assert.equal(arm, "candidate");
    const slices = ["context=long"];
    assert.deepEqual(opened(response), { requestId, route, rollout, attempt, step, epoch, arm, version, exposure, subject, slices, startedAtMs, paneMs });
  });

  it("is as long for both arms, although their versions' names are not", async (t) => {
    const { gateway } = await gatewayWithTokens(t);
    const lengths = [];
    for (const [i, buckets] of [0, 10_000].entries()) {
      gateway.log.tables.routing.put("support-answer", everyoneTo(buckets, 3 + i));
      const response = await gateway.chat(ask());
      await response.text();
      assert.equal(opened(response)?.arm, buckets === 0 ? "baseline" : "candidate");
      lengths.push(response.headers.get("x-headgate-outcome-token")?.length);
    }
    assert.equal(lengths[0], lengths[1]);
  });

  it("comes with the head of a stream, before its body, and with a failed call", async (t) => {
    const { one, gateway } = await gatewayWithTokens(t);
    let release: () => void = () => undefined;
    one.answer = async (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      response.end("data: [DONE]\n\n");
    };
    const stream = await gateway.chat(ask("hi", { stream: true }));
    assert.equal(opened(stream)?.route, "support-answer");
    release();
    await stream.text();
    one.answer = (_, response) => void response.destroy();
    const failed = await gateway.chat(ask());
    assert.equal(failed.status, 502);
    assert.equal(opened(failed)?.version, "a@1");
    await failed.text();
  });

  it("of an answer that the baseline gave for a failed candidate is nobody's evidence", async (t) => {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    two.answer = (_, response) => void response.writeHead(500).end("{}");
    const gateway = await testGateway(t, fileFor(one, two).replace("baseline: {", "shield: baseline, baseline: {"), { tokens });
    gateway.log.tables.routing.put("support-answer", everyoneTo(10_000, 3));
    const response = await gateway.chat(ask());
    assert.equal(response.status, 200);
    await response.text();
    const { arm, version } = opened(response) ?? {};
    assert.deepEqual([arm, version], ["none", "a@1"]);
  });

  it("is not given without a key, nor taken over from an upstream", async (t) => {
    const one = await testUpstream(t);
    one.answer = (_, response) => {
      response.writeHead(200, { "content-type": "application/json", "x-headgate-outcome-token": "forged" });
      response.end("{}");
    };
    const gateway = await testGateway(t, fileFor(one));
    const response = await gateway.chat(ask());
    await response.text();
    assert.equal(response.headers.get("x-headgate-outcome-token"), null);
  });
});
