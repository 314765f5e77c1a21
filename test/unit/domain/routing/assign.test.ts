import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { assign, assignShadow, assignStatic } from "../../../../src/domain/routing/assign.ts";
import { emptyBrakeBook, isBraked, withBrake, withTable } from "../../../../src/domain/routing/brake-book.ts";
import { BUCKETS } from "../../../../src/domain/routing/buckets.ts";
import { effectiveTable, type Hold, isStale } from "../../../../src/domain/routing/effective-table.ts";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { asksForLess, compileTable } from "../../../../src/domain/routing/route-table.ts";
import type { Brake } from "../../../../topics/index.ts";
import { compiled, tableWith } from "./table-fixture.ts";

const brake = (changes: Partial<Brake> = {}): Brake => ({
  route: "support-answer",
  rollout: "support-answer-b",
  attempt: 1,
  cleared: false,
  reason: "",
  actor: "",
  atMs: 2_000_000,
  ...changes,
});
const canary = (percent: number) => ({ ranges: rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: percent * 100, holdbackBuckets: 100 }) });
const shadowing = { ...canary(0), shadowPpm: 1_000_000 };
const subject = fc.string({ minLength: 1 });
const fresh = { freshAtMs: 5_000_000, nowMs: 5_000_000, superseded: false };

describe("assignment", () => {
  it("gives a subject the same arm each time, with the attribution of the table", () => {
    const everybody = { routeTable: compiled(canary(99)), hold: null };
    fc.assert(
      fc.property(subject, (who) => {
        const first = assign(everybody, who);
        assert.deepEqual(assign(everybody, who), first);
        assert.equal(first.version.name, first.arm === "candidate" ? "b@2" : "a@1");
        assert.deepEqual([first.epoch, first.rollout, first.attempt, first.step, first.paneMs], [7, "support-answer-b", 1, 1, 10_000]);
        assert.equal(first.samplePpm, first.arm === "candidate" ? 1_000_000 : 50_000);
      }),
    );
  });

  it("keeps a subject on the candidate when the candidate's share grows under the same salt", () => {
    fc.assert(
      fc.property(subject, fc.integer({ min: 0, max: 99 }), fc.integer({ min: 0, max: 99 }), (who, one, other) => {
        const at = (percent: number) => assign({ routeTable: compiled(canary(percent)), hold: null }, who).arm;
        if (at(Math.min(one, other)) === "candidate") assert.equal(at(Math.max(one, other)), "candidate");
      }),
    );
  });

  it("real counts fit the ranges (chi-square with 2 degrees of freedom, fails by chance for 1 hash in 10^6)", () => {
    const table = { routeTable: compiled(canary(25)), hold: null };
    const seen = { candidate: 0, baseline: 0, holdback: 0, none: 0, other: 0 };
    const n = 100_000;
    for (let i = 0; i < n; i++) seen[assign(table, `subject-${i}`).arm]++;
    const expected = { candidate: n * 0.25, baseline: n * 0.74, holdback: n * 0.01 };
    const chiSquare = (["candidate", "baseline", "holdback"] as const).reduce((sum, arm) => sum + (seen[arm] - expected[arm]) ** 2 / expected[arm], 0);
    assert.ok(chiSquare < 27.6, `chi-square ${chiSquare}`);
    assert.equal(seen.none + seen.other, 0);
  });

  it("under any hold the baseline serves everybody, displaced subjects count for no arm, and nothing is mirrored", () => {
    fc.assert(
      fc.property(subject, fc.constantFrom<Hold>("braked", "stale", "superseded"), (who, hold) => {
        const routeTable = compiled({ ...canary(50), shadowPpm: 1_000_000 });
        const free = assign({ routeTable, hold: null }, who);
        const held = assign({ routeTable, hold }, who);
        assert.equal(held.version.name, "a@1");
        assert.equal(held.arm, free.arm === "candidate" ? "none" : free.arm);
        assert.equal(assignShadow({ routeTable, hold }, held, who), null);
      }),
    );
  });

  it("mirrors only calls of the baseline arm, as the candidate's", () => {
    const effective = { routeTable: compiled(shadowing), hold: null };
    fc.assert(
      fc.property(subject, (who) => {
        const served = assign(effective, who);
        const shadow = assignShadow(effective, served, "request-1");
        if (served.arm === "holdback") assert.equal(shadow, null);
        else assert.deepEqual([shadow?.version.name, shadow?.arm, shadow?.exposure, shadow?.samplePpm], ["b@2", "candidate", "shadow", 700_000]);
      }),
    );
  });

  it("a route without a table is served statically, by no arm and under epoch 0", () => {
    const { routeTable } = { routeTable: compiled() };
    const assigned = assignStatic(routeTable.baseline);
    assert.deepEqual([assigned.arm, assigned.epoch, assigned.step, assigned.attempt, assigned.rollout, assigned.paneMs], ["none", 0, -1, 0, "", 60_000]);
  });
});

