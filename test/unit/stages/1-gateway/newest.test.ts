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
      assert.deepEqual([...newest.walk(count)], count === 0 ? [] : model.pairs.slice(-count));
      for (const key of "abcdefg") assert.equal(newest.get(key), model.pairs.find(([known]) => known === key)?.[1]);
    }),
  );
});

it("a map that is read in pieces while it changes, into another that hears of the changes too, is in the end the same there, in the same order", () => {
  const act = fc.oneof(fc.record({ set: fc.constantFrom(..."abcdefg") }), fc.record({ read: fc.nat(3) }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(fc.constantFrom(..."abcdefg")), fc.array(act, { maxLength: 40 }), (max, before, acts) => {
      const [newest, other] = [new Newest<number>(max), new Newest<number>(max)];
      for (const [i, key] of before.entries()) newest.set(key, i);
      const walk = newest.walk(max);
      const read = (most: number) => {
        for (let i = 0; i < most; i++) {
          const { done, value } = walk.next();
          if (done) return;
          other.set(...value);
        }
      };
      // Those before it has begun are read by it.
      read(1);
      for (const [i, each] of acts.entries()) {
        if ("read" in each) read(each.read);
        else for (const to of [newest, other]) to.set(each.set, before.length + i);
      }
      read(Number.POSITIVE_INFINITY);
      assert.deepEqual([...other.walk(max)], [...newest.walk(max)]);
    }),
    { numRuns: 1_000 },
  );
});
