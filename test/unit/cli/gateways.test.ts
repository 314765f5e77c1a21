import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { withBaselines } from "../../../src/cli/export-static.ts";
import { run } from "../../../src/cli/run.ts";
import { parseGatewayFile } from "../../../src/stages/1-gateway/config.ts";
import { tableWith } from "../domain/routing/table-fixture.ts";
import { type FakeAnswer, fakeCli } from "./fake-cli.ts";

const env = { HEADGATE_GATEWAY_ADMIN_TOKEN: "0123456789abcdef", USER: "ann" };
const braked: FakeAnswer = { status: 200, body: { gateway: "gateway-1", route: "support-answer", attempt: 4, obeyed: true, kept: true } };

describe("commands that talk to gateways themselves", () => {
  it("brake at each gateway that is named, with its token, and name one that does not answer", async () => {
    const cli = fakeCli({ env, answer: (_method, _path, nth) => (nth === 1 ? new TypeError("fetch failed") : braked) });
    assert.equal(await run(["brake", "support-answer", "--gateway", "http://a:1", "--gateway", "http://b:1", "--reason", "it swears"], cli), 1);
    assert.deepEqual(cli.lines.out, ["support-answer attempt 4  braked at gateway-1, kept over a restart"]);
    assert.match(cli.lines.err.join("\n"), /GATEWAY_UNREACHABLE: http:\/\/a:1: nothing answers/);
    assert.deepEqual(cli.requests[1], {
      method: "POST",
      url: "http://b:1/v1/brakes",
      body: { route: "support-answer", reason: "it swears", actor: "ann" },
      authorization: "Bearer 0123456789abcdef",
    });
  });

  it("take the token from a file, refuse to clear, and say when there is no token", async () => {
    const withFile = fakeCli({ env: { HEADGATE_GATEWAY_ADMIN_TOKEN_FILE: "token" }, files: { token: "from a file 1234\n" }, answer: () => braked });
    assert.equal(await run(["brake", "*", "--gateway", "http://a:1"], withFile), 0);
    assert.equal(withFile.requests[0]?.authorization, "Bearer from a file 1234");
    assert.equal(await run(["brake", "*", "--clear", "--gateway", "http://a:1"], withFile), 2);
    const without = fakeCli({ answer: () => braked });
    assert.equal(await run(["brake", "*", "--gateway", "http://a:1"], without), 2);
    assert.match(without.lines.err.join("\n"), /needs its token/);
  });

  it("pass on what a gateway refuses", async () => {
    const cli = fakeCli({ env, answer: () => ({ status: 404, body: { code: "NOT_FOUND", detail: "this gateway knows no route x", fix: "it knows y" } }) });
    assert.equal(await run(["brake", "x", "--gateway", "http://a:1"], cli), 5);
  });

  it("tell of one that does not answer beside what the others say", async () => {
    const body = { instance: "gateway-1", connected: true, routes: [], remarks: [] };
    const cli = fakeCli({ env, answer: (_method, _path, nth) => (nth === 1 ? { status: 502, body: {} } : { status: 200, body }) });
    assert.equal(await run(["doctor", "--gateway", "http://a:1", "--gateway", "http://b:1"], cli), 1);
    const [shown = "", unheard = ""] = cli.lines.out;
    assert.match(shown, /^gateway-1 {2}connected/);
    assert.match(unheard, /error gateway_unreachable: http:\/\/a:1/);
  });

  it("show remarks, and end with 1 when one is an error", async () => {
    const status = (level: string) => ({
      instance: "gateway-1",
      connected: true,
      routes: [{ route: "support-answer", epoch: 7, braked: false, hold: "stale" }],
      remarks: [{ level, code: "static_outdated", message: "the file has a@1", fix: "headgate export static" }],
    });
    for (const [level, code] of [
      ["error", 1],
      ["warning", 0],
    ] as const) {
      const cli = fakeCli({ env, answer: () => ({ status: 200, body: status(level) }) });
      assert.equal(await run(["doctor", "--gateway", "http://a:1"], cli), code);
      assert.deepEqual(cli.lines.out, [
        `gateway-1  connected; support-answer at epoch 7, stale\n  ${level} static_outdated: the file has a@1\n    fix: headgate export static`,
      ]);
    }
  });
});

describe("the static file of the baselines that routing has", () => {
  const [a, b] = tableWith().versions;
  const table = tableWith({ baseline: "b@2", versions: [a, { ...b, systemTemplate: "Be brief." }] as ReturnType<typeof tableWith>["versions"] });

  it("replaces baselines in a file and leaves the rest and its comments, and the gateway reads it", () => {
    const before =
      "# ours\nupstreams: { one: { baseUrl: 'http://one' }, two: { baseUrl: 'http://two' } }\nroutes:\n  support-answer: # kept\n    limits: { maxInFlight: 3 }\n    baseline: { version: a@1, upstream: one, model: model-a }\n";
    const text = withBaselines(before, [table, { ...table, route: "another" }]);
    assert.match(text, /^# ours\n/);
    assert.match(text, /# kept/);
    const { routes } = parseGatewayFile("x", text, {});
    const expected = { name: "b@2", upstream: "two", model: "model-b", parameters: { temperature: 0 }, systemTemplate: "Be brief." };
    assert.deepEqual(routes.get("support-answer")?.baseline, expected);
    assert.equal(routes.get("support-answer")?.maxInFlight, 3);
    assert.deepEqual(routes.get("another")?.baseline, expected);
  });

  it("is told in the help to be no gateway's file by itself, which has upstreams too", async () => {
    const cli = fakeCli({});
    assert.equal(await run(["export", "static", "--help"], cli), 0);
    const help = [...cli.lines.out, ...cli.lines.err].join("\n").replaceAll(/\s+/g, " ");
    assert.match(help, /only `routes`: a gateway needs `upstreams` too/);
    assert.throws(() => parseGatewayFile("x", withBaselines("", [tableWith()]), {}), /upstreams/);
  });

  it("stands alone as the routes of a file when there is none", () => {
    assert.equal(
      withBaselines("", [tableWith()]),
      "routes:\n  support-answer:\n    baseline:\n      version: a@1\n      upstream: one\n      model: model-a\n",
    );
  });
});
