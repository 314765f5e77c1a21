import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { afterAnswer, afterOutage, type Breaker, breakerState, closedBreaker } from "../../../../src/domain/judging/breaker.ts";

const outages = (count: number, nowMs: number, start: Breaker = closedBreaker) =>
  Array.from({ length: count }).reduce<Breaker>((breaker) => afterOutage(breaker, nowMs), start);

describe("the circuit breaker", () => {
  it("opens at the fifth outage in a row, not before, and an answer starts the count anew", () => {
    assert.equal(breakerState(outages(4, 100), 100), "closed");
    assert.equal(breakerState(outages(5, 100), 100), "open");
    assert.equal(breakerState(outages(4, 100, afterAnswer()), 100), "closed");
  });

  it("lets a probe through when its time is up, and closes when that is answered", () => {
    const open = outages(5, 100);
    assert.deepEqual([breakerState(open, 1_099), breakerState(open, 1_100)], ["open", "half_open"]);
    assert.equal(breakerState(afterAnswer(), 1_100), "closed");
  });

  it("stays open twice as long after each probe that fails, up to 30 s", () => {
    let breaker = outages(5, 0);
    const lengths = [];
    for (let i = 0; i < 8; i++) {
      const probedAtMs = breaker.openUntilMs;
      breaker = afterOutage(breaker, probedAtMs);
      lengths.push(breaker.openUntilMs - probedAtMs);
    }
    assert.deepEqual(lengths, [2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  });

  it("is not held open longer by calls that were under way when it opened", () => {
    const open = outages(5, 0);
    assert.equal(outages(20, 500, open), open);
  });
});
