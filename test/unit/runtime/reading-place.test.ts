import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readingPlace } from "../../../src/runtime/kafka/reading-place.ts";

describe("where a partition is read on", () => {
  it("is its beginning, up to the end of now, or its end", () => {
    assert.deepEqual(readingPlace({ low: 3, high: 9 }, "beginning"), { position: 3, wanted: 9 });
    assert.deepEqual(readingPlace({ low: 3, high: 9 }, "end"), { position: 9 });
    assert.deepEqual(readingPlace({ low: 9, high: 9 }, "beginning"), { position: 9 });
  });

  it("is where it was, for what was wanted before", () => {
    assert.deepEqual(readingPlace({ low: 0, high: 20 }, "beginning", { position: 5, wanted: 9 }), { position: 5, wanted: 9 });
    assert.deepEqual(readingPlace({ low: 0, high: 20 }, "beginning", { position: 12 }), { position: 12 });
  });

  it("is the beginning where the position is gone, and nothing is waited for that can not come: the topic was made anew, or all of it deleted, before it had caught up", () => {
    assert.deepEqual(readingPlace({ low: 0, high: 2 }, "beginning", { position: 5, wanted: 9 }), { position: 0, wanted: 2 });
    assert.deepEqual(readingPlace({ low: 0, high: 0 }, "beginning", { position: 5, wanted: 9 }), { position: 0 });
    assert.deepEqual(readingPlace({ low: 9, high: 9 }, "beginning", { position: 5, wanted: 9 }), { position: 9 });
    assert.deepEqual(readingPlace({ low: 0, high: 2 }, "end", { position: 5 }), { position: 0 });
  });

  it("is always in the log, with an end that is, too", () => {
    const offset = fc.nat(20);
    const before = fc.option(fc.record({ position: offset, wanted: fc.option(offset, { nil: undefined }) }), { nil: undefined });
    fc.assert(
      fc.property(offset, offset, fc.constantFrom("beginning" as const, "end" as const), before, (low, more, from, place) => {
        const { position, wanted } = readingPlace({ low, high: low + more }, from, place);
        assert.ok(position >= low && position <= low + more);
        assert.ok(wanted === undefined || (wanted > position && wanted <= low + more));
      }),
    );
  });
});
