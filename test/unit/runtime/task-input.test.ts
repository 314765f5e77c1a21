import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { TaskInput } from "../../../src/runtime/tasks/input.ts";
import { commands } from "../../../topics/index.ts";

const input = (start = 10) => new TaskInput(commands, "p.commands", { start, committed: start, metadata: "", high: 100 });
const batch = (offset?: number, metadata?: string) => ({
  outputs: [],
  offsets: { commands: { ...(offset === undefined ? {} : { offset }), ...(metadata === undefined ? {} : { metadata }) } },
});

it("commits the position, with the transaction markers behind the last record, when everything handed over is covered", () => {
  const one = input();
  one.handed(10);
  one.handed(11);
  one.position = 13; // a marker at 12
  assert.equal(one.plan({ outputs: [] }, true, "role").offset, 13);
  assert.equal(one.plan(batch(12), true, "role").offset, 13, "a task does not know of the marker");
  assert.equal(one.plan(batch(11), true, "role").offset, 11, "a task that still needs record 11 keeps it");
});

it("without a batch it repeats what was committed while the task holds on to records, and moves on when it holds none", () => {
  const one = input();
  one.handed(10);
  one.handed(11);
  one.committed(one.plan(batch(11, "state"), true, "role"));
  assert.deepEqual({ offset: one.plan(null, true, "role").offset, own: one.plan(null, true, "role").own }, { offset: 11, own: "state" });
  one.committed(one.plan(batch(12, "more"), true, "role"));
  one.park(12);
  assert.equal(one.plan(null, false, "role").offset, 12, "a record was taken that no batch covers yet");
  const { offset, own } = one.plan(null, true, "role");
  assert.deepEqual({ offset, own }, { offset: 13, own: "more" });
});

it("remembers what was parked at or above the committed offset, over a restart", () => {
  const one = input();
  one.handed(10);
  one.park(11);
  const { text } = one.plan(batch(10, "own"), true, "role");
  const next = new TaskInput(commands, "p.commands", { start: 10, committed: 10, metadata: text, high: 100 });
  assert.ok(next.wasParked(11) && !next.wasParked(10));
  next.handed(10);
  next.handed(11);
  const commit = next.plan(batch(12, "own"), true, "role");
  assert.equal(commit.text, "own");
  next.committed(commit);
  assert.ok(!next.wasParked(11));
});

it("tells what a predecessor committed from what is new when it starts before that, and commits nothing older", () => {
  const one = new TaskInput(commands, "p.commands", { start: 4, committed: 10, metadata: "own", high: 100 });
  assert.deepEqual([one.wasCommitted(9), one.wasCommitted(10)], [true, false]);
  one.handed(4);
  assert.deepEqual([one.plan(null, true, "role").offset, one.plan(null, false, "role").offset, one.plan(null, true, "role").own], [10, 10, "own"]);
  one.handed(10);
  assert.equal(one.plan(batch(11), true, "role").offset, 11);
});

it("refuses to commit what was not read, to go back, and more metadata than fits", () => {
  const one = input();
  one.handed(10);
  assert.throws(() => one.plan(batch(12), true, "role"), /role wants to commit offset 12 of commands/);
  assert.throws(() => one.plan(batch(9), true, "role"), /offset 9/);
  assert.throws(() => one.plan(batch(11, "é".repeat(2_001)), true, "role"), /4002 bytes/);
});

it("never goes back, whatever a task does in whatever order", () => {
  const step = fc.oneof(
    fc.constant("hand" as const),
    fc.constant("park" as const),
    fc.constant("marker" as const),
    fc.constant("commit" as const),
    fc.nat({ max: 30 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, isSettled) => {
      const one = input(0);
      let last = 0;
      for (const action of steps) {
        if (action === "hand") one.handed(one.position);
        else if (action === "park") one.park(one.position);
        else if (action === "marker") one.position++;
        else {
          const wanted = action === "commit" ? null : batch(Math.min(one.position, Math.max(last, action)));
          const commit = one.plan(wanted, isSettled, "role");
          assert.ok(commit.offset >= last && commit.offset <= one.position);
          last = commit.offset;
          one.committed(commit);
        }
      }
    }),
  );
});
