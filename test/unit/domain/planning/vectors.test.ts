import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { meanOf, passFail, quantityGrid, scoreGrid, varianceOf } from "../../../../src/domain/planning/distributions.ts";
import { type Compared, minutesAgainstFloor, minutesToAdvance, minutesToFreeze } from "../../../../src/domain/planning/growth.ts";
import { normalCdf, normalQuantile } from "../../../../src/domain/planning/normal.ts";
import type { Margin } from "../../../../src/domain/stats/bet.ts";
import { GAMMA_LN } from "../../../../src/domain/stats/log-bucket.ts";

type Numbers = readonly (number | null)[];
interface Vectors {
  readonly plans: readonly {
    readonly name: string;
    readonly rates: readonly [number, number, number, number];
    readonly minutes: Readonly<Record<string, Numbers>>;
  }[];
  readonly normal: readonly (readonly [number, number])[];
  readonly quantile: readonly (readonly [number, number])[];
  readonly beta: { readonly mean: number; readonly sd: number; readonly moments: readonly [number, number] };
  readonly lognormal: { readonly mean: number; readonly sigma: number; readonly cap: number; readonly moments: readonly [number, number] };
  readonly clustered: Numbers;
  readonly pane5: Numbers;
}
/** Numbers that the reference (pure Python, its own arithmetic) printed for statistics.md section 4. */
const vectors = JSON.parse(readFileSync("test/fixtures/plan-vectors.json", "utf8")) as Vectors;

function near(found: number | null, expected: number | null | undefined, what: string, relative = 1e-6): void {
  if (expected === null || expected === undefined || found === null) assert.equal(found, expected ?? null, what);
  else assert.ok(Math.abs(found - expected) <= relative * Math.abs(expected), `${what}: ${found}, expected ${expected}`);
}

const [hard, other] = [0.01, 0.005];
const asked = (alpha: number) => ({ alpha, deff: 1, paneMinutes: 1 });

interface Three {
  readonly margin: Margin;
  readonly baseline: Compared["baseline"];
  readonly bad: Compared["baseline"];
  readonly tolerated: Compared["baseline"];
  readonly v?: number;
}

function three({ margin, baseline, bad, tolerated, v = undefined }: Three, [candidate, base]: readonly [number, number], alpha: number): Numbers {
  const about = (arm: Compared["baseline"]): Compared => ({ margin, candidate: arm, baseline, v: v ?? null });
  const arms = { candidate, baseline: base };
  return [
    minutesToFreeze(about(bad), arms, asked(alpha)),
    minutesToAdvance(about(baseline), arms, asked(0.05)),
    minutesToAdvance(about(tolerated), arms, asked(0.05)),
  ];
}

const difference = (tolerated: number, limit: number): Margin => ({ kind: "difference", tolerated, limit });

function percentile(ratio: number, arms: readonly [number, number]): Numbers {
  const z = normalQuantile(0.95);
  const tail = (r: number, shift: number) => passFail(1 - normalCdf(z + (shift * GAMMA_LN - Math.log(r)) / 0.6));
  const baseline = passFail(0.05);
  const margin: Margin = { kind: "percentile", level: 0.95 };
  const compare = (candidate: Compared["baseline"]): Compared => ({ margin, candidate, baseline, v: null });
  const rates = { candidate: arms[0], baseline: arms[1] };
  return [
    minutesToFreeze(compare(tail(ratio, 1)), rates, asked(other)),
    minutesToAdvance(compare(tail(1, 5)), rates, asked(0.05)),
    minutesToAdvance(compare(tail(1.1 ** 0.2, 5)), rates, asked(0.05)),
  ];
}

function plan([ra, rb, ja, jb]: readonly [number, number, number, number]): Record<string, Numbers> {
  const [calls, judged] = [[ra, rb] as const, [ja, jb] as const];
  const floor = (bad: number) => [
    minutesAgainstFloor(passFail(bad), 0.005, ra, "freeze", asked(hard)),
    minutesAgainstFloor(passFail(0.002), 0.005, ra, "advance", asked(0.05)),
  ];
  const task = { margin: difference(0.01, 0.05), baseline: passFail(0.15), tolerated: passFail(0.16) };
  const score = (mean: number) => scoreGrid(mean, 0.16);
  const cost = (ratio: number) => quantityGrid(ratio, 1, 20);
  return {
    "schema 2 %": floor(0.02),
    "schema 5 %": floor(0.05),
    "error 1 -> 3 %": three({ margin: difference(0.002, 0.01), baseline: passFail(0.01), bad: passFail(0.03), tolerated: passFail(0.012) }, calls, hard),
    "task -5 pt": three({ ...task, bad: passFail(0.2) }, judged, other),
    "task -10 pt": three({ ...task, bad: passFail(0.25) }, judged, other),
    "score -.05": three({ margin: difference(0.006, 0.03), baseline: score(0.15), bad: score(0.2), tolerated: score(0.156), v: 0.0256 }, judged, other),
    "P95 +15 %": percentile(1.15, calls),
    "P95 +30 %": percentile(1.3, calls),
    "cost +40 %": three(
      { margin: { kind: "ratio", tolerated: 0.04, limit: 0.2 }, baseline: cost(1), bad: cost(1.4), tolerated: cost(1.04), v: 1.718 / 400 },
      calls,
      other,
    ),
  };
}

