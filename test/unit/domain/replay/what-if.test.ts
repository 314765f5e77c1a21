import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Replay } from "../../../../src/domain/replay/replay.ts";
import { WhatIf, type WhatIfOptions, type WhatIfResult } from "../../../../src/domain/replay/what-if.ts";
import { deps, good, route, spec, startMs } from "../../../fixtures/rollout-world.ts";
import { RecordedWorld } from "./recorded-world.ts";

const MINUTE = 60_000;

function whatIf(world: RecordedWorld, over: Partial<WhatIfOptions> & Pick<WhatIfOptions, "change">): WhatIfResult | null {
  const shelf = new Map(world.events.map((event) => [event.id, event]));
  const replay = new Replay({ route, deps, takeEvent: (id) => shelf.get(id), isEventHeadGone: false, evidenceFromOffset: 0 });
  const other = new WhatIf({ deps, ...over });
  for (const entry of world.journal) {
    const replayed = replay.take(entry, entry.seq);
    if (replayed !== null) other.take(replayed);
  }
  assert.equal(replay.finish().kind, "same");
  return other.result();
}

describe("what other settings would have done", () => {
  const bad = new RecordedWorld({ candidate: { ...good, schemaFail: 0.1 } });
  bad.apply(spec({ shadow: { share: 0 } }));
  bad.minutes(40, ({ state }) => state.current?.phase === "rolled_back");

  it("the same settings would have done the same, at the same times", () => {
    const result = whatIf(bad, { change: (declared) => declared });
    assert.ok(result !== null);
    assert.equal(result.divergedAtMs, null);
    const rows = (list: WhatIfResult["actual"]) => list.map(({ atMs, action, phase, step, reasons }) => [atMs, action, phase, step, reasons]);
    assert.deepEqual(rows(result.other), rows(result.actual));
    assert.equal(result.otherEnd.phase, "rolled_back");
  });

  it("without the signal that stopped it, it would have gone on; exact until then", () => {
    const result = whatIf(bad, { change: (declared) => ({ ...declared, signals: declared.signals.filter((signal) => signal !== "schema_validity") }) });
    assert.ok(result !== null);
    assert.equal(result.actualEnd.phase, "rolled_back");
    assert.notEqual(result.otherEnd.phase, "rolled_back");
    assert.equal(result.divergedAtMs, bad.events.at(-1)?.atMs);
    assert.match(result.notes.join(), /the real attempt is over/);
  });

  it("a longer dwell leaves a step later, and what was recorded stands for what would have come", () => {
    const world = new RecordedWorld();
    world.apply(spec({ shadow: { share: 0 }, ladder: [50, 100], signals: ["error_rate", "task_completion"] }));
    world.minutes(180, ({ state }) => state.current?.phase === "observing");
    const leftAfter = (world.atMs - startMs) / MINUTE;
    world.minutes(20);
    const result = whatIf(world, { change: (declared) => ({ ...declared, dwell: { min: "10m", minLate: `${leftAfter + 10}m`, max: "24h" } }) });
    assert.ok(result !== null);
    const left = (rows: WhatIfResult["actual"]) => ((rows.find(({ action }) => action === "advanced")?.atMs ?? 0) - startMs) / MINUTE;
    assert.deepEqual([left(result.actual), left(result.other)], [leftAfter, leftAfter + 10]);
    assert.equal(result.divergedAtMs, result.actual.find(({ action }) => action === "advanced")?.atMs);
  });

  it("takes the newest attempt, or the one that is named; null when there is none", () => {
    const world = new RecordedWorld();
    world.apply(spec({ shadow: { share: 0 } }));
    world.minutes(3);
    world.command("rollback");
    world.minutes(1);
    world.command("retry");
    world.minutes(3);
    assert.equal(whatIf(world, { change: (declared) => declared })?.attempt, 2);
    const first = whatIf(world, { change: (declared) => declared, attempt: 1 });
    assert.deepEqual([first?.attempt, first?.actualEnd.phase, first?.otherEnd.phase], [1, "rolled_back", "rolled_back"]);
    assert.equal(whatIf(world, { change: (declared) => declared, attempt: 9 }), null);
  });
});
