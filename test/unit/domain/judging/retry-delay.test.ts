import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { fullJitterMs, retryAfterMs } from "../../../../src/domain/judging/retry-delay.ts";

describe("pauses before a retry", () => {
  it("are spread from nothing to a bound that doubles and ends at 15 s", () => {
    assert.deepEqual(
      [1, 2, 3, 7, 50].map((failures) => fullJitterMs(failures, 0.999999)),
      [249, 499, 999, 14_999, 14_999],
    );
    fc.assert(fc.property(fc.integer({ min: 1, max: 99 }), (failures) => assert.equal(fullJitterMs(failures, 0), 0)));
  });

  it("obey Retry-After in seconds or as a date, at most two minutes", () => {
    const nowMs = Date.UTC(2026, 10, 23, 12, 0, 0);
    assert.equal(retryAfterMs("7", nowMs), 7_000);
    assert.equal(retryAfterMs(" 0.25 ", nowMs), 250);
    assert.equal(retryAfterMs("Mon, 23 Nov 2026 12:00:05 GMT", nowMs), 5_000);
    assert.equal(retryAfterMs("Mon, 23 Nov 2026 11:59:00 GMT", nowMs), 0, "already past");
    assert.equal(retryAfterMs("86400", nowMs), 120_000);
    assert.equal(retryAfterMs("Monday, 23-Nov-26 12:00:05 GMT", nowMs), 5_000);
    assert.equal(retryAfterMs("Mon Nov 23 12:00:05 2026", nowMs), 5_000);
    for (const nothing of [null, undefined, "", "soon", "-5x", "-1", "1e3", "2026-11-23", "Mon", "Mon, never"])
      assert.equal(retryAfterMs(nothing, nowMs), null);
  });
});
