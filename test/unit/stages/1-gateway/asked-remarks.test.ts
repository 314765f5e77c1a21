import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { askedRemarks, clearTextRemarks } from "../../../../src/stages/1-gateway/admin/asked-remarks.ts";
import { AnswerMemory } from "../../../../src/stages/1-gateway/call/answer-memory.ts";
import { Upstream } from "../../../../src/stages/1-gateway/call/upstream.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import { testUpstream } from "./harness.ts";
import { temporary } from "./spooling-log.ts";

const free = { log: { off: false, maxRecords: 1, maxBytes: 1, spoolMaxBytes: 1 } };

function configOf(upstream: string) {
  const [config] = parseGatewayFile("gw.yaml", `upstreams: { one: ${upstream} }`, { KEY: "sk-1" }).upstreams.values();
  assert.ok(config !== undefined);
  return config;
}

describe("who asks a gateway is told", () => {
  it("that a key goes through the Internet without TLS", () => {
    for (const [baseUrl, auth, expected] of [
      ["http://203.0.113.7:1/v1", "apiKeyEnv: KEY", ["upstream_unencrypted"]],
      ["http://api.provider.example/v1", "apiKeyEnv: KEY", ["upstream_unencrypted"]],
      ["http://203.0.113.7:1/v1", "passThroughKeys: true", ["upstream_unencrypted"]],
      ["http://203.0.113.7:1/v1", "direct: false", []],
      ["http://10.1.2.3:1/v1", "apiKeyEnv: KEY", []],
      ["http://[::1]:1/v1", "apiKeyEnv: KEY", []],
      ["http://127.0.0.1:1/v1", "apiKeyEnv: KEY", []],
      ["http://vllm.models.svc.cluster.local:1/v1", "apiKeyEnv: KEY", []],
      ["http://vllm:1/v1", "apiKeyEnv: KEY", []],
      ["https://203.0.113.7:1/v1", "apiKeyEnv: KEY", []],
    ] as const) {
      assert.deepEqual(
        clearTextRemarks(configOf(`{ baseUrl: "${baseUrl}", ${auth} }`)).map(({ code }) => code),
        expected,
        `${baseUrl} ${auth}`,
      );
    }
  });

  it("that the disk has less room than the spool may take", async (t) => {
    const upstream = new Upstream(configOf(`{ baseUrl: "${(await testUpstream(t)).url}" }`), new AnswerMemory(1_000_000));
    t.after(() => upstream.close());
    const told = (about: Partial<Parameters<typeof askedRemarks>[1]>) =>
      askedRemarks([upstream], { config: { data: null, ...free }, spooledBytes: 0, ...about });
    const data = temporary(t);
    const large = { log: { ...free.log, spoolMaxBytes: 2 ** 60 } };
    const [remark] = await told({ config: { data, ...large } });
    assert.deepEqual([remark?.level, remark?.code], ["warning", "spool_room"]);
    assert.match(remark?.message ?? "", /^the spool may take 1152921504606 MB more, and the disk of the data directory has \d+ MB: /);
    for (const config of [
      { data, ...free },
      { data, log: { ...large.log, off: true } },
      { data: null, ...large },
      { data: join(data, "not there"), ...large },
    ]) {
      assert.deepEqual(await told({ config }), []);
    }
    assert.deepEqual(await told({ config: { data, ...large }, spooledBytes: 2 ** 60 }), []);
  });
});
