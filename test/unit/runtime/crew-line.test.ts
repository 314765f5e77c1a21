import assert from "node:assert/strict";
import { it } from "node:test";
import { LineEnd } from "../../../src/runtime/process/crew-line.ts";

it("whoever hears a line is told once of its end, also when it opens it after that", async () => {
  for (const isOpenedFirst of [true, false]) {
    const line = new LineEnd(() => undefined);
    let ends = 0;
    const open = () => line.open({ heard: () => undefined, ended: () => ends++ });
    if (isOpenedFirst) open();
    line.end();
    if (!isOpenedFirst) open();
    line.end();
    assert.equal(ends, 1);
    assert.equal(await line.send("to nobody"), false);
  }
});
