import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { Newest } from "../../../../src/stages/1-gateway/call/newest.ts";

/** The same, said simply: pairs in order. */
class Model {
  readonly max: number;
  pairs: [string, number][] = [];
  constructor(max: number) {
    this.max = max;
  }
  set(key: string, value: number): void {
    this.pairs = [...this.pairs.filter(([known]) => known !== key), [key, value] as [string, number]].slice(-this.max);
  }
  shift(count: number): number[] {
    return this.pairs.splice(0, count).map(([, value]) => value);
  }
}

it("a map of the newest keeps exactly those that were set last, in that order", () => {
  const act = fc.oneof({ weight: 5, arbitrary: fc.record({ set: fc.constantFrom(..."abcdefg") }) }, { weight: 1, arbitrary: fc.record({ shift: fc.nat(4) }) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(act, { maxLength: 40 }), fc.nat(6), (max, acts, count) => {
      const [newest, model] = [new Newest<number>(max), new Model(max)];
      for (const [i, each] of acts.entries()) {
        if ("shift" in each) assert.deepEqual(newest.shift(each.shift), model.shift(each.shift));
        else {
          newest.set(each.set, i);
          model.set(each.set, i);
        }
      }
      assert.equal(newest.size, model.pairs.length);
      assert.deepEqual(newest.last(count), count === 0 ? [] : model.pairs.slice(-count));
      for (const key of "abcdefg") assert.equal(newest.get(key), model.pairs.find(([known]) => known === key)?.[1]);
    }),
  );
});