describe("planner against its reference", () => {
  it("gives the reference's minutes in every setting of statistics.md section 4, to a millionth", () => {
    for (const { name, rates, minutes } of vectors.plans) {
      const found = plan(rates);
      for (const [signal, expected] of Object.entries(minutes)) {
        expected.forEach((value, i) => {
          near(found[signal]?.[i] ?? null, value, `${name}, ${signal}, ${i}`);
        });
      }
    }
  });

  it("gives the table at the end of section 4 as printed", () => {
    const printed: Readonly<Record<string, readonly string[]>> = {
      "schema 2 %": ["239/1420", "24/142", "72/426", "14/85"],
      "error 1 -> 3 %": ["351/536/879", "39/56/92", "105/161/264", "21/32/53"],
      "task -5 pt": ["934/273/434", "93/27/43", "280/82/130", "560/164/260"],
      "score -.05": ["122/154/238", "12/15/24", "36/46/71", "73/93/143"],
      "P95 +15 %": ["636/701/1087", "71/76/119", "191/210/326", "38/42/65"],
      "cost +40 %": ["111/241/348", "13/25/37", "33/72/105", "7/14/21"],
    };
    const settings = [
      [1.8, 178.2, 1.8, 3.6],
      [18, 162, 18, 36],
      [6, 594, 6, 12],
      [30, 2970, 3, 6],
    ] as const;
    settings.forEach((rates, i) => {
      const found = plan(rates);
      for (const [signal, rows] of Object.entries(printed)) assert.equal(found[signal]?.map((minutes) => minutes?.toFixed(0)).join("/"), rows[i], signal);
    });
    assert.equal(minutesAgainstFloor(passFail(0.004), 0.005, 1.8, "advance", asked(0.05)), null, "schema at the tolerated boundary: never");
  });

  it("divides by the design effect, and merges longer panes", () => {
    const compared = { margin: difference(0.01, 0.05), baseline: passFail(0.15), v: null };
    const arms = { candidate: 12, baseline: 24 };
    const freeze = (about: { deff: number; paneMinutes: number }) =>
      minutesToFreeze({ ...compared, candidate: passFail(0.2) }, arms, { alpha: other, ...about });
    near(freeze({ deff: 2, paneMinutes: 1 }), vectors.clustered[0], "clustered");
    near(freeze({ deff: 1, paneMinutes: 5 }), vectors.pane5[0], "panes of 5 minutes");
    // To advance the design effect is widened by 1.25, as the decider does.
    const advance = minutesToAdvance({ ...compared, candidate: passFail(0.15) }, arms, { alpha: 0.05, deff: 2, paneMinutes: 1 });
    near(advance, 1.25 * (vectors.clustered[1] ?? 0), "clustered, to advance");
  });

  it("has a normal distribution of its own, and the shapes of the reference", () => {
    for (const [z, p] of vectors.normal) near(normalCdf(z), p, `P(Z <= ${z})`, 1e-13);
    for (const [p, z] of vectors.quantile) assert.ok(Math.abs(normalQuantile(p) - z) < 1e-10, `quantile ${p}`);
    const { beta, lognormal } = vectors;
    const score = scoreGrid(beta.mean, beta.sd);
    near(meanOf(score), beta.moments[0], "mean of scores", 1e-12);
    near(varianceOf(score), beta.moments[1], "variance of scores", 1e-12);
    const cost = quantityGrid(lognormal.mean, lognormal.sigma, lognormal.cap);
    near(meanOf(cost), lognormal.moments[0], "mean of costs", 1e-12);
    near(varianceOf(cost), lognormal.moments[1], "variance of costs", 1e-10);
  });
});
