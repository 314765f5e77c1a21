import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { stringify } from "yaml";
import { builtinRubrics } from "../../../../src/domain/judging/builtin.ts";
import { catalog, fleet, gateEvents, rolloutState, rollouts, routing } from "../../../../topics/index.ts";
import { control } from "./control.ts";
import { baseline, candidate, gateEvent, gateway, route, rubricText, spec, state, table } from "./records.ts";

const rubrics = [{ name: "task@1", text: rubricText }];
const declare = (over: object = {}) => ({ spec: { ...spec, ...over }, rubrics, actor: "ann" });
const errorsOf = (json: { errors: { path: string; message: string }[] }) => new Map(json.errors.map(({ path, message }) => [path, message]));

describe("POST /v1/rollouts", () => {
  it("writes the texts to the catalog and then the spec, with its rubrics resolved, to rollouts", async () => {
    const { call, log, written } = await control();
    log.put(fleet, "gw-1", gateway());
    const answer = await call("POST", "/v1/rollouts", declare());
    assert.equal(answer.status, 202, answer.text);
    assert.deepEqual(
      log.appended.map((record) => record.topic.name),
      ["catalog", "catalog", "rollouts"],
    );
    const [record] = written("rollouts") as { spec: string; digest: string; actor: string; rubrics: { name: string; digest: string; signals: unknown[] }[] }[];
    assert.deepEqual(JSON.parse(record?.spec ?? ""), spec);
    assert.equal(record?.actor, "ann");
    assert.equal(record?.digest, answer.json.digest);
    assert.deepEqual(record?.rubrics[0]?.signals, [{ name: "task_completion", form: "binary" }]);
    const texts = written("catalog") as { kind: string; text: string; digest: string }[];
    assert.equal(texts.find((entry) => entry.kind === "rubric")?.text, rubricText);
    assert.equal(texts.find((entry) => entry.kind === "rubric")?.digest, record?.rubrics[0]?.digest);
    assert.deepEqual(answer.json.warnings, []);
  });

  it("takes a bare YAML document, and the actor from the header", async () => {
    const { call, log, written } = await control();
    await call("POST", "/v1/rollouts", declare());
    log.put(rolloutState, route, state({ phase: "rolled_back" }));
    const answer = await call("POST", "/v1/rollouts", stringify({ ...spec, minSamples: 50 }), { "content-type": "application/yaml", "x-headgate-actor": "ci" });
    assert.equal(answer.status, 202, answer.text);
    assert.equal((written("rollouts").at(-1) as { actor: string }).actor, "ci");
  });

  it("names each wrong field with what it should be", async () => {
    const { call, written } = await control();
    const answer = await call(
      "POST",
      "/v1/rollouts",
      declare({ laddr: [1], alpha: 0.9, dwell: { min: "soon" }, signals: [{ name: "latency_p95", margin: { limit: -1 } }], route: undefined }),
    );
    assert.equal(answer.status, 422);
    assert.match(String(answer.headers["content-type"]), /^application\/problem\+json/);
    assert.equal(answer.json.code, "SPEC_INVALID");
    const errors = errorsOf(answer.json);
    assert.match(errors.get("laddr") ?? "", /did you mean ladder/);
    assert.match(errors.get("route") ?? "", /is missing/);
    assert.match(errors.get("alpha") ?? "", /0\.2.*default 0\.05/);
    assert.match(errors.get("signals[0].margin.limit") ?? "", />0.*harm from here on/);
    assert.match(errors.get("dwell.min") ?? "", /30s|Invalid/);
    assert.deepEqual(written("rollouts"), []);
  });

  it("says where YAML breaks", async () => {
    const { call } = await control();
    const answer = await call("POST", "/v1/rollouts", "route: a\n  baseline: [", { "content-type": "application/yaml" });
    assert.equal(answer.status, 422);
    assert.match(answer.json.errors[0].message, /line \d+, column \d+/);
  });

  it("refuses an upstream that a live gateway does not know, naming gateway and upstream, and ignores dead gateways", async () => {
    const { call, log, written } = await control();
    log.put(fleet, "gw-1", gateway());
    log.put(fleet, "gw-2", gateway({ instance: "gw-2", upstreams: ["openai"] }));
    log.put(fleet, "gw-3", gateway({ instance: "gw-3", upstreams: [], atMs: 1_000_500 - 30_000 }));
    const refused = await call("POST", "/v1/rollouts", declare());
    assert.equal(refused.status, 409);
    assert.match(refused.json.detail, /upstream azure .* 1 of 2 live gateways \(gw-2\)/);
    assert.deepEqual(written("rollouts"), []);
    log.put(fleet, "gw-2", gateway({ instance: "gw-2" }));
    assert.equal((await call("POST", "/v1/rollouts", declare())).status, 202);
  });

  it("warns when no gateway is alive to ask", async () => {
    const { call } = await control();
    assert.match((await call("POST", "/v1/rollouts", declare())).json.warnings[0], /no live gateway/);
  });

  it("answers 200 to the same spec, 409 to another one while a rollout runs, and 202 once that one is over", async () => {
    const { call, log, written } = await control();
    await call("POST", "/v1/rollouts", declare());
    log.put(rolloutState, route, state());
    const same = await call("POST", "/v1/rollouts", declare());
    assert.deepEqual([same.status, same.json.status], [200, "unchanged"]);
    const other = await call("POST", "/v1/rollouts", declare({ minSamples: 7 }));
    assert.equal(other.status, 409);
    assert.match(other.json.detail, /support-answer-1 \(attempt 1\) is running/);
    assert.equal(written("rollouts").length, 1);
    log.put(rolloutState, route, state({ phase: "done" }));
    assert.equal((await call("POST", "/v1/rollouts", declare({ minSamples: 7 }))).status, 202);
  });

  it("leaves to the decider what a spec with onRunning does while a rollout runs, and shows what it is kept for", async () => {
    const { call, log } = await control();
    await call("POST", "/v1/rollouts", declare());
    log.put(rolloutState, route, state());
    for (const onRunning of ["queue", "replace", "edit"]) assert.equal((await call("POST", "/v1/rollouts", declare({ onRunning }))).status, 202, onRunning);
    const { digest } = (await call("POST", "/v1/rollouts", declare({ id: "next", onRunning: "queue" }))).json;
    const told = { id: "ge-1", action: "held" as const, attempt: 0, specDigest: digest };
    log.put(gateEvents, route, gateEvent({ ...told, reasons: ["queued"], message: "the spec (start) waits for its turn" }));
    assert.deepEqual((await call("GET", `/v1/routes/${route}`)).json.declared.standing, "queued");
    log.put(gateEvents, route, gateEvent({ ...told, id: "ge-2", reasons: ["withdrawn"], message: "withdrawn by eve" }));
    const { standing, refusal } = (await call("GET", `/v1/routes/${route}`)).json.declared;
    assert.deepEqual([standing, refusal], ["refused", "withdrawn by eve"]);
  });

  it("takes the spec from before an edit as another edit", async () => {
    const { call, log } = await control();
    const first = (await call("POST", "/v1/rollouts", declare({ onRunning: "edit" }))).json.digest;
    log.put(gateEvents, route, gateEvent({ id: "ge-1", action: "started", specDigest: first, reasons: ["started"] }));
    log.put(rolloutState, route, state());
    const second = (await call("POST", "/v1/rollouts", declare({ onRunning: "edit", minSamples: 300 }))).json.digest;
    log.put(gateEvents, route, gateEvent({ id: "ge-2", action: "held", specDigest: second, reasons: ["edited"] }));
    assert.equal((await call("POST", "/v1/rollouts", declare({ onRunning: "edit", minSamples: 300 }))).json.status, "unchanged");
    assert.equal((await call("POST", "/v1/rollouts", declare({ onRunning: "edit" }))).status, 202);
  });

  it("answers 409 to a spec that an earlier attempt was started with, and 200 to that of the present one", async () => {
    const { call, log, written } = await control();
    const { digest } = (await call("POST", "/v1/rollouts", declare())).json;
    log.put(gateEvents, route, gateEvent({ id: "ge-1", action: "started", specDigest: digest, reasons: ["started"] }));
    log.put(rolloutState, route, state({ phase: "rolled_back" }));
    const second = (await call("POST", "/v1/rollouts", declare({ id: "second" }))).json.digest;
    assert.deepEqual([(await call("POST", "/v1/rollouts", declare())).json.status, written("rollouts").length], ["unchanged", 2], "the present attempt");
    log.put(gateEvents, route, gateEvent({ id: "ge-2", action: "started", specDigest: second, rollout: "second", reasons: ["started"] }));
    log.put(rolloutState, route, state({ phase: "rolled_back", rollout: "second" }));
    const again = await call("POST", "/v1/rollouts?wait=30s", declare());
    assert.deepEqual([again.status, again.json.rollout, again.json.attempt], [409, "support-answer-1", 1], again.text);
    assert.match(again.json.detail, /started before, as attempt 1 of support-answer-1/);
    assert.match(again.json.fix, /retry.*another id/);
    assert.equal(written("rollouts").length, 2);
  });

  it("refuses when the attempt is not the expected one", async () => {
    const { call, log } = await control();
    log.put(rolloutState, route, state({ phase: "rolled_back", attempt: 3 }));
    const answer = await call("POST", "/v1/rollouts", { ...declare(), expectedAttempt: 2 });
    assert.deepEqual([answer.status, answer.json.attempt], [409, 3]);
  });

  it("needs a description of each version, beside the spec or in the route's table", async () => {
    const { call, log } = await control();
    const partial = declare({ versions: { [candidate]: spec.versions[candidate] } });
    const refused = await call("POST", "/v1/rollouts", partial);
    assert.equal(refused.status, 422);
    assert.match(errorsOf(refused.json).get("baseline") ?? "", new RegExp(baseline));
    log.put(routing, route, table({ rollout: "", attempt: 0 }));
    assert.equal((await call("POST", "/v1/rollouts", partial)).status, 202);
  });

  it("finds a rubric in the catalog by name, and refuses another text under a name that is taken", async () => {
    const { call, log } = await control();
    const unknown = await call("POST", "/v1/rollouts", { spec: { ...spec, judge: { rubric: "tone@1" } } });
    assert.equal(unknown.status, 422);
    assert.match(errorsOf(unknown.json).get("judge.rubric") ?? "", /tone@1/);
    log.put(catalog, "d1", { digest: "d1", kind: "rubric", name: "task@1", text: rubricText, atMs: 1 });
    const taken = await call("POST", "/v1/rollouts", { spec, rubrics: [{ name: "task@1", text: rubricText.replace("solve", "spoil") }] });
    assert.deepEqual([taken.status, taken.json.code], [409, "CONFLICT"]);
    const stray = await call("POST", "/v1/rollouts", { spec, rubrics: [{ name: "tone@1", text: rubricText }] });
    assert.deepEqual([stray.status, stray.json.code], [422, "RUBRIC_INVALID"]);
  });

  it("needs no text of a rubric that comes with headgate, and puts it into the catalog", async () => {
    const { call, written } = await control();
    assert.equal((await call("POST", "/v1/rollouts", { spec })).status, 202);
    const texts = (written("catalog") as { text: string }[]).map(({ text }) => text);
    assert.ok(texts.includes(builtinRubrics[0]?.text ?? ""));
  });

  it("waits for the decider to take the spec up when asked to, and passes on its refusal", async () => {
    const { call, log } = await control();
    let isRefused = true;
    log.openTable(rollouts).onChange((_key, record) => {
      const specDigest = record?.digest ?? "";
      if (isRefused)
        return log.put(
          gateEvents,
          route,
          gateEvent({ id: "ge-1", action: "held", specDigest, reasons: ["spec_refused"], message: "the spec was not started: odd" }),
        );
      log.put(gateEvents, route, gateEvent({ id: "ge-2", action: "started", specDigest, reasons: ["started"], epoch: 9 }));
      log.put(rolloutState, route, state({ phase: "shadow", epoch: 9 }));
    });
    const refused = await call("POST", "/v1/rollouts?wait=30s", declare());
    assert.equal(refused.status, 409);
    assert.match(refused.json.detail, /the decider refused the spec: .*odd/);
    assert.match((await call("GET", `/v1/routes/${route}`)).json.message, /not started: odd/);
    isRefused = false;
    const again = await call("POST", "/v1/rollouts?wait=30s", declare());
    assert.deepEqual(
      [again.status, again.json.status, again.json.phase, again.json.attempt],
      [202, "taken_up", "shadow", 1],
      "a refused spec may be declared again",
    );
    assert.equal((await call("POST", "/v1/rollouts", declare())).json.status, "unchanged");
    assert.equal((await call("POST", "/v1/rollouts?wait=2h", declare())).status, 400);
  });

  it("refuses a spec that makes no sense although it fits its schema, as the decider would", async () => {
    const { call, written } = await control();
    const answer = await call("POST", "/v1/rollouts", declare({ ladder: [10, 5, 100], signals: ["error_rate"] }));
    assert.equal(answer.status, 422);
    assert.deepEqual([...errorsOf(answer.json).keys()].sort(), ["ladder[1]", "signals"]);
    assert.deepEqual(written("rollouts"), []);
  });

  it("says 503 and that the outcome is unknown when Kafka does not acknowledge", async () => {
    const { call, log } = await control();
    log.failure = new Error("no acknowledgement");
    const answer = await call("POST", "/v1/rollouts", declare());
    assert.deepEqual([answer.status, answer.json.code], [503, "KAFKA_UNREACHABLE"]);
    assert.match(answer.json.detail, /unknown/);
  });
});
