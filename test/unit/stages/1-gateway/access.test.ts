import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { RateLimit } from "../../../../src/runtime/process/rate-limit.ts";
import { SealedTokens } from "../../../../src/runtime/sealed-tokens.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const hashOf = (key: string) => createHash("sha256").update(key).digest("hex");
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const errorOf = async (response: Response) => ((await response.json()) as { error: { code: string; type: string } }).error;

const callers = `
  other: { baseline: { version: o@1, upstream: one, model: m } }
callers:
  - { name: search, keyHash: "${hashOf("search-key")}", routes: [support-answer] }
  - { name: slow, keyHash: "sha256:${hashOf("slow-key")}", ratePerMinute: 2 }
  - { name: ci, keyHash: "${hashOf("ci-key")}", mayPin: true }
pins: { secretHash: "${hashOf("pin-secret")}" }
`;

describe("listed callers", () => {
  it("are let in by their keys, under the headers of common clients; nobody else is, and no key goes upstream", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one, one, callers));
    for (const headers of [bearer("search-key"), { "api-key": "search-key" }, { "x-api-key": "search-key" }]) {
      assert.equal((await gateway.chat(ask(), { headers })).status, 200);
    }
    for (const headers of [{}, bearer("wrong"), bearer(hashOf("search-key")), { authorization: "search-key" }]) {
      const response = await gateway.chat(ask(), { headers });
      assert.deepEqual([response.status, (await errorOf(response)).code], [401, "invalid_api_key"]);
    }
    assert.equal(one.asked.length, 3);
    assert.ok(one.asked.every(({ headers }) => !JSON.stringify(headers).includes("search-key")));
    await until("the calls are recorded", () => gateway.log.calls().length === 3);
    assert.deepEqual([...new Set(gateway.log.calls().map(({ caller }) => caller))], ["search"]);
    assert.ok(!JSON.stringify(gateway.log.appended.map(({ value }) => value)).includes("search-key"));
  });

  it("may call and see only their routes", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one, one, callers));
    const refused = await gateway.chat(ask("hi", { model: "other" }), { headers: bearer("search-key") });
    assert.deepEqual([refused.status, (await errorOf(refused)).code], [403, "route_not_allowed"]);
    const models = async (key: string) => {
      const response = await fetch(`${gateway.url}/v1/models`, { headers: bearer(key) });
      return response.status === 200 ? ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id) : response.status;
    };
    assert.deepEqual([await models("search-key"), await models("ci-key"), await models("wrong")], [["support-answer"], ["other", "support-answer"], 401]);
    assert.equal((await fetch(`${gateway.url}/healthz`)).status, 200);
  });

  it("are held to their rate, with the time after which to come again", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one, one, callers));
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await gateway.chat(ask(), { headers: bearer("slow-key") })).status);
    assert.deepEqual(statuses, [200, 200, 429]);
    const response = await gateway.chat(ask(), { headers: bearer("slow-key") });
    assert.ok(Number(response.headers.get("retry-after")) > 0 && Number(response.headers.get("retry-after")) <= 30);
    assert.deepEqual([(await errorOf(response)).code, (await gateway.chat(ask(), { headers: bearer("ci-key") })).status], ["rate_limit_exceeded", 200]);
  });

  it("must be hashes, with names and keys of their own, and no key of theirs may be passed on", () => {
    const good = "upstreams: { one: { baseUrl: 'http://x' } }\n";
    for (const [yaml, problem] of [
      [`${good}callers: [{ name: a, keyHash: my-secret }]`, /callers\[0\]\.keyHash: must be the SHA-256/],
      [`${good}callers: [{ name: a, keyHash: "${hashOf("k")}" }, { name: a, keyHash: "${hashOf("l")}" }]`, /callers\[1\]\.name: is that of another caller/],
      [`upstreams: { one: { baseUrl: 'http://x', passThroughKeys: true } }\ncallers: [{ name: a, keyHash: "${hashOf("k")}" }]`, /passThroughKeys: would send/],
    ] as const) {
      assert.throws(
        () => parseGatewayFile("gw.yaml", yaml, {}),
        (error: Error) => problem.test(error.message) && !error.message.includes("my-secret"),
      );
    }
  });

  it("never get more than their rate over any stretch of time, and a full minute's worth after a quiet one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.nat(3_000), { minLength: 1, maxLength: 300 }), (perMinute, pauses) => {
        let nowMs = 0;
        const limit = new RateLimit(perMinute, () => nowMs);
        const granted: number[] = [];
        for (const pause of pauses) {
          nowMs += pause;
          const waitS = limit.take();
          if (waitS === 0) granted.push(nowMs);
          else {
            const again = new RateLimit(perMinute, () => nowMs);
            assert.ok(waitS >= 1 && waitS <= Math.ceil(60 / perMinute) && again.take() === 0);
          }
        }
        for (const from of granted) {
          const within = granted.filter((at) => at >= from && at < from + 60_000).length;
          assert.ok(within <= 2 * perMinute + 1, `${within} of ${perMinute}`);
        }
      }),
    );
  });
});

