import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { version } from "../../../../src/config/version.ts";
import { checkExposure, isLoopback, parseTokens } from "../../../../src/stages/6-control/config.ts";
import { openapiPath } from "../../../../src/stages/6-control/openapi.ts";
import { operations } from "../../../../src/stages/6-control/operations.ts";
import { brakes, fleet, gateEvents, rolloutState, rollouts, routing, windows } from "../../../../topics/index.ts";
import { control } from "./control.ts";
import { brake, gateEvent, gateway, route, signal, spec, state, table, window } from "./records.ts";

describe("the control API", () => {
  it("shows a route: where it stands, who obeys, the newest evidence, earlier attempts", async () => {
    const { call, log } = await control();
    log.put(rollouts, route, { route, spec: JSON.stringify(spec), digest: "d", rubrics: [], actor: "ann", atMs: 1 });
    log.put(rolloutState, route, state({ attempt: 2 }));
    log.put(routing, route, table({ attempt: 2 }));
    log.put(fleet, "gw-1", gateway());
    log.put(fleet, "gw-2", gateway({ instance: "gw-2", routes: [{ route, epoch: 5, braked: false, static: false }] }));
    log.put(fleet, "gw-3", gateway({ instance: "gw-3", stopping: true }));
    log.put(windows, "w1", window({ attempt: 2, records: 10 }));
    log.put(windows, "w2", window({ attempt: 2, arm: "baseline", records: 90 }));
    log.put(gateEvents, route, gateEvent({ id: "ge-1", attempt: 1, action: "rolled_back", toPhase: "rolled_back" }));
    log.put(gateEvents, route, gateEvent({ id: "ge-2", attempt: 2, signals: [signal({ candidateN: 5 })], atMs: 7 }));
    log.put(gateEvents, route, gateEvent({ id: "ge-3", attempt: 2, signals: [], atMs: 9 }));
    const { json, status } = await call("GET", `/v1/routes/${route}`);
    assert.equal(status, 200);
    assert.deepEqual([json.phase, json.step, json.sharePct, json.measuredSharePct, json.ladder.length], ["canary", 2, 10, 10, 6]);
    assert.deepEqual([json.gateways.obeyed, json.gateways.live], [1, 2]);
    assert.deepEqual([json.signals[0].candidateN, json.signalsAtMs], [5, 7]);
    assert.deepEqual(
      json.earlier.map((event: { id: string }) => event.id),
      ["ge-1"],
    );
    assert.deepEqual(
      json.events.map((event: { id: string }) => event.id),
      ["ge-3", "ge-2", "ge-1"],
    );
    assert.equal(json.state.state, undefined, "the reducer's own state is private");
    const list = await call("GET", "/v1/rollouts");
    assert.deepEqual(list.json.rollouts[0].gateways, { obeyed: 1, live: 2 });
  });

  it("says of when a view is that Kafka was not heard for since, and to whoever writes then how a candidate is stopped without it", async () => {
    const { log, call } = await control();
    log.put(rolloutState, route, state({ message: "min_dwell: stays" }));
    const message = async () => (await call("GET", `/v1/routes/${route}`)).json.message as string;
    assert.equal(await message(), "min_dwell: stays");
    log.silentMs = 100_000;
    assert.match(await message(), /^control has not heard Kafka since \d{4}-\d\d-\d\dT[\d:.]+Z, all of this is of then: min_dwell: stays$/);
    log.failure = new Error("no acknowledgement");
    const refused = await call("POST", `/v1/routes/${route}/brake`, { reason: "bad" });
    assert.deepEqual([refused.status, refused.json.code], [503, "KAFKA_UNREACHABLE"]);
    assert.match(refused.json.fix, /headgate brake ROUTE --gateway URL/);
  });

  it("counts a gateway as obeying a brake only when it says that it is braked, or exposes nobody anyway", async () => {
    const { call, log } = await control();
    log.put(rolloutState, route, state());
    log.put(routing, route, table());
    log.put(fleet, "gw-1", gateway());
    log.put(brakes, route, brake());
    assert.deepEqual((await call("GET", `/v1/routes/${route}`)).json.gateways.obeyed, 0);
    log.put(routing, route, table({ ranges: [{ arm: "baseline", version: "x", from: 0, to: 10_000 }] }));
    assert.deepEqual((await call("GET", `/v1/routes/${route}`)).json.gateways.obeyed, 1);
    log.put(brakes, route, brake({ attempt: 9 }));
    assert.equal((await call("GET", `/v1/routes/${route}`)).json.brake, null, "a brake of another attempt binds nobody");
  });

  it("pages through events, newest first, without repeats", async () => {
    const { call, log } = await control();
    log.put(rolloutState, route, state());
    for (let i = 0; i < 5; i++) log.put(gateEvents, route, gateEvent({ id: `ge-${i}` }));
    log.put(gateEvents, route, gateEvent({ id: "ge-4" }));
    const first = await call("GET", `/v1/routes/${route}/events?limit=2`);
    assert.equal(first.json.next, "ge-3");
    const second = await call("GET", `/v1/routes/${route}/events?limit=3&before=${first.json.next}`);
    assert.deepEqual(
      second.json.events.map((event: { id: string }) => event.id),
      ["ge-2", "ge-1", "ge-0"],
    );
  });

  it("streams changes of a route and resumes from memory, or says that it cannot", async () => {
    const { app, log } = await control();
    await app.listen({ host: "127.0.0.1", port: 0 });
    const [address] = app.addresses() as { readonly port: number }[];
    const read = async (headers: Record<string, string>, until: RegExp, onOpen = () => {}) => {
      const abort = new AbortController();
      const answer = await fetch(`http://127.0.0.1:${address?.port}/v1/events?route=${route}`, { headers, signal: abort.signal });
      let text = "";
      for await (const chunk of answer.body ?? []) {
        if (text === "") onOpen();
        text += Buffer.from(chunk).toString();
        if (until.test(text)) break;
      }
      abort.abort();
      return text;
    };
    log.put(rolloutState, route, state());
    log.put(routing, "another", table({ route: "another" }));
    log.put(gateEvents, route, gateEvent());
    const resumed = await read({ "last-event-id": "feed-0" }, /ge-1/);
    assert.match(resumed, /id: feed-1\nevent: rollout-state/);
    assert.match(resumed, /id: feed-3\nevent: gate-event\ndata: \{"id":"ge-1"/);
    assert.doesNotMatch(resumed, /another/);
    assert.match(await read({ "last-event-id": "former-9" }, /reset/), /event: reset/);
    const live = await read({}, /ge-2/, () => log.put(gateEvents, route, gateEvent({ id: "ge-2" })));
    assert.match(live, /id: feed-4\nevent: gate-event/);
    await app.close();
  });

  it("answers only loopback names without a token, and no web page of another origin", async () => {
    const { call } = await control();
    assert.equal((await call("GET", "/v1/rollouts")).status, 200);
    assert.equal((await call("GET", "/v1/rollouts", undefined, { host: "evil.example:7070" })).status, 403);
    assert.equal((await call("POST", "/v1/brake", undefined, { origin: "https://evil.example" })).json.code, "FORBIDDEN");
    assert.equal((await call("GET", "/v1/rollouts", undefined, { origin: "http://127.0.0.1:7070" })).status, 200);
  });

  it("asks for one of its tokens when it has any, but not for health", async () => {
    const { call } = await control({ tokens: ["first-token-of-16-chars", "second-token-of-16-chars"] });
    const without = await call("GET", "/v1/rollouts");
    assert.deepEqual([without.status, without.headers["www-authenticate"]], [401, 'Bearer realm="headgate"']);
    assert.equal((await call("GET", "/v1/rollouts", undefined, { authorization: "Bearer nope" })).status, 401);
    assert.equal((await call("GET", "/metrics")).status, 401);
    assert.equal((await call("GET", "/v1/rollouts", undefined, { host: "control.internal", authorization: "Bearer second-token-of-16-chars" })).status, 200);
    assert.equal((await call("GET", "/healthz")).status, 200);
    assert.equal((await call("GET", "/readyz")).status, 200);
  });

  it("answers every mistake with a problem document that has a code and a fix", async () => {
    const { call } = await control();
    const mistakes = await Promise.all([
      call("GET", "/nowhere"),
      call("GET", "/v1/routes/nowhere"),
      call("POST", "/v1/rollouts", "{", { "content-type": "application/json" }),
      call("POST", "/v1/rollouts", "route", { "content-type": "text/plain" }),
      call("POST", "/v1/rollouts", { spec: {}, extra: 1 }),
      call("POST", "/v1/rollouts", `"${"x".repeat(1024 * 1024)}"`, { "content-type": "application/json" }),
      call("GET", "/v1/routes/x/events?limit=0"),
    ]);
    assert.deepEqual(
      mistakes.map((answer) => answer.status),
      [404, 404, 400, 415, 400, 413, 400],
    );
    for (const { json, headers } of mistakes) {
      assert.match(String(headers["content-type"]), /^application\/problem\+json/);
      assert.ok(json.code !== "" && json.fix !== "" && json.detail !== "" && json.instance !== "");
    }
  });

  it("refuses to bind a network without a token, and tokens that are too short", () => {
    assert.deepEqual(["127.0.0.1", "127.9.9.9", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1", "127.0.0.1.evil"].map(isLoopback), [
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    assert.throws(() => checkExposure("0.0.0.0", undefined), /not a loopback address/);
    checkExposure("0.0.0.0", "/run/token");
    assert.deepEqual(parseTokens("# ci\nabcdefghijklmnop\n\n"), ["abcdefghijklmnop"]);
    assert.throws(() => parseTokens("short\n"), /too short/);
    assert.throws(() => parseTokens("\n"), /no token/);
  });

  it("describes exactly the routes that it serves", async () => {
    const { app, call } = await control();
    const { json } = await call("GET", "/openapi.json");
    const described = Object.entries(json.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    assert.deepEqual(described.sort(), operations.map(({ method, path }) => `${method} ${openapiPath(path)}`).sort());
    for (const { method, path } of operations) assert.ok(app.hasRoute({ method, url: path }), `${method} ${path} is not served`);
    const served = app.printRoutes({ commonPrefix: false }).match(/\((?:GET|POST|DELETE)[^)]*\)/g) ?? [];
    const methods = served.flatMap((list) => list.slice(1, -1).split(", ")).filter((method) => method !== "HEAD");
    assert.equal(methods.length, operations.length, "a route is served that is not described");
    assert.equal(json.openapi, "3.1.0");
    assert.equal(json.paths["/v1/routes/{route}/pause"].post.parameters[0].name, "route");
  });

  it("is documented in docs/api.md, each route, both ways", () => {
    const documented = [...readFileSync("docs/api.md", "utf8").matchAll(/`(GET|POST|DELETE) (\/[^`\s?]*)`/g)].map(([, method, path]) => `${method} ${path}`);
    assert.deepEqual([...new Set(documented)].sort(), operations.map(({ method, path }) => `${method} ${path}`).sort());
  });

  it("carries the version of package.json", () => {
    assert.equal(version, JSON.parse(readFileSync("package.json", "utf8")).version);
  });
});
