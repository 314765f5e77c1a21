import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import { AnswerMemory } from "../../../../src/stages/1-gateway/call/answer-memory.ts";
import { Upstream } from "../../../../src/stages/1-gateway/call/upstream.ts";
import { parseGatewayFile } from "../../../../src/stages/1-gateway/config.ts";
import { answerJson, ask, completion, testGateway, testUpstream, until } from "./harness.ts";

const pem = (name: string) => resolve(import.meta.dirname, "../../../fixtures/tls", `${name}.pem`);

/** An https upstream that asks for a client's certificate; it answers with the name in it. */
async function tlsUpstream(t: TestContext, requestCert = false): Promise<string> {
  const options = {
    cert: readFileSync(pem("server")),
    key: readFileSync(pem("server-key")),
    ca: readFileSync(pem("ca")),
    requestCert,
    rejectUnauthorized: requestCert,
  };
  const server = createServer(options, (request, response) => {
    request.resume();
    const peer = (request.socket as TLSSocket).getPeerCertificate();
    answerJson(response, completion(peer?.subject === undefined ? "nobody" : String(peer.subject.CN)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const fileOf = (url: string, tls: string) => `
upstreams: { one: { baseUrl: "${url}", retries: { max: 0 }, tls: ${tls} } }
routes: { support-answer: { baseline: { version: a@1, upstream: one, model: m } } }`;

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "headgate-upstream-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe("an upstream behind TLS", () => {
  it("is trusted only under the given authority and name", async (t) => {
    const url = await tlsUpstream(t);
    const statusWith = async (tls: string) => (await (await testGateway(t, fileOf(url, tls))).chat(ask())).status;
    assert.equal(await statusWith(`{ caFile: ${pem("ca")}, serverName: upstream.test }`), 200);
    assert.equal(await statusWith(`{ caFile: ${pem("ca")}, serverName: other.test }`), 502);
    assert.equal(await statusWith("{ serverName: upstream.test }"), 502);
    assert.equal(await statusWith("{ insecure: accept-any-certificate }"), 200);
  });

  it("sees the gateway's own certificate", async (t) => {
    const url = await tlsUpstream(t, true);
    const trusted = `caFile: ${pem("ca")}, serverName: upstream.test`;
    const known = await testGateway(t, fileOf(url, `{ ${trusted}, certFile: ${pem("client")}, keyFile: ${pem("client-key")} }`));
    assert.match(await (await known.chat(ask())).text(), /headgate test client/);
    const unknown = await testGateway(t, fileOf(url, `{ ${trusted} }`));
    assert.equal((await unknown.chat(ask())).status, 502);
  });

  it("is never left unchecked by a careless word", () => {
    for (const [tls, problem] of [
      ["{ insecure: true }", /tls\.insecure/],
      ["{ caFile: /not/there }", /tls\.caFile: \/not\/there cannot be read \(ENOENT\)/],
      [`{ certFile: ${pem("client")} }`, /certFile and keyFile belong together/],
      [`{ certFile: ${pem("client")}, keyFile: ${pem("server-key")} }`, /one\.tls: keyFile is not the key of certFile/],
      [`{ certFile: ${pem("client-key")}, keyFile: ${pem("client-key")} }`, /one\.tls: certFile and keyFile cannot be used \(ERR_OSSL_PEM_NO_START_LINE\)/],
      [`{ caFile: ${pem("client-key")} }`, /one\.tls: caFile holds no certificate \(PEM\)/],
    ] as const) {
      assert.throws(() => parseGatewayFile("gw.yaml", fileOf("https://x", tls), {}), problem);
    }
    assert.throws(() => parseGatewayFile("gw.yaml", fileOf("http://x", "{}"), {}), /only for an https address/);
  });
});

describe("an upstream's certificate", () => {
  it("stays in use as long as its renewed file is not complete, or its renewed key is not there yet", async (t) => {
    const [url, directory] = [await tlsUpstream(t, true), folder(t)];
    const files = { ca: join(directory, "ca.pem"), cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
    const write = (file: keyof typeof files, of: string) => writeFileSync(files[file], readFileSync(pem(of)));
    write("ca", "ca");
    write("cert", "client");
    write("key", "client-key");
    const tls = `{ caFile: ${files.ca}, serverName: upstream.test, certFile: ${files.cert}, keyFile: ${files.key} }`;
    const config = parseGatewayFile("gw.yaml", fileOf(url, tls), {}).upstreams.get("one");
    assert.ok(config !== undefined);
    const upstream = new Upstream(config, new AnswerMemory(1_000_000));
    t.after(() => upstream.close());
    write("cert", "server");
    assert.deepEqual(upstream.refresh(), { upstream: "one", problem: "tls: keyFile is not the key of certFile" });
    const inUse = upstream.connecting as { cert: string; key: string };
    assert.equal(inUse.cert, readFileSync(pem("client"), "utf8").trim());
    write("key", "server-key");
    assert.equal(upstream.refresh(), "changed");
    writeFileSync(files.ca, "-----BEGIN CERTIFICATE-----\n");
    assert.deepEqual(upstream.refresh(), { upstream: "one", problem: "tls: caFile holds no certificate (PEM)" });
  });
});

describe("an upstream that several routes share", () => {
  it("leaves half of the gateway to the others when it hangs; what finds no place fails as its version, with Retry-After", async (t) => {
    const [hanging, well] = [await testUpstream(t), await testUpstream(t)];
    hanging.answer = () => undefined;
    const route = (name: string, upstream: string) => `  ${name}: { baseline: { version: a@1, upstream: ${upstream}, model: m } }`;
    const gateway = await testGateway(
      t,
      `
upstreams: { hanging: { baseUrl: "${hanging.url}" }, well: { baseUrl: "${well.url}" } }
routes:
${[1, 2, 3, 4].map((i) => route(`r${i}`, "hanging")).join("\n")}
${route("healthy", "well")}
maxInFlight: 16
defaults: { limits: { maxInFlight: 4 } }
`,
    );
    const left = new AbortController();
    const asked = Array.from({ length: 16 }, (_, i) => gateway.chat(ask("x", { model: `r${1 + (i % 4)}` }), { signal: left.signal }).catch(() => null));
    await until("what finds no place has failed", () => gateway.log.calls().length === 8);
    assert.equal(hanging.asked.length, 8);
    assert.equal((await gateway.chat(ask("x", { model: "healthy" }))).status, 200);
    const refused = await gateway.chat(ask("x", { model: "r1" }));
    const { error } = (await refused.json()) as { error: { code: string; type: string } };
    assert.deepEqual([refused.status, error.code, error.type], [503, "upstream_concurrency_exceeded", "upstream_error"]);
    assert.equal(refused.headers.get("retry-after"), "1");
    const [record] = gateway.log.calls();
    assert.deepEqual([record?.status, record?.errorType, record?.firstErrorType], ["error", "upstream_concurrency_exceeded", "upstream_concurrency_exceeded"]);
    left.abort();
    await Promise.all(asked);
    hanging.answer = (_, response) => answerJson(response, completion("again"));
    await until("all have left", () => gateway.log.calls().length === 18);
    assert.equal((await gateway.chat(ask("x", { model: "r1" }))).status, 200);
  });
});

describe("an upstream's key", () => {
  it("is read again from its file while the gateway runs; one that cannot be read leaves the old one in use", async (t) => {
    const one = await testUpstream(t);
    const path = join(folder(t), "key");
    writeFileSync(path, "first\n");
    const gateway = await testGateway(
      t,
      `
upstreams: { one: { baseUrl: "${one.url}", apiKeyFile: ${path}, apiKeyHeader: Api-Key } }
routes: { support-answer: { baseline: { version: a@1, upstream: one, model: m } } }`,
    );
    const sent = async () => {
      await (await gateway.chat(ask(), { headers: { authorization: "Bearer caller" } })).text();
      const headers = one.asked.at(-1)?.headers;
      return [headers?.["api-key"], headers?.authorization];
    };
    assert.deepEqual(await sent(), ["first", undefined]);
    writeFileSync(path, "second\n");
    await until("the new key is used", async () => (await sent())[0] === "second");
  });

  it("stays in use when its file cannot be read again", (t) => {
    const path = join(folder(t), "key");
    writeFileSync(path, "first");
    const config = parseGatewayFile("gw.yaml", `upstreams: { one: { baseUrl: "http://x", apiKeyFile: ${path} } }`, {}).upstreams.get("one");
    assert.ok(config !== undefined);
    const upstream = new Upstream(config, new AnswerMemory(1_000_000));
    assert.equal(upstream.refresh(), "same");
    writeFileSync(path, "");
    assert.deepEqual([upstream.refresh(), upstream.apiKey], [{ upstream: "one", problem: `${path} is empty` }, "first"]);
    for (const unusable of ["bad\nkey", "sk\u2013pasted", "clé"]) {
      writeFileSync(path, unusable);
      const told = upstream.refresh();
      assert.ok(typeof told === "object" && told.problem.startsWith(`${path} holds what no key can`) && upstream.apiKey === "first", unusable);
    }
    writeFileSync(path, "second");
    assert.deepEqual([upstream.refresh(), upstream.apiKey], ["changed", "second"]);
  });
});
