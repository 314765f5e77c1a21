import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { answerTo } from "../../../../src/stages/6-control/commands.ts";
import type { Command } from "../../../../topics/index.ts";
import { good, route, spec, World } from "../../../fixtures/rollout-world.ts";

type Verb = "pause" | "retry" | "rollback" | "undo" | "freeze" | "promote";

/** What control makes of the events that the decider itself writes in answer to a command. */
function answered(world: World, verb: Verb) {
  const before = world.events.length;
  world.command(verb);
  const asked: Command = { id: "c", route, verb, reason: "", expectedAttempt: null, expectedEpoch: null, actor: "ann", atMs: world.atMs, probe: null };
  return answerTo(asked, world.events.slice(before));
}

function started(): World {
  const world = new World({ candidate: good });
  world.apply(spec());
  return world;
}

describe("the decider's own answers to commands, as control reads them", () => {
  it("say that each verb took effect, retry included", () => {
    const world = started();
    for (const verb of ["freeze", "rollback", "retry", "pause"] as const) assert.equal(answered(world, verb)?.kind, "in_effect", verb);
  });

  it("say that a verb was refused, and why", () => {
    const refused = answered(started(), "retry");
    assert.equal(refused?.kind, "refused");
    assert.match(refused?.message ?? "", /^retry .*rolled back/);
  });
});
