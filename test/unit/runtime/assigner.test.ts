import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { AssignerProtocol } from "kafkajs";
import { copartitioned, dealPartitions } from "../../../src/runtime/kafka/assigner.ts";

const members = fc.uniqueArray(fc.uuid(), { minLength: 1, maxLength: 8 });

it("deals every partition to one member, evenly, the same whoever deals", () => {
  fc.assert(
    fc.property(members, fc.nat({ max: 40 }), (ids, partitions) => {
      const dealt = dealPartitions(ids, partitions);
      const all = [...dealt.values()].flat().sort((a, b) => a - b);
      assert.deepEqual(
        all,
        Array.from({ length: partitions }, (_, i) => i),
      );
      const sizes = [...dealt.values()].map(({ length }) => length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      assert.deepEqual(dealPartitions(ids.toReversed(), partitions), dealt);
    }),
  );
});

it("gives a member the same partitions of every topic", async () => {
  const assigner = copartitioned(() => 5)({ cluster: {} as never, groupId: "g", logger: {} as never });
  const group = ["b", "a"].map((memberId) => ({ memberId, memberMetadata: Buffer.alloc(0) }));
  const assigned = await assigner.assign({ members: group, topics: ["x", "y"] });
  assert.equal(assigned.length, 2);
  for (const { memberAssignment } of assigned) {
    const { x, y } = AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment ?? {};
    assert.ok(x !== undefined && x.length >= 2);
    assert.deepEqual(x, y);
  }
});
