import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rangesFor } from "../../../../src/domain/routing/ranges.ts";
import { InFlight } from "../../../../src/stages/1-gateway/call/in-flight.ts";
import { tableWith } from "../../domain/routing/table-fixture.ts";
import { answerJson, ask, completion, fileFor, testGateway, testUpstream, until } from "./harness.ts";

describe("the room of a call", () => {
  it("is given back when the call and its mirror are over, in any order, and once", () => {
    const inFlight = new InFlight(10, 1_000);
    for (const isMirrorLast of [true, false]) {
      const room = inFlight.openRoom("");
      assert.equal(room.take(100), "taken");
      const release = room.hold();
      assert.ok(release !== null);
      const leave = () => room.leave();
      for (const end of isMirrorLast ? [leave, release] : [release, leave]) {
        assert.equal(inFlight.bytes, 100);
        end();
      }
      room.leave();
      assert.equal(inFlight.bytes, 0);
    }
  });

  it("is not held by mirrors for more than half of all there is", () => {
    const inFlight = new InFlight(10, 1_000);
    const rooms = [300, 200, 100].map((bytes) => {
      const room = inFlight.openRoom("");
      assert.equal(room.take(bytes), "taken");
      return room;
    });
    const [first, second, third] = rooms.map((room) => room.hold());
    assert.deepEqual([first === null, second === null, third === null], [false, false, true]);
    first?.();
    assert.notEqual(rooms[2]?.hold(), null);
  });

  it("is kept for callers when a candidate that is mirrored to hangs", async (t) => {
    const [one, two] = [await testUpstream(t), await testUpstream(t)];
    const finishes: (() => void)[] = [];
    two.answer = (_, response) => void finishes.push(() => answerJson(response, completion("late")));
    const gateway = await testGateway(t, fileFor(one, two, "maxBodyBytesInFlight: 40000\ndefaults: { limits: { maxBodyBytes: 30000 } }\n"));
    const ranges = rangesFor({ baseline: "a@1", candidate: "b@2", candidateBuckets: 0, holdbackBuckets: 0 });
    gateway.log.tables.routing.put("support-answer", tableWith({ ranges, shadowPpm: 1_000_000, phase: "shadow", step: -1 }));
    for (let i = 0; i < 6; i++) {
      const response = await gateway.chat(ask("x".repeat(9_000)));
      assert.equal(response.status, 200);
      await response.text();
    }
    await until("two are mirrored", () => finishes.length === 2 && gateway.log.calls().length === 6);
    const metrics = await gateway.registry.metrics();
    assert.match(metrics, /headgate_gateway_shadow_calls_total\{route="support-answer",result="dropped"\} 4/);
    assert.match(metrics, /headgate_gateway_in_flight_body_bytes 18\d\d\d/);
    for (const finish of finishes) finish();
    await until("all is recorded", () => gateway.log.calls().length === 8);
    assert.match(await gateway.registry.metrics(), /headgate_gateway_in_flight_body_bytes 0/);
  });
});
