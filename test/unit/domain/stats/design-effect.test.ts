import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { armDesignEffect, designEffect, SUBJECT_BUCKETS, widened } from "../../../../src/domain/stats/design-effect.ts";
import { near, vectors } from "./vectors.ts";

describe("the design effect", () => {
  it("gives the specification's numbers per arm and for a difference", () => {
    for (const c of vectors.deff_arm) near(armDesignEffect(c.n, c.s, c.v), c.deff, JSON.stringify(c));
    for (const c of vectors.deff) {
      const [da, va, na, db, vb, nb] = c.args;
      const arms = [
        { deff: da, v: va, n: na },
        { deff: db, v: vb, n: nb },
      ] as const;
      near(designEffect(...arms, "freeze"), c.freeze, JSON.stringify(c));
      near(designEffect(...arms, "advance"), c.advance, JSON.stringify(c));
    }
  });

  it("is never below 1, and 1 for one bucket or none", () => {
    const buckets = fc.array(fc.nat(50), { minLength: SUBJECT_BUCKETS, maxLength: SUBJECT_BUCKETS });
    fc.assert(
      fc.property(buckets, (ns) =>
        assert.ok(
          armDesignEffect(
            ns,
            ns.map((n) => Math.floor(n / 3)),
          ) >= 1,
        ),
      ),
    );
    assert.equal(armDesignEffect([], []), 1);
    assert.equal(armDesignEffect([7], [3]), 1);
    assert.equal(widened(1), 1);
    assert.equal(widened(2), 2.5);
  });
});
