import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ALL_PPM, samplingRates } from "../../../../src/domain/rollout/sampling-rates.ts";

describe("sampling rates", () => {
  it("judge everything without a budget", () => {
    assert.deepEqual(samplingRates(null, null, "served"), { baseline: ALL_PPM, candidate: ALL_PPM, holdback: ALL_PPM, shadow: ALL_PPM });
  });

  it("judge a small candidate fully and the baseline twice as often, within the budget", () => {
    const rates = samplingRates(120, { candidate: 6, baseline: 594, mirrored: 0 }, "served");
    assert.equal(rates.candidate, ALL_PPM);
    assert.equal(rates.baseline, Math.floor((12 / 594) * 1e6));
    assert.equal(rates.shadow, 0);
  });

  it("share a budget 1 : 2 when both arms are large", () => {
    const rates = samplingRates(120, { candidate: 300, baseline: 300, mirrored: 0 }, "served");
    assert.deepEqual([rates.candidate, rates.baseline], [Math.floor((40 / 300) * 1e6), Math.floor((80 / 300) * 1e6)]);
  });

  it("give the candidate what a small holdback cannot use", () => {
    const rates = samplingRates(120, { candidate: 570, baseline: 30, mirrored: 0 }, "served");
    assert.deepEqual([rates.holdback, rates.candidate], [ALL_PPM, Math.floor((90 / 570) * 1e6)]);
  });

  it("judge pairs only in shadow", () => {
    assert.deepEqual(samplingRates(60, { candidate: 0, baseline: 600, mirrored: 600 }, "shadow"), { baseline: 0, candidate: 0, holdback: 0, shadow: 100_000 });
  });

  it("hold the budget before the traffic is known, as if the route were a busy one", () => {
    assert.deepEqual(samplingRates(600, null, "shadow"), { baseline: 0, candidate: 0, holdback: 0, shadow: 100_000 });
    const { candidate, baseline } = samplingRates(600, null, "served");
    assert.ok(((candidate + baseline) / 1e6) * 6_000 <= 600);
  });

  it("never exceed the budget, and never draw nothing of an arm that has calls", () => {
    const rate = fc.double({ min: 0.01, max: 1e5, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), rate, rate, (budget, candidate, baseline) => {
        const rates = samplingRates(budget, { candidate, baseline, mirrored: 0 }, "served");
        assert.ok(rates.candidate > 0 && rates.baseline > 0 && rates.candidate <= ALL_PPM && rates.baseline <= ALL_PPM);
        const spent = (candidate * rates.candidate + baseline * rates.baseline) / 1e6;
        // A rate of one in a million is the smallest there is.
        assert.ok(spent <= budget + (candidate + baseline) / 1e6 + 1e-9, `${spent} of ${budget}`);
      }),
    );
  });
});
