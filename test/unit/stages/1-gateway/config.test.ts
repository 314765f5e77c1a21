import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KnownError } from "../../../../src/errors/known-error.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";

const good = "upstreams: { one: { baseUrl: 'https://api.openai.com/v1' } }\n";
const problemsOf = (yaml: string, env = {}): string => {
  try {
    parseGatewayFile("gw.yaml", yaml, env);
  } catch (error) {
    assert.ok(error instanceof KnownError && error.code === "CONFIG_INVALID" && error.message.includes("gw.yaml"));
    return error.message;
  }
  return "";
};

describe("the gateway's file", () => {
  it("needs nothing but an upstream; everything else has a default", () => {
    const config = parseGatewayFile("gw.yaml", good, {});
    assert.deepEqual(config.upstreams.get("one")?.timeouts, { connectMs: 5_000, headersMs: 300_000, idleMs: 120_000, totalMs: 900_000 });
    assert.deepEqual(config.defaults, { bodies: "full", shield: "none", maxInFlight: 512, maxBodyBytes: 32 * 1024 * 1024 });
    assert.deepEqual(config.subject, ["header", "safety_identifier", "user", "conversation", "previous_response"]);
  });

  it("takes keys from the environment and routes with limits of their own", () => {
    const yaml =
      "upstreams: { one: { baseUrl: 'http://x', apiKeyEnv: KEY } }\nroutes: { r: { baseline: { version: v@1, upstream: one, model: m }, limits: { maxInFlight: 3 } } }";
    const config = parseGatewayFile("gw.yaml", yaml, { KEY: " sk \n" });
    assert.equal(config.upstreams.get("one")?.apiKey, "sk");
    const { maxInFlight, maxBodyBytes, bodies } = config.routes.get("r") ?? {};
    assert.deepEqual([maxInFlight, maxBodyBytes, bodies], [3, 32 * 1024 * 1024, "full"]);
  });

  it("records calls unless the file says `log: off`", () => {
    assert.deepEqual([parseGatewayFile("gw.yaml", good, {}).log.off, parseGatewayFile("gw.yaml", `${good}log: off`, {}).log.off], [false, true]);
  });

  it("names each field that is wrong, and never a value that may be secret", () => {
    const cases: readonly [string, RegExp][] = [
      ["", /upstreams: is missing/],
      ["upstreams: {}", /upstreams: must name at least one upstream/],
      ["a: [", /it is not YAML/],
      ["upstreams: { one: { baseUrl: 'ftp://x' } }", /upstreams\.one\.baseUrl: must be an http or https address/],
      ["upstreams: { one: { baseUrl: 'https://u:secret@x' } }", /upstreams\.one\.baseUrl: must not hold a user or password/],
      ["upstreams: { one: { baseUrl: 'http://x', apiKeyEnv: NO_KEY } }", /upstreams\.one\.apiKeyEnv: the environment variable NO_KEY is not set/],
      ["upstreams: { one: { baseUrl: 'http://x', apiKeyFile: /does/not/exist } }", /apiKeyFile: \/does\/not\/exist cannot be read \(ENOENT\)/],
      ["upstreams: { one: { baseUrl: 'http://x', apiKeyEnv: A, apiKeyFile: b } }", /give apiKeyEnv or apiKeyFile, not both/],
      ["upstreams: { one: { baseUrl: 'http://x', apiKeyEnv: KEY, passThroughKeys: true } }", /upstreams\.one\.passThroughKeys: is only for/],
      ["upstreams: { one: { baseurl: 'http://x' } }", /upstreams\.one\.baseurl: is not a field; did you mean baseUrl\?/],
      [`${good}routes: { r: { baseline: { version: v, upstream: two, model: m } } }`, /routes\.r\.baseline\.upstream: names no upstream of this file \(one\)/],
      [
        `${good}routes: { r: { baseline: { version: v, upstream: one, model: m, parameters: { stream: true } } } }`,
        /routes\.r\.baseline\.parameters: may not set stream/,
      ],
      [`${good}routes: { r: { baseline: { version: v, upstream: one, model: m }, bodies: redacted } }`, /routes\.r\.bodies/],
      [`${good}subject: [cookie]`, /subject\[0\]/],
      [`${good}log: { maxBytes: 0 }`, /log\.maxBytes/],
      [`${good}log: never`, /log: Invalid input: expected object, received string/],
    ];
    for (const [yaml, expected] of cases) {
      const problems = problemsOf(yaml, { KEY: "sk-secret" });
      assert.match(problems, expected, yaml);
      assert.ok(!problems.includes("secret"));
    }
  });
});