describe("a rate below one call a minute", () => {
  it("gives one call, and the next when its time has come", () => {
    let nowMs = 0;
    const limit = new RateLimit(0.5, () => nowMs);
    const taken = [limit.take(), limit.take()];
    nowMs = 119_000;
    taken.push(limit.take());
    nowMs = 120_000;
    taken.push(limit.take(), limit.take());
    nowMs = 3_600_000;
    taken.push(limit.take(), limit.take());
    assert.deepEqual(taken, [0, 120, 1, 0, 120, 0, 120]);
  });
});

describe("a pin", () => {
  const everybodyOnBaseline = (changes = {}) =>
    tableWith({ ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 }), shadowPpm: 1_000_000, ...changes });

  async function setUp(t: Parameters<typeof testUpstream>[0]) {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    two.answer = (_, response) => answerJson(response, completion("from b"));
    const gateway = await testGateway(t, fileFor(one, two, callers), { tokens: new SealedTokens(["a key of tests, 32 letters or so"]) });
    gateway.log.tables.routing.put("support-answer", everybodyOnBaseline());
    const pinned = (version: string, headers: Record<string, string>) => gateway.chat(ask(), { headers: { "x-headgate-pin": version, ...headers } });
    return { one, two, gateway, pinned };
  }

  it("chooses the version for a key that may, or for whoever knows the secret; the call is recorded, as nobody's evidence", async (t) => {
    const { two, gateway, pinned } = await setUp(t);
    const first = await pinned("b@2", bearer("ci-key"));
    assert.equal(first.headers.get("x-headgate-outcome-token"), null);
    assert.match(await first.text(), /from b/);
    assert.match(await (await pinned("b@2", { ...bearer("search-key"), "x-headgate-pin-secret": "pin-secret" })).text(), /from b/);
    await until("the calls are recorded", () => gateway.log.calls().length === 2);
    for (const call of gateway.log.calls()) {
      assert.deepEqual([call.pinned, call.arm, call.samplePpm, call.version, call.exposure], [true, "none", 0, "b@2", "served"]);
    }
    assert.ok(two.asked.every(({ headers }) => headers["x-headgate-pin-secret"] === undefined && headers["x-headgate-pin"] === undefined));
    assert.equal(two.asked.length, 2, "nothing of it is mirrored");
  });

  it("is refused without the right, and for a version that the route does not serve", async (t) => {
    const { pinned } = await setUp(t);
    const codeOf = async (response: Response) => [response.status, (await errorOf(response)).code];
    assert.deepEqual(await codeOf(await pinned("b@2", bearer("search-key"))), [403, "pin_not_allowed"]);
    assert.deepEqual(await codeOf(await pinned("b@2", { ...bearer("search-key"), "x-headgate-pin-secret": "wrong" })), [403, "pin_not_allowed"]);
    assert.deepEqual(await codeOf(await pinned("c@3", bearer("ci-key"))), [404, "version_not_served"]);
  });

  it("is refused where there are no versions: on a direct call", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one, one, callers).replace(`"${one.url}", prices`, `"${one.url}", direct: true, prices`));
    const direct = (headers: Record<string, string>) => gateway.chat({ ...ask(), model: "one/gpt" }, { headers: { ...bearer("ci-key"), ...headers } });
    const refused = await direct({ "x-headgate-pin": "b@2" });
    assert.deepEqual([refused.status, (await errorOf(refused)).code, one.asked.length], [404, "version_not_served", 0]);
    assert.equal((await direct({})).status, 200);
  });

  it("does not get around a brake", async (t) => {
    const { gateway, pinned } = await setUp(t);
    const brake = { route: "support-answer", rollout: "support-answer-b", attempt: 1, cleared: false, reason: "", actor: "test", atMs: Date.now() };
    gateway.log.tables.brakes.put("support-answer", brake);
    assert.equal((await pinned("b@2", bearer("ci-key"))).status, 404);
    assert.equal((await pinned("a@1", bearer("ci-key"))).status, 200);
  });
});
