import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { Leaving } from "../../../../src/stages/1-gateway/call/leaving.ts";

test("leaving is told once, to the last listener only", () => {
  const leaving = new Leaving();
  const heard: string[] = [];
  leaving.listen(() => heard.push("first"));
  leaving.listen(() => heard.push("second"));
  equal(leaving.hasLeft, false);
  leaving.leave();
  leaving.leave();
  equal(leaving.hasLeft, true);
  deepEqual(heard, ["second"]);
});

test("whoever does not listen any more hears nothing", () => {
  const leaving = new Leaving();
  let heard = 0;
  leaving.listen(() => heard++);
  leaving.listen(null);
  leaving.leave();
  equal(heard, 0);
});

test("a pause ends with its time, with the leaving, and at once when that was before", { timeout: 60_000 }, async () => {
  const leaving = new Leaving();
  await leaving.pause(1);
  const long = leaving.pause(3_600_000);
  leaving.leave();
  await long;
  await leaving.pause(3_600_000);
  equal(leaving.hasLeft, true);
});
