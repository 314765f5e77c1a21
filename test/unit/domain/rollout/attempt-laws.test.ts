import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loosenings } from "../../../../src/domain/rollout/edit.ts";
import { presentShare } from "../../../../src/domain/rollout/evidence/edition.ts";
import type { GateEvent } from "../../../../topics/index.ts";
import { doing, eventsOf, isSameAttempt, law, type Taken } from "./histories.ts";

/** The row that an event of a start or an end carries says which attempt of its versions it is, and who has approved it. */
function checkRow({ before, input }: Taken, { action, ledger, alphaAdvance, rollout, attempt }: GateEvent): void {
  const isStart = action === "started";
  if (!isStart && action !== "rolled_back" && action !== "done") return;
  assert.deepEqual([ledger?.rollout, ledger?.attempt, ledger?.end], [rollout, attempt, isStart ? null : action]);
  if (!isStart || ledger === null) return;
  const { attempts, edits } = before.pairs[JSON.stringify([ledger.baseline, ledger.candidate])] ?? { attempts: 0, edits: 0 };
  assert.deepEqual([ledger.number, alphaAdvance], [attempts + 1, 0.05 / 2 ** (attempts + edits)]);
  if (ledger.number < 4) return;
  assert.match(ledger.why, /^asked for by /);
  if (input.kind === "command") assert.ok(input.command.verb === "approve" && !ledger.why.startsWith(`asked for by ${input.command.actor}:`));
}

describe("the laws of attempts and edits, over random histories of what people do", () => {
  // About 15 of these reach a fourth attempt, and as many hold an edit that loosens.
  const histories = { of: doing, least: 30, most: 40, numRuns: 30 };

  it("each attempt has its row and half the alpha of the one before; from the fourth on somebody else has approved it", () => {
    law((world) => {
      for (const taken of world.taken) for (const event of eventsOf(taken)) checkRow(taken, event);
    }, histories);
  });

  it("nothing gets easier for a running candidate without the word of somebody else, and what evidence weighs never grows", () => {
    law((world) => {
      for (const { before, after, input } of world.taken) {
        const [was, is] = [before.current, after.current];
        if (was === null || is === null || !isSameAttempt(was, is)) continue;
        assert.ok(is.halvings >= was.halvings && presentShare(is.editions) <= presentShare(was.editions));
        if (loosenings(was.plan, is.plan).length === 0) continue;
        const { edit } = before.waiting;
        assert.ok(input.kind === "command" && input.command.verb === "approve" && edit !== null && edit.actor !== input.command.actor);
      }
    }, histories);
  });
});
