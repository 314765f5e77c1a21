import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Member, Members } from "../../../../src/stages/1-gateway/call/members.ts";

describe("members that come and go", () => {
  it("are those of a Set, whatever comes and goes", () => {
    const steps = fc.array(fc.record({ who: fc.nat(9), comes: fc.boolean() }), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (list) => {
        const all: Member[] = Array.from({ length: 10 }, () => ({ place: -1 }));
        const members = new Members<Member>();
        const model = new Set<Member>();
        for (const { who, comes } of list) {
          const member = all[who] as Member;
          if (!comes) members.delete(member);
          else if (!model.has(member)) members.add(member);
          if (comes) model.add(member);
          else model.delete(member);
          assert.equal(members.size, model.size);
          assert.deepEqual(new Set(members), model);
        }
      }),
    );
  });

  it("may leave while they are gone through", () => {
    const members = new Members<Member>();
    for (let i = 0; i < 5; i++) members.add({ place: -1 });
    let seen = 0;
    for (const member of members) {
      seen++;
      members.delete(member);
    }
    assert.deepEqual([seen, members.size], [5, 0]);
  });
});
