import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RECENT_IDS_BYTES, RecentIds } from "../../../../src/domain/signals/recent-ids.ts";

describe("recent ids", () => {
  it("know what was seen, up to a bound", () => {
    const recent = new RecentIds(2);
    assert.deepEqual(
      ["a", "a", "b", "c", "a"].map((id) => recent.isNew(id)),
      [true, false, true, true, true],
    );
  });

  it("hand the newest few hundred to the next owner", () => {
    const recent = new RecentIds();
    for (let i = 0; i < 5_000; i++) recent.isNew(`score-${i}`);
    const text = recent.encode();
    assert.ok(text.length <= RECENT_IDS_BYTES);
    const next = RecentIds.decode(text);
    for (let i = 4_750; i < 5_000; i++) assert.equal(next.isNew(`score-${i}`), false);
    assert.equal(next.isNew("score-0"), true);
    assert.equal(RecentIds.decode("").isNew("x"), true);
    assert.throws(() => RecentIds.decode("i1|x"), /format i1/);
  });
});
