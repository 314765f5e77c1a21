import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it, type TestContext } from "node:test";
import { ask, testGateway, testUpstream } from "./harness.ts";

const secret = {
  "x-forwarded-access-token": "1",
  "cf-access-jwt-assertion": "1",
  "x-vault-token": "1",
  "x-amz-security-token": "1",
  "x-goog-api-key": "1",
  "x-forwarded-for": "10.1.2.3",
  "ocp-apim-subscription-key": "1",
  apikey: "of Kong",
  "x-apikey": "of Apigee",
  "x-consumer-username": "ann",
  cookie: "a=1",
};
const plain = { "x-team": "search", "idempotency-key": "7", "openai-beta": "assistants=v2", "x-stainless-lang": "js" };
const account = { "openai-organization": "org-caller", "openai-project": "p" };

/** Names of those headers that an upstream with these settings gets. */
async function passed(t: TestContext, settings: string): Promise<string[]> {
  const upstream = await testUpstream(t);
  const file = `upstreams: { one: { baseUrl: "${upstream.url}"${settings} } }\nroutes: { support-answer: { baseline: { version: a@1, upstream: one, model: m } } }`;
  const gateway = await testGateway(t, file, { env: { K: "key" } });
  const sent = { ...secret, ...plain, ...account };
  for (let i = 0; i < 2; i++) assert.equal((await gateway.chat(ask(), { headers: sent })).status, 200);
  return Object.keys(sent).filter((name) => name in (upstream.asked.at(-1)?.headers ?? {}));
}

describe("callers' headers that prove or tell who they are", () => {
  it("go to no upstream, unless its configuration names them; the account only with the caller's own key", async (t) => {
    assert.deepEqual(await passed(t, ""), Object.keys(plain));
    assert.deepEqual(await passed(t, ", passThroughKeys: true"), [...Object.keys(plain), ...Object.keys(account)]);
    assert.deepEqual(await passed(t, ", apiKeyEnv: K"), Object.keys(plain));
    const named = await passed(t, ", forwardHeaders: [X-Vault-Token, openai-project], dropHeaders: [X-Team]");
    assert.deepEqual(named, ["x-vault-token", "idempotency-key", "openai-beta", "x-stainless-lang", "openai-project"]);
  });

  it("and the state of a gateway with listed callers is not shown on their port", async (t) => {
    const upstream = await testUpstream(t);
    const keyHash = createHash("sha256").update("key").digest("hex");
    const gateway = await testGateway(t, `upstreams: { one: { baseUrl: "${upstream.url}" } }\ncallers: [{ name: a, keyHash: ${keyHash} }]`);
    assert.deepEqual(await (await fetch(`${gateway.url}/readyz`)).json(), { ready: true });
    const metrics = await fetch(`${gateway.url}/metrics`);
    assert.deepEqual([metrics.status, /HEADGATE_PORT/.test(await metrics.text())], [404, true]);
  });
});
