import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDrawn } from "../../../../src/domain/sampling/draw.ts";

describe("drawing for judging", () => {
  const ids = Array.from({ length: 20_000 }, (_, i) => `request-${i}`);
  const share = (ppm: number) => ids.filter((id) => isDrawn(id, ppm)).length / ids.length;

  it("draws none at 0 and all at 1,000,000", () => {
    assert.deepEqual([share(0), share(1_000_000)], [0, 1]);
  });

  it("draws about the share that was asked for, always the same calls, and more at a higher rate", () => {
    assert.ok(Math.abs(share(100_000) - 0.1) < 0.01);
    assert.ok(ids.filter((id) => isDrawn(id, 100_000)).every((id) => isDrawn(id, 100_001)));
  });
});
