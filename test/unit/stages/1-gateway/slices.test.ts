import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import { ask, fileFor, testGateway, testUpstream, until } from "./harness.ts";

const rules = `
slices:
  - { name: context=long, when: [{ inputTokens: { from: 100 } }] }
  - { name: domain=billing, routes: [support-answer], when: [{ field: "messages[-1].content", matches: "refund|invoice", ignoreCase: true }] }
  - { name: tier=gold, when: [{ header: X-Tier, equals: gold }, { metadata: region, matches: "^eu" }] }
`;

describe("slices of the gateway's file", () => {
  it("are in the record, before those that the caller names", async (t) => {
    const one = await testUpstream(t);
    const gateway = await testGateway(t, fileFor(one, one, rules));
    const slicesOf = async (body: unknown, headers: Record<string, string> = {}) => {
      const before = gateway.log.calls().length;
      await (await gateway.chat(body, { headers })).text();
      await until("the call is recorded", () => gateway.log.calls().length > before);
      return gateway.log.calls().at(-1)?.slices;
    };
    assert.deepEqual(await slicesOf(ask("hi")), []);
    assert.deepEqual(await slicesOf(ask("About my INVOICE"), { "x-headgate-slices": "vip, domain=billing" }), ["domain=billing", "vip"]);
    assert.deepEqual(await slicesOf(ask("x".repeat(400), { metadata: { region: "eu-1" } }), { "x-tier": "gold" }), ["context=long", "tier=gold"]);
  });

  it("are refused when a pattern could hold up calls, or a rule says nothing", () => {
    const withRule = (when: string) => `upstreams: { one: { baseUrl: 'http://x' } }\nslices: [{ name: s, when: [${when}] }]`;
    for (const [when, problem] of [
      ['{ field: user, matches: "(a+)+$" }', /matches: could take very long/],
      ['{ field: user, matches: "(x|x)*y" }', /matches: could take very long/],
      ['{ field: user, matches: "a.*b.*c" }', /matches: could take very long/],
      ['{ field: user, matches: "(" }', /matches: is no regular expression/],
      ['{ field: "user[", equals: a }', /field: is no path/],
      ["{ equals: a }", /needs exactly one of/],
      ["{ field: user, header: a }", /needs exactly one of/],
    ] as const) {
      assert.throws(() => parseGatewayFile("gw.yaml", withRule(when), {}), problem, when);
    }
    for (const matches of ["refund|invoice", "^\\\\d{4}", "\\\\bVIP\\\\b", "colou?r"])
      parseGatewayFile("gw.yaml", withRule(`{ field: user, matches: "${matches}" }`), {});
  });
});
