import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { setPath } from "../../../src/cli/set-path.ts";
import { showPath } from "../../../src/config/schema-problems.ts";

describe("--set", () => {
  const spec = { dwell: { min: "30m" }, signals: ["a", { name: "b" }], versions: { "gpt-b@2026.11": { model: "x" } } };

  it("sets a value by the path that error messages show, as YAML, and leaves the rest alone", () => {
    assert.deepEqual(setPath(spec, "dwell.min=10s"), { ...spec, dwell: { min: "10s" } });
    assert.deepEqual(setPath(spec, "ladder=[1, 50, 100]"), { ...spec, ladder: [1, 50, 100] });
    assert.deepEqual(setPath(spec, "signals[1].margin.limit=0.1"), { ...spec, signals: ["a", { name: "b", margin: { limit: 0.1 } }] });
    assert.deepEqual(setPath(spec, "signals[2]=c"), { ...spec, signals: ["a", { name: "b" }, "c"] });
    assert.deepEqual(setPath(spec, 'versions["gpt-b@2026.11"].model=a=b'), { ...spec, versions: { "gpt-b@2026.11": { model: "a=b" } } });
    assert.deepEqual(setPath(spec, "shadow={share: 0}"), { ...spec, shadow: { share: 0 } });
  });

  it("finds signals by their name, and makes an object of a bare name", () => {
    assert.deepEqual(setPath(spec, "signals.b.margin.limit=0.02"), { ...spec, signals: ["a", { name: "b", margin: { limit: 0.02 } }] });
    assert.deepEqual(setPath(spec, "signals.a.floor=0.8"), { ...spec, signals: [{ name: "a", floor: 0.8 }, { name: "b" }] });
    assert.throws(() => setPath(spec, "signals.c.floor=0.8"), { code: "REQUEST_INVALID" });
    assert.deepEqual(spec.signals, ["a", { name: "b" }], "the document itself is not changed");
  });

  it("refuses what is no assignment, or leads through what is no object or list", () => {
    for (const wrong of ["dwell", "=1", "dwell.=1", "signals[9]=x", "signals.name=x", "dwell.min.more=1", "x=[1", "a..b=1"]) {
      assert.throws(() => setPath(spec, wrong), { code: "REQUEST_INVALID" }, wrong);
    }
  });

  it("never reaches a prototype", () => {
    const set = setPath({}, "__proto__.polluted=true") as object;
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
    assert.ok(Object.hasOwn(set, "__proto__"));
  });

  it("reads back every path that error messages write", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 }), fc.integer(), (path, value) => {
        const set = setPath({}, `${showPath(path)}=${value}`);
        const found = path.reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], set);
        assert.equal(found, value);
      }),
    );
  });
});
