import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Pace } from "../../../../src/dev/demo/pace.ts";

/** A machine that carries `capacity` of the asked-for rate: what is above it piles up, and records get older. */
function onMachine(capacity: (second: number) => number, seconds: number): { readonly pace: Pace; readonly ages: number[] } {
  const pace = new Pace();
  const ages: number[] = [];
  let behind = 0;
  for (let second = 0; second < seconds; second++) {
    behind = Math.max(0, behind + pace.factor - capacity(second));
    const ageMs = 400 + (1000 * behind) / capacity(second);
    ages.push(ageMs);
    for (let i = 0; i < 10; i++) pace.saw("scores", ageMs);
    pace.saw("requests", 100);
    pace.adjust(1000 * second);
  }
  return { pace, ages };
}

describe("the pace of the demo's callers", () => {
  it("is full on a machine that keeps up, soon", () => {
    assert.equal(onMachine(() => 1.5, 20).pace.factor, 1);
  });

  it("falls to what a slow machine carries, so that records stay within the judge's grace", () => {
    const { pace, ages } = onMachine(() => 0.3, 300);
    assert.ok(pace.factor < 0.45, String(pace.factor));
    assert.ok(Math.max(...ages.slice(60)) < 7000, String(Math.max(...ages.slice(60))));
  });

  it("says for how long nothing was late", () => {
    const pace = new Pace();
    const second = (...ages: number[]) => {
      for (const ageMs of ages) pace.saw("scores", ageMs);
      pace.adjust(0);
      return pace.settledFor;
    };
    assert.deepEqual([second(900), second(100, 200), second(2_000), second(500), second()], [1, 2, 0, 1, 0], "nothing to see is not settled");
  });

  it("goes up again when the machine is free again", () => {
    const { pace } = onMachine((second) => (second < 60 ? 0.3 : 2), 120);
    assert.deepEqual([pace.factor, pace.slowest < 0.5], [1, true]);
  });
});
