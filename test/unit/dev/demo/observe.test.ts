import assert from "node:assert/strict";
import { it } from "node:test";
import { Observer } from "../../../../src/dev/demo/observe.ts";
import type { Story } from "../../../../src/dev/demo/stories.ts";
import type { Incoming } from "../../../../src/runtime/port.ts";
import { type Request, requests } from "../../../../topics/index.ts";

it("a call that its gateway has written twice is counted once, as each reader of requests must", () => {
  const observer = new Observer([{ route: "r" } as Story], () => undefined);
  const call = (instance: string, partition: number, seq: number): Incoming => {
    const value = { instance, seq, kind: "call", route: "r", version: "a@1", exposure: "served", arm: "none", slices: [], endedAtMs: 0 } as unknown as Request;
    return { topic: requests.name, partition, offset: 0, key: null, appendedAtMs: 0, value, headers: {} };
  };
  for (const record of [call("g1", 0, 1), call("g1", 0, 2), call("g1", 1, 1), call("g2", 0, 1)]) observer.take(record);
  assert.equal(observer.servedCalls(), 4);
  for (const record of [call("g1", 0, 1), call("g1", 0, 2), call("g1", 0, 3)]) observer.take(record);
  assert.equal(observer.servedCalls(), 5);
});
