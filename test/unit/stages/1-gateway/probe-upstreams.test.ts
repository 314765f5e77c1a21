import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createPlainServer } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { resolve } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { TlsOptions } from "node:tls";
import { upstreamRemarks } from "../../../../src/stages/1-gateway/admin/probe-upstreams.ts";
import { AnswerMemory } from "../../../../src/stages/1-gateway/call/answer-memory.ts";
import { Upstream } from "../../../../src/stages/1-gateway/call/upstream.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import { muteBroker } from "../../../fixtures/mute-broker.ts";

const pem = (name: string) => resolve(import.meta.dirname, "../../../fixtures/tls", `${name}.pem`);
const trusted = `caFile: ${pem("ca")}, serverName: upstream.test`;

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** An https server on a free port; `asked` counts what it is asked. */
async function secure(t: TestContext, options: TlsOptions & { readonly of?: string } = {}) {
  const { of = "server", ...more } = options;
  const known = { cert: readFileSync(pem(of)), key: readFileSync(pem(`${of}-key`)), ca: readFileSync(pem("ca")) };
  const world = { url: "", asked: 0 };
  const server = createServer({ ...known, ...more }, (_, response) => {
    world.asked++;
    response.end();
  });
  world.url = `https://127.0.0.1:${await listening(t, server)}/v1`;
  return world;
}

/** What is told of one upstream, at a moment of a test. */
async function told(t: TestContext, url: string, tls: string | null, at = new Date()) {
  const yaml = `upstreams: { one: { baseUrl: "${url}"${tls === null ? "" : `, tls: { ${tls} }`} } }`;
  const [config] = parseGatewayFile("gw.yaml", yaml, {}).upstreams.values();
  assert.ok(config !== undefined);
  const upstream = new Upstream(config, new AnswerMemory(1_000_000));
  t.after(() => upstream.close());
  return await upstreamRemarks([upstream], at.getTime());
}

describe("the probe of an upstream behind TLS", () => {
  it("has nothing to say of one that calls reach, and asks it nothing", async (t) => {
    const one = await secure(t, { requestCert: true, rejectUnauthorized: true });
    assert.deepEqual(await told(t, one.url, `${trusted}, certFile: ${pem("client")}, keyFile: ${pem("client-key")}`), []);
    assert.equal(one.asked, 0);
  });

  // The alert of TLS 1.2 has several meanings.
  for (const { version, says } of [
    { version: "TLSv1.2", says: /refuses the handshake: it wants a certificate of the gateway, or/ },
    { version: "TLSv1.3", says: /^upstream one: 127\.0\.0\.1:\d+ refuses the gateway's certificate, or that it shows none \(/ },
  ] as const) {
    it(`sees in ${version} that it wants a certificate of the gateway`, async (t) => {
      const one = await secure(t, { requestCert: true, rejectUnauthorized: true, minVersion: version, maxVersion: version });
      const [remark, ...more] = await told(t, one.url, trusted);
      assert.deepEqual([remark?.level, remark?.code, more], ["error", "upstream_tls", []]);
      assert.match(remark?.message ?? "", says);
      assert.match(remark?.fix ?? "", /tls\.certFile and tls\.keyFile/);
    });
  }

  for (const { what, of = "server", tls, message, fix } of [
    {
      what: "nobody here knows who signed it",
      tls: "serverName: upstream.test",
      message: /certificate is not signed by an authority that the gateway knows \(/,
      fix: /tls\.caFile/,
    },
    {
      what: "the authority of caFile did not sign it",
      tls: `caFile: ${pem("expired")}, serverName: upstream.test`,
      message: /not signed by an authority/,
      fix: /tls\.caFile/,
    },
    { what: "it is for another host", tls: `caFile: ${pem("ca")}`, message: /certificate is for another name .*DNS:upstream\.test/, fix: /tls\.serverName/ },
    {
      what: "it has ended",
      of: "expired",
      tls: `caFile: ${pem("expired")}, serverName: upstream.test`,
      message: /certificate has ended \(CERT_HAS_EXPIRED\)/,
      fix: /renew/,
    },
  ]) {
    it(`says when ${what}`, async (t) => {
      const one = await secure(t, { of });
      const [remark, ...more] = await told(t, one.url, tls);
      assert.deepEqual([remark?.level, remark?.code, more, one.asked], ["error", "upstream_tls", [], 0]);
      assert.match(remark?.message ?? "", message);
      assert.match(remark?.fix ?? "", fix);
    });
  }

  it("says when it speaks no TLS", async (t) => {
    const port = await listening(t, createPlainServer());
    const [remark] = await told(t, `https://127.0.0.1:${port}/v1`, null);
    assert.equal(remark?.code, "upstream_tls");
    assert.match(remark?.message ?? "", /does not speak TLS/);
    assert.match(remark?.fix ?? "", /http:\/\//);
  });

  it("says when it takes connections and never answers", async (t) => {
    const { broker } = await muteBroker(t);
    const [remark] = await told(t, `https://${broker}/v1`, "insecure: accept-any-certificate");
    assert.equal(remark?.code, "upstream_unreachable");
    assert.match(remark?.message ?? "", /no answer within 3000 ms/);
  });

  it("says which certificates end within two weeks: of the upstream, and of the gateway", async (t) => {
    const one = await secure(t, { requestCert: true });
    const tls = `${trusted}, certFile: ${pem("client")}, keyFile: ${pem("client-key")}`;
    const remarks = await told(t, one.url, tls, new Date("2126-10-25T12:00:00Z"));
    assert.deepEqual(
      remarks.map(({ level, code, message }) => `${level} ${code}: ${message.replace(/:\d{4,5} /, ":PORT ")}`),
      [
        "warning upstream_certificate_ends: upstream one: the certificate of 127.0.0.1:PORT (headgate test server) ends on 2126-11-03, in 9 days",
        "warning upstream_certificate_ends: upstream one: the gateway's own certificate (tls.certFile) ends on 2126-11-03, in 9 days",
      ],
    );
    assert.deepEqual(await told(t, one.url, tls, new Date("2126-10-20T12:00:00Z")), [], "15 days before");
  });

  it("warns that nothing is checked where the file says so, however bad the certificate is", async (t) => {
    const one = await secure(t, { of: "expired" });
    const remarks = await told(t, one.url, "insecure: accept-any-certificate");
    assert.deepEqual(
      remarks.map(({ level, code }) => `${level} ${code}`),
      ["warning upstream_unverified"],
    );
  });
});
