import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cloudEventType } from "../../../../src/stages/5-decider/cloud-event.ts";
import { liveGateways, readSpec, sha256 } from "../../../../src/stages/5-decider/read-spec.ts";
import { spec } from "../../../fixtures/rollout-world.ts";

const declared = (text: string, route = "support-answer") => ({ route, spec: text, digest: "whatever the writer says", rubrics: [], actor: "ann", atMs: 1 });

describe("reading a declared spec", () => {
  it("names it by the digest of its canonical JSON, whatever the order of its keys", () => {
    const value = spec();
    const backwards = Object.fromEntries(Object.entries(value).reverse());
    const [one, other] = [readSpec(declared(JSON.stringify(value))), readSpec(declared(JSON.stringify(backwards, null, 2)))];
    assert.deepEqual([one.problems, one.spec?.route, one.digest], [[], "support-answer", other.digest]);
    assert.notEqual(one.digest, readSpec(declared(JSON.stringify(spec({ alpha: 0.01 })))).digest);
  });

  it("tells what is wrong, by field, and never throws", () => {
    assert.match(readSpec(declared("{")).problems[0] ?? "", /not JSON/);
    assert.match(readSpec(declared(JSON.stringify({ ...spec(), ladder: ["x"] }))).problems.join(), /ladder\[0\]/);
    assert.match(readSpec(declared(JSON.stringify({ ...spec(), sgnals: [] }))).problems.join(), /sgnals is not a field; did you mean signals\?/);
    assert.match(readSpec(declared(JSON.stringify(spec()), "other")).problems[0] ?? "", /route is support-answer, but the record is about other/);
    for (const text of ["null", "3", "[]", '"x"']) assert.equal(readSpec(declared(text)).spec, null);
  });

  it("counts gateways that reported within 30 s and are not stopping", () => {
    const report = { instance: "a", role: "gateway", url: "", atMs: 100_000, routes: [], upstreams: ["u"], droppedRecords: 0, stopping: false };
    const all = [
      report,
      { ...report, instance: "b", atMs: 60_000 },
      { ...report, instance: "c", stopping: true },
      { ...report, instance: "d", role: "adapter" },
    ];
    assert.deepEqual(liveGateways(all, 100_001), [{ instance: "a", upstreams: ["u"] }]);
  });

  it("has digests in lower-case hex, and CloudEvents types as DESIGN.md section 2 lists them", () => {
    assert.equal(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert.deepEqual([cloudEventType("rolled_back"), cloudEventType("drifted")], ["headgate.rollout.rolled_back.v1", "headgate.route.drifted.v1"]);
  });
});
