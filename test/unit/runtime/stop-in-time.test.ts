import assert from "node:assert/strict";
import { it } from "node:test";
import { stopInTime } from "../../../src/runtime/process/stop-in-time.ts";

const done = () => Promise.resolve();
const never = () => new Promise<void>(() => undefined);

it("a stop that only waits for goodbyes has done its work: it is not a crash", async () => {
  assert.equal(await stopInTime([{ finish: done, sayGoodbye: done }], 60_000), "all");
  assert.equal(
    await stopInTime(
      [
        { finish: done, sayGoodbye: done },
        { finish: done, sayGoodbye: never },
      ],
      20,
    ),
    "work",
  );
  assert.equal(
    await stopInTime(
      [
        { finish: done, sayGoodbye: never },
        { finish: never, sayGoodbye: done },
      ],
      20,
    ),
    "part",
  );
});

it("a program's goodbyes come after its work, and do not wait for the work of others", async () => {
  const order: string[] = [];
  const work = Promise.withResolvers<void>();
  const note = (what: string) => async () => void order.push(what);
  const stopping = stopInTime(
    [
      { finish: () => work.promise, sayGoodbye: note("slow") },
      { finish: note("work"), sayGoodbye: note("goodbye") },
    ],
    60_000,
  );
  await new Promise(setImmediate);
  assert.deepEqual(order, ["work", "goodbye"]);
  work.resolve();
  assert.equal(await stopping, "all");
  assert.deepEqual(order, ["work", "goodbye", "slow"]);
});
