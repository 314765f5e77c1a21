import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { Recent } from "../../../../src/stages/1-gateway/recent.ts";

it("what came lately is known with its last value: never more than fits, always the youngest half, and nothing that was never there", () => {
  const step = fc.record({ key: fc.integer({ min: 0, max: 30 }).map(String), isSet: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
      const recent = new Recent<number>(10);
      const all = new Map<string, number>();
      /** Keys by when they were last set or found, the youngest last. */
      let order: string[] = [];
      for (const [i, { key, isSet }] of steps.entries()) {
        if (isSet) {
          recent.set(key, i);
          all.set(key, i);
        }
        const isYoung = isSet || order.slice(-5).includes(key);
        const found = recent.get(key);
        assert.equal(found, isYoung ? all.get(key) : found === undefined ? undefined : all.get(key));
        if (found !== undefined) order = [...order.filter((each) => each !== key), key];
        assert.ok(recent.size <= 10);
      }
    }),
  );
});
