import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { exp, ln, log1p } from "../../../../src/domain/stats/ln.ts";

const bits = new DataView(new ArrayBuffer(8));
/** Position of a double among all doubles, so that neighbours differ by one. */
const rank = (x: number): bigint => {
  bits.setFloat64(0, x);
  const raw = bits.getBigInt64(0);
  return raw < 0n ? -(raw & 0x7fffffffffffffffn) : raw;
};
const withinOneUlp = (got: number, want: number, about: string) => {
  if (Number.isNaN(want)) return assert.ok(Number.isNaN(got), about);
  const apart = rank(got) - rank(want);
  assert.ok(apart >= -1n && apart <= 1n, `${about}: ${got} is ${apart} ulp from ${want}`);
};

describe("our own ln, log1p and exp", () => {
  const edges = [
    0,
    -0,
    1,
    -1,
    2,
    0.5,
    Math.E,
    1e-9,
    -1e-9,
    1e-300,
    5e-324,
    2 ** -1022,
    1.7976931348623157e308,
    -0.5,
    -0.9999999999999999,
    0.41421356,
    0.41422,
    -0.2929,
    -0.29289,
    2 ** -20,
    -(2 ** -20),
    2 ** -29,
    2 ** -54,
    2 ** 53,
    1e17,
    Math.SQRT2,
    Math.SQRT1_2,
    Math.LN2,
    Math.LN2 / 2,
    1.5 * Math.LN2,
    0.34657359027997264,
    709.782712893384,
    709.7827128933841,
    -708.4,
    -745.1332191019411,
    -745.14,
    710,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
  ];

  it("are within one unit in the last place of the engine's at every edge of their ranges", () => {
    for (const x of edges) {
      withinOneUlp(ln(x), Math.log(x), `ln(${x})`);
      withinOneUlp(log1p(x), Math.log1p(x), `log1p(${x})`);
      withinOneUlp(exp(x), Math.exp(x), `exp(${x})`);
    }
  });

  it("are within one unit in the last place of the engine's at random doubles of all sizes", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (x) => {
        withinOneUlp(ln(x), Math.log(x), `ln(${x})`);
        withinOneUlp(log1p(x), Math.log1p(x), `log1p(${x})`);
        withinOneUlp(exp(x), Math.exp(x), `exp(${x})`);
      }),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(fc.double({ min: -0.9, max: 2, noNaN: true }), fc.double({ min: -745, max: 709, noNaN: true }), (near, far) => {
        withinOneUlp(log1p(near), Math.log1p(near), `log1p(${near})`);
        withinOneUlp(ln(1 + near), Math.log(1 + near), `ln(${1 + near})`);
        withinOneUlp(exp(far), Math.exp(far), `exp(${far})`);
      }),
      { numRuns: 5000 },
    );
  });

  it("give the same bits everywhere: these numbers are written down", () => {
    const hex = (x: number) => {
      bits.setFloat64(0, x);
      return bits.getBigUint64(0).toString(16);
    };
    assert.deepEqual(
      [20, 100, 1.1, 0.15, 1e-6].map((x) => hex(ln(x))),
      ["4007f7427b73e391", "40126bb1bbb55516", "3fb8663f793c46cc", "bffe5a9a7c3ac418", "c02ba18a998fffa0"],
    );
    assert.deepEqual(
      [0.9, -0.9, 0.25, 1e-10].map((x) => hex(log1p(x))),
      ["3fe48a11293d785c", "c0026bb1bbb55516", "3fcc8ff7c79a9a22", "3ddb7cdfd9d1d693"],
    );
    assert.deepEqual(
      [1, -1, 0.1, -20].map((x) => hex(exp(x))),
      ["4005bf0a8b14576a", "3fd78b56362cef38", "3ff1aec7b35a00d4", "3e21b48655f37267"],
    );
  });

  it("undo each other to the precision of doubles", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (x) => {
        assert.ok(Math.abs(exp(ln(x)) / x - 1) < 1e-12);
      }),
    );
  });
});
