import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planWithHoldback } from "../../../../src/domain/rollout/default-holdback.ts";
import { spec, taskRubric } from "../../../fixtures/rollout-world.ts";

const { holdback: _, ...unnamed } = spec({ ladder: [10, 50, 100] });
const holdbackOf = (declared: ReturnType<typeof spec>, perMinute: number | null) => {
  const planned = planWithHoldback(declared, taskRubric, perMinute);
  assert.ok(planned.kind === "plan");
  return { percent: planned.plan.holdback.percent, notices: planned.notices.filter((notice) => notice.includes("holds back")) };
};

describe("the holdback of a spec that names none", () => {
  it("is the smallest that finds harm within a day at the route's volume, and the event says so", () => {
    const busy = holdbackOf(unnamed as ReturnType<typeof spec>, 60 * 100);
    assert.equal(busy.percent, 1);
    assert.match(busy.notices.join(), /holds back 1 % at 100 %: the smallest that finds harm/);
    const slow = holdbackOf(unnamed as ReturnType<typeof spec>, 30);
    assert.ok(slow.percent > 1, `${slow.percent} % at one request in two seconds`);
  });

  it("is the fixed default while the volume is not known, and always what the spec says", () => {
    assert.deepEqual(holdbackOf(unnamed as ReturnType<typeof spec>, null), { percent: 5, notices: [] });
    assert.deepEqual(holdbackOf(spec({ holdback: 0 }), 6_000), { percent: 0, notices: [] });
  });
});