describe("brakes and staleness", () => {
  it("a brake stops its own attempt and no other", () => {
    const book = withBrake(emptyBrakeBook, brake(), []);
    assert.equal(isBraked(book, tableWith()), true);
    assert.equal(isBraked(book, tableWith({ attempt: 2 })), false);
    assert.equal(isBraked(book, tableWith({ rollout: "another" })), false);
    assert.equal(isBraked(book, tableWith({ route: "another" })), false);
  });

  it("the brake of an attempt is never lifted, whatever brakes follow", () => {
    const anyBrake = fc.record({ route: fc.constantFrom("support-answer", "*", "x"), attempt: fc.nat(3), cleared: fc.boolean(), atMs: fc.nat(9_000_000) });
    fc.assert(
      fc.property(fc.array(anyBrake), (later) => {
        const book = later.reduce((so_far, changes) => withBrake(so_far, brake(changes), []), withBrake(emptyBrakeBook, brake(), []));
        assert.equal(isBraked(book, tableWith()), true);
      }),
    );
  });

  it("clearing the brake on all routes raises nothing that ran under it, and lets new attempts run", () => {
    const running = tableWith({ atMs: 3_000_000 });
    const stopped = withBrake(emptyBrakeBook, brake({ route: "*" }), [running]);
    assert.equal(isBraked(stopped, tableWith({ rollout: "" })), true);
    const during = tableWith({ attempt: 2, atMs: 3_500_000 });
    const cleared = withBrake(withTable(stopped, during), brake({ route: "*", cleared: true, atMs: 2_900_000 }), [running, during]);
    assert.equal(isBraked(cleared, running), true);
    assert.equal(isBraked(cleared, during), true);
    assert.equal(isBraked(cleared, tableWith({ attempt: 3, atMs: 4_000_000 })), false);
  });

  it("a gateway that only ever saw the clearing still holds what was published before it", () => {
    const cleared = withBrake(emptyBrakeBook, brake({ route: "*", cleared: true, atMs: 2_000_000 }), []);
    assert.equal(isBraked(cleared, tableWith({ atMs: 1_999_999 })), true);
    assert.equal(isBraked(cleared, tableWith({ atMs: 2_000_001 })), false);
  });

  it("a table is stale only after staleAfter without a fetch; 0 is never; a gateway that never fetched is stale", () => {
    assert.equal(isStale(60_000, 1_000, 61_000), false);
    assert.equal(isStale(60_000, 1_000, 61_001), true);
    assert.equal(isStale(0, 0, Number.MAX_SAFE_INTEGER), false);
    assert.equal(isStale(60_000, 0, 1_700_000_000_000), true);
  });

  it("a brake outranks staleness, and either outranks the table", () => {
    const brakes = withBrake(emptyBrakeBook, brake(), []);
    const stale = { freshAtMs: 1, nowMs: 5_000_000, superseded: false };
    assert.equal(effectiveTable(compiled(), { brakes, ...stale }).hold, "braked");
    assert.equal(effectiveTable(compiled(), { brakes: emptyBrakeBook, ...stale }).hold, "stale");
    assert.equal(effectiveTable(compiled(), { brakes: emptyBrakeBook, ...fresh, superseded: true }).hold, "superseded");
    assert.equal(effectiveTable(compiled(), { brakes: emptyBrakeBook, ...fresh }).hold, null);
  });
});

describe("validation of a table", () => {
  const problems = (changes: Parameters<typeof tableWith>[0]) => {
    const result = compileTable(tableWith(changes), (name) => name === "one" || name === "two");
    return result.kind === "refused" ? result.problems : [];
  };
  const [a, b] = tableWith().versions as [ReturnType<typeof tableWith>["versions"][number], ReturnType<typeof tableWith>["versions"][number]];

  it("accepts a complete table", () => assert.deepEqual(problems({}), []));

  it("names what is wrong", () => {
    assert.deepEqual(problems({ versions: [a, { ...b, upstream: "evil" }] }), ["version b@2 names the unknown upstream evil"]);
    assert.deepEqual(problems({ versions: [a, { ...b, parameters: "[1]" }] }), ["parameters of version b@2 are not a JSON object"]);
    assert.deepEqual(problems({ versions: [a, { ...b, parameters: '{"stream":true}' }] }), ["version b@2 may not set stream"]);
    assert.deepEqual(problems({ versions: [a, b, b] }), ["two versions have the same name"]);
    assert.deepEqual(problems({ baseline: "c" }), ["the baseline c is not among the versions"]);
    assert.deepEqual(problems({ versions: [a] }), ["the range of candidate names the unknown version b@2"]);
    assert.deepEqual(problems({ versions: [a], ...shadowing }), ["the shadow goes to b@2, which is not among the versions"]);
    assert.deepEqual(problems({ paneMs: 0 }), ["paneMs must be at least 1"]);
    assert.deepEqual(problems({ ranges: [] }), [`buckets 0..${BUCKETS} are in no range`]);
  });

  it("a newer table asks for less when it serves or mirrors less of the older one's candidate, or belongs to another attempt", () => {
    assert.equal(asksForLess(tableWith(canary(10)), tableWith(canary(5))), false);
    assert.equal(asksForLess(tableWith(canary(5)), tableWith(canary(10))), true);
    assert.equal(asksForLess(tableWith(canary(0)), tableWith(shadowing)), true);
    assert.equal(asksForLess(tableWith({ ...canary(10), attempt: 2 }), tableWith(canary(5))), true);
  });
});
