import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { type Ejection, ejectAs } from "../../../../src/cli/eject/formats.ts";
import { run } from "../../../../src/cli/run.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import { fakeCli } from "../fake-cli.ts";

const gatewayFile = `# what we run with
upstreams:
  azure: { baseUrl: "https://example.openai.azure.com/openai/v1", apiKeyEnv: AZURE_KEY, headers: { x-team: search } }
routes:
  support-answer: # first route
    baseline: { version: old, upstream: azure, model: gpt-old, parameters: { seed: 1 } }
    limits: { maxInFlight: 7 }
`;
const about: Ejection = {
  route: "support-answer",
  version: { name: "gpt-b@2026-11", upstream: "azure", model: "gpt-b", parameters: { temperature: 0, top_p: null }, systemTemplate: "Be 'brief'." },
  upstream: { baseUrl: "https://example.openai.azure.com/openai/v1", apiKeyEnv: "AZURE_KEY", headers: { "x-team": "search" } },
  gatewayFile,
};

describe("headgate eject", () => {
  it("writes the gateway's own file with the version as baseline, and leaves everything else of it", () => {
    const { text } = ejectAs("gateway", about);
    const { routes } = parseGatewayFile("ejected", text, { AZURE_KEY: "k" });
    assert.deepEqual(routes.get("support-answer")?.baseline, about.version);
    assert.equal(routes.get("support-answer")?.maxInFlight, 7);
    assert.match(text, /# what we run with[\s\S]*# first route/);
  });

  it("adds a route that the file does not have", () => {
    const { text } = ejectAs("gateway", { ...about, route: "other", version: { ...about.version, parameters: {}, systemTemplate: null } });
    assert.deepEqual([...parseGatewayFile("ejected", text, { AZURE_KEY: "k" }).routes.keys()], ["support-answer", "other"]);
  });

  it("writes a model list for LiteLLM under the route's name, and says what LiteLLM cannot do for the caller", () => {
    const { text, client } = ejectAs("litellm", about);
    const [model] = parse(text).model_list;
    assert.deepEqual(model.model_name, "support-answer");
    assert.deepEqual(model.litellm_params, {
      model: "openai/gpt-b",
      api_base: "https://example.openai.azure.com/openai/v1",
      api_key: "os.environ/AZURE_KEY",
      extra_headers: { "x-team": "search" },
      temperature: 0,
      additional_drop_params: ["top_p"],
    });
    assert.match(client.join("\n"), /base URL becomes[\s\S]*temperature[\s\S]*system message "Be 'brief'\."/);
  });

  it("writes variables for callers that go to the upstream themselves", () => {
    const { text, client } = ejectAs("env", about);
    assert.equal(text, `OPENAI_BASE_URL=https://example.openai.azure.com/openai/v1\nOPENAI_API_KEY="$AZURE_KEY"\nOPENAI_MODEL=gpt-b\n`);
    assert.match(client.join("\n"), /support-answer becomes gpt-b[\s\S]*x-team: search[\s\S]*temperature: 0[\s\S]*no call sends top_p[\s\S]*system message/);
  });

  it("shows no header that may hold a secret, and says what it cannot carry over", () => {
    const headers = { "x-team": "search", "X-Proxy-Token": "s3cret" };
    const upstream = { ...about.upstream, apiKeyHeader: "api-key", tls: { caFile: "/etc/ca.pem" }, headers };
    for (const format of ["litellm", "env"] as const) {
      const { text, client } = ejectAs(format, { ...about, upstream });
      const all = [text, ...client].join("\n");
      assert.ok(!all.includes("s3cret") && all.includes("<as in the gateway's file>") && all.includes("search"), all);
      assert.match(all, /in the header api-key[\s\S]*`tls`[^\n]*caFile/);
    }
  });

  it("without Kafka takes the version of the file, which may hold more than eject knows", async () => {
    const cli = fakeCli({ files: { "gateway.yaml": gatewayFile } });
    assert.equal(await run(["eject", "support-answer", "--offline", "--format", "env", "--config", "gateway.yaml"], cli), 0);
    assert.match(cli.lines.out.join("\n"), /OPENAI_MODEL=gpt-old/);
    assert.match(cli.lines.err.join("\n"), /served by old there, as its gateway file says[\s\S]*seed: 1/);
  });

  it("says which file, route, version or variable is missing", async () => {
    const fails = async (args: string[], code: number, text: RegExp) => {
      const cli = fakeCli({ files: { "gateway.yaml": gatewayFile, "bad.yaml": "upstreams: 3" }, env: { HEADGATE_GATEWAY_CONFIG: "gateway.yaml" } });
      assert.equal(await run(["eject", ...args], cli), code, cli.lines.err.join());
      assert.match(cli.lines.err.join("\n"), text);
    };
    await fails(["nowhere", "--offline"], 5, /there is no route nowhere/);
    await fails(["support-answer", "--offline", "--to", "new"], 5, /no version new[\s\S]*it has old/);
    await fails(["support-answer", "--offline", "--config", "bad.yaml"], 2, /bad\.yaml is no gateway file/);
    await fails(["support-answer"], 2, /KAFKA_BROKERS is not set/);
  });
});
