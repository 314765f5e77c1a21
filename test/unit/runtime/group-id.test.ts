import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { groupIdOf, transactionalIdOf } from "../../../src/runtime/tasks/group-id.ts";
import { outcomes, scores } from "../../../topics/index.ts";

describe("the group of a role", () => {
  it("is another one when the role reads other topics, so that old and new processes never share one", () => {
    const before = groupIdOf("headgate.", { name: "aggregator-fold", inputs: [scores] });
    assert.match(before, /^headgate\.aggregator-fold\.[0-9a-f]{8}$/);
    assert.notEqual(groupIdOf("headgate.", { name: "aggregator-fold", inputs: [scores, outcomes] }), before);
  });

  it("does not depend on the order in which inputs are named", () => {
    assert.equal(groupIdOf("p.", { name: "r", inputs: [scores, outcomes] }), groupIdOf("p.", { name: "r", inputs: [outcomes, scores] }));
  });

  it("leaves the transactional id alone: a new version fences the old one", () => {
    assert.equal(transactionalIdOf("headgate.", { name: "judge" }, 3), "headgate.judge-3");
  });
});
