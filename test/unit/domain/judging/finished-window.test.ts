import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { FinishedWindow } from "../../../../src/domain/judging/finished-window.ts";

const room = 4_000;

describe("finished work above the committed offset", () => {
  it("commits everything when nothing is left over", () => {
    const window = new FinishedWindow(10, "");
    for (const offset of [10, 11, 13]) assert.ok(window.take(offset));
    const plan = window.plan([13, 10, 11], room);
    assert.deepEqual(plan, { published: [10, 11, 13], offset: 14, metadata: "" });
  });

  it("commits the oldest unfinished record and remembers what is finished above it", () => {
    const window = new FinishedWindow(0, "");
    for (let offset = 0; offset < 8; offset++) window.take(offset);
    const plan = window.plan([1, 2, 5], room);
    assert.equal(plan?.offset, 0);
    window.published(plan?.published ?? []);
    const next = new FinishedWindow(0, plan?.metadata ?? "");
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 6, 7].filter((offset) => next.take(offset)),
      [0, 3, 4, 6, 7],
    );
  });

  it("keeps what it was told when it commits before it has read that far again", () => {
    const window = new FinishedWindow(0, "");
    for (let offset = 0; offset < 10; offset++) window.take(offset);
    const first = window.plan([2, 3, 9], room);
    const second = new FinishedWindow(first?.offset ?? -1, first?.metadata ?? "");
    second.take(0);
    second.take(1);
    const again = second.plan([0, 1], room);
    assert.equal(again?.offset, 2);
    const third = new FinishedWindow(again?.offset ?? -1, again?.metadata ?? "");
    assert.deepEqual(
      [2, 3, 4, 5, 6, 7, 8, 9, 10].filter((offset) => third.take(offset)),
      [4, 5, 6, 7, 8, 10],
    );
  });

  it("has nothing to commit when nothing is finished", () => {
    const window = new FinishedWindow(0, "");
    window.take(0);
    assert.equal(window.plan([], room), null);
    assert.equal(window.size, 1);
  });

  it("publishes the oldest records only when the metadata has no room for all", () => {
    const window = new FinishedWindow(0, "");
    for (let offset = 0; offset < 4_000; offset++) window.take(offset);
    const ready = Array.from({ length: 1_999 }, (_, i) => 2 * i + 1);
    const plan = window.plan(ready, 500);
    assert.ok(plan !== null && plan.metadata.length <= 500 && plan.published.length > 0 && plan.published.length < ready.length);
    assert.deepEqual(plan.published, ready.slice(0, plan.published.length));
  });

  it("fits a full window of samples into what a commit's metadata may hold", () => {
    const window = new FinishedWindow(1e12, "");
    for (let i = 0; i < 1_500; i++) window.take(1e12 + 3 * i);
    const plan = window.plan(
      Array.from({ length: 500 }, (_, i) => 1e12 + 3 * (3 * i + 2)),
      room,
    );
    assert.equal(plan?.published.length, 500);
  });

  it("forgets gaps that are gone from the log", () => {
    const window = new FinishedWindow(5, "1;k;5.2"); // frontier 20, gaps 5 and 7
    assert.ok(!window.take(10));
    assert.ok(window.take(20));
    assert.deepEqual(window.plan([20], room), { published: [20], offset: 21, metadata: "" });
  });

  it("says how far it runs ahead of the oldest record under way", () => {
    const window = new FinishedWindow(0, "");
    assert.equal(window.span, 0);
    for (const offset of [0, 5, 9]) window.take(offset);
    assert.equal(window.span, 10);
    window.published([0]);
    assert.equal(window.span, 5);
    window.skip(30);
    assert.equal(window.span, 26);
  });

  it("refuses metadata of a version that it does not know", () => {
    for (const text of ["2;k;5", "1;k", "1;K;", "nonsense"]) assert.throws(() => new FinishedWindow(0, text), { code: "LAYOUT_UNKNOWN" });
  });

  it("publishes each record exactly once, whatever finishes when and however often the owner dies", () => {
    // Records may be missing from the log (transaction markers); an owner dies after any step, with or without its last commit.
    const step = fc.record({ take: fc.nat(6), finish: fc.array(fc.nat(50), { maxLength: 6 }), dies: fc.constantFrom("no", "no", "before", "after") });
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(60), { minLength: 1 }), fc.array(step, { maxLength: 25 }), fc.constantFrom(24, 4_000), (log, steps, bytes) => {
        const offsets = [...log].sort((a, b) => a - b);
        const published: number[] = [];
        let committed = { offset: 0, metadata: "" };
        let window = new FinishedWindow(0, "");
        let position = 0;
        let open: number[] = [];
        const restart = () => {
          window = new FinishedWindow(committed.offset, committed.metadata);
          position = offsets.findIndex((offset) => offset >= committed.offset);
          if (position < 0) position = offsets.length;
          open = [];
        };
        const finishAndCommit = (finished: readonly number[], isLost: boolean) => {
          const plan = window.plan(finished, bytes);
          if (plan === null || isLost) return;
          published.push(...plan.published);
          committed = plan;
          window.published(plan.published);
          open = open.filter((offset) => !plan.published.includes(offset));
        };
        const takeUpTo = (count: number) => {
          for (const offset of offsets.slice(position, position + count)) if (window.take(offset)) open.push(offset);
          position = Math.min(offsets.length, position + count);
        };
        for (const { take, finish, dies } of steps) {
          takeUpTo(take);
          const finished = [...new Set(finish.flatMap((i) => open[i % Math.max(1, open.length)] ?? []))];
          finishAndCommit(finished, dies === "before");
          if (dies !== "no") restart();
        }
        restart();
        takeUpTo(offsets.length);
        for (let rounds = 0; open.length > 0 && rounds < 100; rounds++) finishAndCommit([...open], false);
        assert.deepEqual(
          [...published].sort((a, b) => a - b),
          offsets,
        );
      }),
      { numRuns: 500 },
    );
  });
});
