import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { mix, NANO_MIN, nano, temper, threshold } from "../../../../src/domain/stats/nano-nats.ts";
import { KnownError } from "../../../../src/errors/known-error.ts";
import { sameNano, vectors } from "./vectors.ts";

const evaluationError = (error: unknown) => error instanceof KnownError && error.code === "EVALUATION_ERROR";
const q = fc.integer({ min: -1e13, max: 1e13 });

describe("nano-nats", () => {
  it("round half up, and clamp from below, as the specification's vectors do", () => {
    assert.equal(vectors.nano.length, 7);
    for (const { x, q } of vectors.nano) assert.ok(Object.is(nano(x), q), `nano(${x}) is ${nano(x)}`);
    assert.equal(nano(-Number.MAX_VALUE), NANO_MIN);
  });

  it("refuse what is not finite instead of taking it for no evidence", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) assert.throws(() => nano(bad), evaluationError);
    assert.throws(() => mix([Number.NaN, 0], [0.5, 0.5]), evaluationError);
    assert.throws(() => mix([0, Number.NaN], [0.5, 0.5]), evaluationError);
    assert.throws(() => mix([], []), evaluationError);
    assert.throws(() => mix([0, 1], [0, 0]), evaluationError);
    assert.throws(() => mix([0], [0.5, 0.5].slice(2)), evaluationError);
  });

  it("have the specification's thresholds, with half the chance per further attempt", () => {
    const of = vectors.combine.thresholds_q;
    assert.equal(threshold(0.05), 2_995_732_274);
    assert.equal(threshold(0.01), 4_605_170_186);
    sameNano(threshold(0.05), of[".05"] ?? Number.NaN, "0.05");
    sameNano(threshold(0.05, 2), of["advance attempt 3"] ?? Number.NaN, "third attempt");
  });

  it("mix to something between the smallest and the largest component", () => {
    fc.assert(
      fc.property(q, q, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (a, b, w) => {
        const mixed = mix([a, b], [w, 1 - w]);
        assert.ok(mixed >= Math.min(a, b) - 1 && mixed <= Math.max(a, b) + 1);
      }),
    );
  });

  it("never move down when a component moves up", () => {
    fc.assert(fc.property(q, q, fc.nat(1e12), (a, b, more) => assert.ok(mix([a + more, b], [0.4, 0.6]) >= mix([a, b], [0.4, 0.6]))));
  });

  it("ignore a component without weight, however large", () => {
    assert.equal(mix([5e9, 9e14], [1, 0]), 5e9);
    assert.equal(mix([9e14, 0], [0, 1]), 0);
  });

  it("are tempered component by component, and not at all by a design effect of 1", () => {
    const sums = [3, -7, 10];
    assert.equal(temper(sums, 1), sums);
    assert.deepEqual(temper(sums, 2), [2, -3, 5]);
  });
});
